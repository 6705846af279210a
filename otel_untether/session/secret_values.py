"""Whether a value is a secret, as far as it can be told from the value alone."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from math import log2
from typing import Final

from otel_untether.session.patterns import lazily

_LOOKED_AT: Final = 256  # characters of a value; what is random begins so

# References, placeholders, templates: they say where a secret is, not what it is.
_REFERENCE: Final = lazily(
    r"""(?x)
    \$\{\{.* | \$\{[^}]{0,128}\}.{0,8} | \$[0-9]{1,2}\W?
  | \$\(.* | \$[A-Z_][A-Z0-9_]*\W? | \$(?:env|ENV|_ENV)?[:\[].{0,64}
  | %[A-Z_]{2,40}%? | %[sdr]\W{0,3} | \{\{.*\}\}.{0,4} | \{[\w.!:\[\]"']{0,64}\}
  | <[^<>]{0,64}>\W? | \*{3,}\W* | [xX]{4,} | \.{3,}\W* | …\W* | \[redacted\].{0,8}
  | [-_*.,;:|/\\)}\]]+
  | (?i:(?:your|my|the|some|insert|replace|enter|put|paste)[-_ ](?:[a-z]{1,12}[-_ ]){0,4}
      (?:key|token|password|secret|here|id|value)s?)
    """,
    re.DOTALL,
)
_NOTHING: Final = lazily(
    r"(?:none|null|nil|undefined|true|false|yes|no|on|off|n/?a|empty|missing|unset|required"
    r"|optional|invalid|expired|not set|str|string|text|bytes|bytearray|int|integer|number|float"
    r"|boolean|bool|object|any|void|never|dict|list|char|varchar|secretstr|basic|bearer|oauth2?"
    r"|disabled|enabled|include|omit|same-origin|files|compat|is|was|must|await|yield|return|lambda)"
    r"\.?(?:\s*[|,;)}\]>?!=&\[(].{0,64})?",
    re.IGNORECASE | re.DOTALL,
)
_CODE: Final = lazily(
    r"(?:await|new|yield|return|typeof|not|lambda|async|function|class|def|import|from|if)\b"
    r"[^\n]{0,100}[(.;].{0,100}"
    r"|[A-Za-z_$][\w.$]{0,64}[\[(]|[A-Za-z_$][A-Za-z_.$!?]{0,64}\s?[(\[].*[)\]}({,;:\"'\w].{0,8}"
    r"|(?:self|this|cls|os|process|config|settings|args|options|props|ctx|req|request|env|data"
    r"|params|response|state|secrets|github|vars|var|local|module|each)[.?!]"
    r"[\w.\[\]()?!]{1,64}.{0,2}|\([^)]*\)\W*|\[.*|[{&|@].{0,2}",
    re.DOTALL,
)
_IDENTIFIER: Final = lazily(r"[A-Za-z_$][A-Za-z_.$ -]{0,63}[\s,;:)}\]'\"]{0,4}")
_ABOUT_SECRETS: Final = lazily(
    r"(?:\A|[^A-Za-z]|(?<=[a-z])(?=[A-Z]))"
    r"(?:[Pp]ass(?:[Ww]ord|wd|phrase)?|PASS(?:WORD|WD)?|[Pp]wd|PWD|[Ss]ecret|SECRET|[Tt]oken|TOKEN"
    r"|[Kk]ey|KEY|[Cc]redential|CREDENTIAL|[Aa]uth(?:orization)?|AUTH|[Cc]ookie|COOKIE)[sS]?"
    r"(?:\Z|[^A-Za-z]|(?=[A-Z][a-z]))"
)
_NUMBER: Final = lazily(
    r"[~≈<>]?[0-9][0-9_,.]{0,11}\s?[kKmM%]?(?:\s?/.{0,20})?[\s,;)}\]]*(?:tokens?\b.{0,32})?"
)
_SENTENCE: Final = lazily(
    r"\b(?:the|a|an|is|are|be|must|of|for|and|never|with|in|your|you|this|that|to|it|not|or)\b"
)
_PATH: Final = lazily(r"(?:file:/|~|\.{1,2}|[A-Z]:)?(?:[/\\][\w.@ {}$-]{1,40}){2,}[\W]?")
_MIXED: Final = lazily(r"(?=[^/]*[a-z])(?=[^/]*[A-Z])[^/]*[0-9]")
_UUID: Final = lazily(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HEX: Final = lazily(r"(?:sha(?:1|256|512)[:-])?[0-9a-f]+|[0-9A-F]+")
_RUN: Final = lazily(r"[A-Za-z0-9+/_.~-]{12,512}={0,2}")
_PARTS: Final = lazily(r"[_./~+-]")
_PART: Final = lazily(r"[A-Za-z]?[a-z]*(?:[A-Z][a-z]+)*[0-9]{0,4}|[A-Z]+[0-9]{0,4}|v?[0-9]{1,8}")


def says_nothing(value: str, *, counted: bool = False, environment: bool = False) -> bool:
    """Tell whether a value that stands under a secret's name is no secret all the same.

    `counted` says that the name may be that of something counted, as tokens are;
    `environment` that it is written as variables are, where nobody writes code.
    """
    head = value.strip()[:_LOOKED_AT]
    if not head or _REFERENCE.fullmatch(head) or _NOTHING.fullmatch(head):
        return True
    first = head.split(None, 1)[0]
    if _REFERENCE.fullmatch(first.rstrip(",;")) or (counted and _NUMBER.fullmatch(head)):
        return True
    if environment:
        return False
    one_of_several = first[-1] in ",)" and _is_code(first[:-1])
    return one_of_several or _is_code(head) or _is_sentence(head) or is_path(head)


def _is_code(head: str) -> bool:
    if _CODE.fullmatch(head):
        return True
    return bool(_IDENTIFIER.fullmatch(head) and _ABOUT_SECRETS.search(head))


def _is_sentence(head: str) -> bool:
    words = head.split()
    return len(words) > 2 and bool(_SENTENCE.search(head)) and not any(map(str.isdigit, head))


def is_path(head: str) -> bool:
    """Tell whether `head` is a path in a file system."""
    found = _PATH.fullmatch(head)
    return found is not None and not any(
        len(part) >= 16 and _MIXED.match(part) for part in re.split(r"[/\\]", head)
    )


def is_random(value: str) -> bool:
    """Tell whether a value under a vague name (`key`) looks like nothing but a secret.

    Words, versions, paths, UUIDs and digests do not, nor does a number.
    """
    found = _RUN.match(value)
    if found is None:
        return False
    run = found[0][:_LOOKED_AT]
    if hides_password(run):
        return True
    if len(run) < 16 or _UUID.fullmatch(run) or _HEX.fullmatch(run) or is_path(run):
        return False
    if all(_PART.fullmatch(part) for part in _PARTS.split(run.rstrip("="))):
        return False
    return any(map(str.isdigit, run)) and entropy(run) >= 3.4


def hides_password(run: str) -> bool:
    """Tell whether `run` is the Base64 of ``user:password``, as registries keep it."""
    if len(run) % 4 or len(run) > 128:
        return False
    try:
        plain = base64.b64decode(run, validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in plain[1:] and plain.isascii() and plain.decode().isprintable()


def entropy(text: str) -> float:
    """Return Shannon's entropy of `text` in bits a character."""
    size = len(text)
    return -sum(n / size * log2(n / size) for n in Counter(text).values())
