"""Secrets that only their name gives away: ``DB_PASSWORD=hunter2``, ``--token x``, ``"auth": …``.

A name and its separator are found first; then a bounded stretch behind them is looked at.
Under a name that says *password* nearly everything is a secret, under a mere *key* only what
looks random. References, types, placeholders and code are none.

>>> hide_named("DB_PASSWORD=hunter2 # of the test database")
'DB_PASSWORD=[redacted] # of the test database'
>>> hide_named("password: ${DB_PASSWORD}, max_tokens: 4096, token = next_token(text)")
'password: ${DB_PASSWORD}, max_tokens: 4096, token = next_token(text)'
"""

from __future__ import annotations

import functools
import re
from typing import Final, Literal, TypeAlias

from otel_untether.session.patterns import lazily
from otel_untether.session.secret_languages import names_password
from otel_untether.session.secret_values import is_random, says_nothing

REDACTED: Final = "[redacted]"
Says: TypeAlias = Literal["secret", "perhaps", "nothing"]

_LONGEST: Final = 4096  # of a value; what is longer is no secret that anybody named
_LOOKED_AT: Final = 256
_MOST: Final = 500
_NAME_TAIL: Final = 64  # characters of a name that tell what it is the name of

_STRONG: Final = lazily(
    r"""(?x)
    pass[_-]?(?:w(?:or[dt]|d)|phrase|code|key) | secret | token | credential
  | authorization | api[_. -]?key | auth[_-]?(?:header|code|key) | mnemonic
  | (?:seed|recovery)[_ -]?(?:phrase|code) | (?:device|backup|mfa|2fa|totp|sms)[_-]?code
  | (?:card|sim)[_-]?pin | pin[_-]?code | (?:\A|[^a-z])(?:otp|cvv|cvc)(?![a-z_.-])
  | (?:access|private|account|encryption|signing|shared|service|deploy|admin|webhook|jwt|hmac
      |master|app|license|session)[_. -]?key(?![a-rt-z])
  | key[_-]?data | access[_-]?signature | masterauth | requirepass
  | conn(?:ection)?[_-]?str(?:ing)? | x-amz-signature
  | (?:\A|[^a-z])(?:pwd|pass|psk|pw|dsn|creds?|cookies?)(?![a-z_.-])
  | [a-z](?<!\Aby)(?<!com)(?<!tres)(?<!sur)(?<!over)(?<!under)(?<!multi)pass\Z | [a-z]pwd\Z
  | [a-z]pw\Z | [_.-]pat\Z | oauth2-bearer | authtok\Z
  | (?:unlock|access|activation|verification|security)[_. -]?code\Z
  | (?:activation|unlock|anon|registration|product|validation|decryption|sign)[_. -]?key\Z
    """
)
_WEAK: Final = lazily(
    r"""(?x)
    key | auth | access | client | session | salt | signature | bearer | seed | license | webhook
  | api | (?:\A|[^a-z])(?:sid|sig|jwt|sas|pat|pk|ticket|private|salt)(?![a-z])
  | private\Z | connection\Z | service[_-]?role | login\Z
  | datadog | heroku | telegram | discord | twilio | mailgun | cloudflare | fastly | okta | sentry
  | slack | stripe | twitter | facebook | linkedin | dropbox | zendesk | new[-_]?relic
  | launchdarkly | algolia | bitbucket | atlassian | jira | confluence | codecov | netlify | mapbox
  | coinbase | plaid | snyk | travis | twitch | jfrog | artifactory | sumo | contentful | airtable
  | asana | adafruit | confluent | hubspot | intercom | kraken | mattermost
  | message_?bird | sendbird | squarespace
  | yandex | adobe | linear | openai | anthropic | azure
    """
)
# What a name goes on to say, after which its value is about the secret and not the secret.
_ABOUT: Final = lazily(
    r"s?[_. -]?(?:counts?|limits?|types?|names?|ur[li]s?|endpoints?|files?|paths?|dir(?:ectory)?"
    r"|expir\w*|ttl|len(?:gth)?|sizes?|usage|budget|used|polic(?:y|ies)|hint|prompt|fields?|labels?"
    r"|regex|pattern|rotation|min|max|lifetime|formats?|version|kind|scopes?|issuer|audience"
    r"|algorithm|provider|class|store|manager|i[sz]\w*|required|enabled|status|per[_-]\w+|details?"
    r"|[\w.-]*\.(?:py|js|jsx|ts|tsx|go|rs|rb|java|kt|md|txt|json|ya?ml|toml|sh|cc?|cpp|h|html|css)"
    r"|arn|refs?|less|stdin|env|param\w*|source|at|in|jar|accepted|input|box|strength|helpers?)\Z"
)
_ID: Final = lazily(r"id(?:entifier)?s?\Z")
_COUNTED: Final = lazily(r"(?:\A|[a-z_. -])tokens(?:_(?:before|after|in|out|left))?\Z")
_COMMON: Final = frozenset(
    {"pass", "secret", "secrets", "token", "credential", "credentials", "auth"}
)
_FRAGMENTS: Final = frozenset({"key", "keys", "code", "phrase", "string", "signature", "header"})

_PAIR: Final = lazily(
    r"""(?xi)
    (?<![\w.-]) (?P<tag>(?<=<))? (?P<name>(?P<dash>-)?[\w.-]{2,}+)
    (?= [ \t]{0,8}[:=?] | [\\"'`\]>] | [ ]{0,4}\n[ ]{0,40}value: | (?(tag)[ ]|(?!))
      | (?(dash)[ \t]|(?!)) )
    (?: (?P<equals>\\{0,3}["'`]?\]?[ \t]{0,8}
            (?: :[ ]{0,2}&?(?:'static[ ])?[a-z][\w.:<>|\[\]]{0,40}
                (?:[ ]\|[ ][\w.<>]{1,40}){0,3}[ ]{0,2}=[ ]{0,2}(?=b?["'`])
              | :[ ]?[a-z]{1,16}[ ]=(?!=) | :?={1,3}>? | ::? | \?= ) [ \t]{0,8})
      | (?P<member>\\{0,3}["']\s{0,8},\s{0,24}\\{0,3}["']value\\{0,3}["']\s{0,4}:\s{0,4}
            | \\{0,3}["']?[ ]{0,4}\n[ ]{0,40}value:[ ]{1,8}
            | \\{0,3}["']\s{1,4}value\s{0,2}=\s{0,2})
      | (?P<element>\\{0,3}["']?>|(?(tag)[ ][^<>\n]{0,40}>|(?!)))
      | (?P<argument>\\{0,3}["']\s{0,4},\s{0,24}(?=\\{0,3}["']))
      | (?(dash)(?P<blank>[ \t]{1,4}(?=[^\s=:|<>&;-]))|(?!))
    )
    """
)
# One of these is behind every name in a pair. Few tools' or models' names have any.
_PARTING: Final = frozenset(" \t\n:=?\\\"'`]>")
_SCHEME: Final = lazily(
    r"(?:bearer|basic|token|digest|negotiate|apikey|bot)[ \t]{1,4}", re.IGNORECASE
)
_QUOTE: Final = lazily(r"(?:[bfru$])?(\\{0,3}[\"'`])")
_TO_BLANK: Final = lazily(r"(?:[^\s\"'`<>\\]|\\(?![nrt\"']))*+")
_TO_QUOTE: Final = lazily(r"(?:[^\r\n\"'`\\]|\\(?![nrt\"']))*+")
_TO_END: Final = lazily(r"(?:[^\r\n\\ \t]|\\(?![nr\"])|[ \t](?!#|&&|\|\|))*+")
_IN_QUERY: Final = lazily(r"(?:[^\s\"'`<>&#\\]|\\(?![nrt\"']))*+")
_IN_CONNECTION: Final = lazily(r"[^\r\n\"'`;]*+")
_BLOCK: Final = lazily(r"[|>][+-]?[0-9]?[ \t]*\n((?:[ \t]+[^\n]*+(?:\n|\Z)|\n)+)")
_LINE_BEGINS: Final = lazily(
    r"(?:.{0,60}\\[nr])?[\s+#>*|-]{0,40}(?:[\w./~-]{1,60}:)?(?:[0-9]{1,6}[-:\s→|]{1,4})?"
    r"(?:(?:export|set|setx|env|ENV|ARG|declare -x|local|readonly)\s{1,4})?[\"']?\Z"
)
_BEFORE: Final = {"blank": ("-",), "argument": ("-", "("), "element": ("<", '"')}
_HEADERS: Final = ("authorization", "cookie")


def names_secret(name: str) -> bool:
    """Tell whether `name`, the key of a JSON member for instance, is that of a secret."""
    return _says(name[-_NAME_TAIL:]) == "secret"


@functools.lru_cache(maxsize=4096)
def _says(name: str) -> Says:
    low = name.lower()
    strong = _STRONG.search(low)
    if strong is not None and not _ABOUT.match(low, strong.end()) and not _COUNTED.search(low):
        return "secret"
    if strong is None and names_password(low):
        return "secret"
    if strong is None and _ID.search(low):
        return "nothing"
    return "perhaps" if strong is not None or _WEAK.search(low) else "nothing"


def hide_named(text: str, *, command: bool = False) -> str:
    """Replace every value whose name says that it is a secret.

    `command` says that `text` is a shell's command line, where a blank ends a value. Of a text
    with more than 500 such names nothing is shown behind the last of them: there is no
    such text but one that was written to keep us busy.
    """
    if _PARTING.isdisjoint(text):
        return text
    parts: list[str] = []
    done = at = asked = 0
    while (pair := _PAIR.search(text, at)) is not None:
        at = pair.end("name")
        if (says := _says(_whole_name(text, pair))) == "nothing":
            continue
        if (asked := asked + 1) > _MOST:
            return "".join((*parts, text[done:at], REDACTED))
        span = _value(text, pair, says, command=command)
        if span is not None:
            parts += (text[done : span[0]], REDACTED)
            done = at = span[1]
    return "".join((*parts, text[done:])) if parts else text


def _whole_name(text: str, pair: re.Match[str]) -> str:
    """Return the name, with the word before it where it is none alone: ``API key: …``."""
    start, end = pair.span("name")
    name = text[max(start, end - _NAME_TAIL) : end]
    if name.lower() not in _FRAGMENTS or text[start - 1 : start] not in (" ", "-"):
        return name
    return text[max(0, start - 24) : start].rsplit("\n", maxsplit=1)[-1].rpartition(":")[2] + name


def _value(text: str, pair: re.Match[str], says: Says, *, command: bool) -> tuple[int, int] | None:
    """Return where the secret behind a name begins and ends; None where there is none.

    What stands there is judged by its first characters, and only a secret is followed to its
    end: else many names in front of one long value would each be followed that far.
    """
    at = pair.end()
    kind = pair.lastgroup
    before = _before(text, pair.start("name"))
    if kind != "equals" and before not in _BEFORE.get(kind or "", before):
        return None
    first = text[at : at + 1]
    if first.isalpha() and (scheme := _SCHEME.match(text, at)):
        at = scheme.end()
        first = text[at : at + 1]
    if first in ("|", ">") and (block := _BLOCK.match(text, at)):
        return block.span(1)
    quote = _QUOTE.match(text, at)
    start = quote.end() if quote else at
    for longest in (_LOOKED_AT, _LONGEST):
        if quote is not None:
            end = _closing(text, quote, longest)
        elif kind == "element":
            end = max(at, text.find("<", at, at + longest))
        else:
            end = _bare(text, pair, before, at, longest, command=command)
        if end <= start or not _is_secret(text, pair, start, end, says):
            return None
        if end - start < longest - 8:
            break
    return start, end


def _before(text: str, start: int) -> str:
    """Return what a name stands behind: ``-`` of an option, ``(`` of a call, ``?`` of a query."""
    if text[start] == "-":
        return "-"
    before = text[start - 1 : start]
    if before in ('"', "'"):
        outer = text[max(0, start - 5) : start].rstrip("\"'\\")[-1:]
        return outer if outer in ("(", "<") else before
    return before


def _closing(text: str, quote: re.Match[str], longest: int) -> int:
    """Return where a quoted value ends: at the same quote, as escaped as the first."""
    start, mark = quote.end(), quote[1]
    limit = start + longest
    search = start
    while (end := text.find(mark, search, limit)) >= 0:
        slashes = end
        while slashes > start and text[slashes - 1] == "\\":
            slashes -= 1
        if (end - slashes) % 2 == 0:
            return end
        search = end + 1
    line = text.find("\n", start, limit)
    return line if line >= 0 else min(limit, len(text))


def _bare(
    text: str, pair: re.Match[str], before: str, at: int, longest: int, *, command: bool
) -> int:
    """Return where a value without quotes ends, which depends on where it stands."""
    if before in ("?", "&"):
        ends = _IN_QUERY
    elif before == ";":
        ends = _IN_CONNECTION
    elif not command and pair["blank"] is None and _begins_line(text, pair.start("name")):
        ends = _TO_END
    else:
        header = any(header in pair["name"].lower() for header in _HEADERS)
        ends = _TO_QUOTE if header else _TO_BLANK
    end = ends.match(text, at, at + longest)
    return at + len(end[0].rstrip(" \t,;")) if end else at


def _begins_line(text: str, start: int) -> bool:
    low = max(0, start - 100)
    line = text.rfind("\n", low, start)
    if line < 0 and low:
        return False
    return _LINE_BEGINS.fullmatch(text, line + 1, start) is not None


def _is_secret(text: str, pair: re.Match[str], start: int, end: int, says: Says) -> bool:
    if says == "perhaps":
        return is_random(text[start : min(end, start + 600)])
    low = pair["name"][-_NAME_TAIL:].lower()
    if _is_aside(text, pair, low, text[start:end]):
        return False
    between = text[pair.end("name") : start]
    header = any(header in low for header in _HEADERS)
    shouted = pair["name"].isupper() and between == "="
    return not says_nothing(text[start:end], counted="token" in low, environment=header or shouted)


def _is_aside(text: str, pair: re.Match[str], low: str, value: str) -> bool:
    """Tell whether a name is a common word here, as in "PASS: test_one" or "One pass: …"."""
    if low in ("pwd", "oldpwd"):
        return value.startswith(("/", "~"))
    if low == "pass" and (
        pair["name"].isupper() or value.split(maxsplit=1)[0].rstrip(",;").isdigit()
    ):
        return True
    between = text[pair.end("name") : pair.end()]
    return (
        low in _COMMON
        and between == ": "
        and value.islower()
        and value.isalpha()
        and not _begins_line(text, pair.start("name"))
    )
