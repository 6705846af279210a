"""Secrets that only their place in a document gives away: members of objects, words of an argv.

>>> sorted(secret_members({"name": "DB_PASSWORD", "value": "hunter2"}))
['value']
>>> hidden_words(["curl", "-u", "admin:hunter2", "x"], lambda line: line.replace("hunter2", "…"))
['curl', '-u', 'admin:…', 'x']
"""

from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING, Any, Final

from otel_untether.session.named_secrets import REDACTED, names_secret
from otel_untether.session.patterns import lazily

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Members that name a thing, and those that are its value, in the documents of clouds and CLIs.
_NAMES: Final = (
    "name", "key", "id", "variable", "field", "label", "header", "option",
    "parameterkey", "optionname", "variablename", "secretname",
)  # fmt: skip
_VALUES: Final = frozenset(
    {"value", "default", "content", "data", "plaintext", "current", "new", "old", "initial",
     "parametervalue", "defaultvalue", "secretvalue", "stringvalue"}
)  # fmt: skip
_TYPES: Final = frozenset({"securestring", "secret", "password", "secretstring", "credential"})
_PRIVATE_OF_A_WEB_KEY: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "k", "oth"})
# A member that says so, how, and the members that are secret then.
_DOCUMENTS: Final = (
    # In the state of Terraform.
    ("type", lazily(r"random_password\Z"), frozenset({"instances", "values"})),
    # Of Google's Secret Manager.
    ("name", lazily(r"/secrets/"), frozenset({"payload"})),
    # What an agent types into a page: the field is described in words.
    (
        "element",
        lazily(r"(?i)\b(?:password|passphrase|passcode|secret|api[ _-]?key|token|pin)\b"),
        frozenset({"text", "value"}),
    ),
)
_MOST_WORDS: Final = 200
_BLANK: Final = lazily(r"\s")


def secret_members(members: Mapping[str, Any]) -> frozenset[str]:
    """Return the members that are secret by what the object is, not by their own name."""
    if members.get("kind") == "Secret":  # of Kubernetes
        return frozenset({"data", "stringData"})
    if "kty" in members:  # a JSON web key
        return _PRIVATE_OF_A_WEB_KEY
    for name, says, secret in _DOCUMENTS:
        told = members.get(name)
        if isinstance(told, str) and says.search(told):
            return secret
    low = {name: name.lower() for name in members}
    if _is_marked(members) or any(
        low[name] in _NAMES and isinstance(member, str) and names_secret(member)
        for name, member in members.items()
    ):
        return frozenset(name for name in members if low[name] in _VALUES)
    return frozenset()


def secret_values(members: Mapping[str, Any]) -> frozenset[str]:
    """Return the members that are secret in an object which stands under a secret's name."""
    return frozenset(name for name in members if name.lower() in _VALUES)


def hidden_words(words: Sequence[Any], redact: Callable[[str], str]) -> list[Any]:
    """Return the words of a command line as `redact` leaves them when it sees them together.

    An option and its value are two words: alone, neither says what it is. Words with blanks in
    them are scripts, which speak for themselves.
    """
    said = [w if isinstance(w, str) and w and not _BLANK.search(w) else "_" for w in words]
    if not 1 < len(said) <= _MOST_WORDS:
        return list(words)
    line = " ".join(said)
    clean = redact(line)
    if clean == line:
        return list(words)
    parts = clean.split(" ")
    if len(parts) != len(said):  # a secret took a blank with it
        parts = _middle_hidden(said, parts)
    return [
        word if part == plain else part
        for word, plain, part in zip(words, said, parts, strict=True)
    ]


def _middle_hidden(said: Sequence[str], parts: Sequence[str]) -> list[str]:
    """Return what two lists begin and end with alike, and in between nothing that was said."""
    first = _alike(said, parts)
    last = len(said) - _alike(said[:first:-1], parts[:first:-1])
    return [*said[:first], *[REDACTED] * (last - first), *said[last:]]


def _alike(some: Sequence[str], others: Sequence[str]) -> int:
    """Return how many items two lists begin with alike."""
    return sum(1 for _ in itertools.takewhile(bool, map(operator.eq, some, others)))


def are_pairs(items: Sequence[Any]) -> bool:
    """Tell whether an array is one of names and values, as headers often are."""
    return bool(items) and all(
        isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) for item in items
    )


def _is_marked(members: Mapping[str, Any]) -> bool:
    kind = members.get("type", members.get("Type"))
    marked = isinstance(kind, str) and kind.lower() in _TYPES
    return marked or members.get("sensitive") is True or members.get("secret") is True
