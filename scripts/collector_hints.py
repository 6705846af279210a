r"""What must be in a text before any expression of the collectors' redaction can match it.

Go's expressions are slow unless they begin with a literal, and few of the hundred do. Hints do:
all of them together cost a small part of that, and wherever one of the hundred matches, a hint
does, too. They are put to the lower-cased JSON text of a whole record, so that a line break is
`\n` in them and a quote may have a backslash before it. `tests/unit/test_collector_hints.py`
tries them on every expression.
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Final

from otel_untether.session import secret_patterns as table

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY: Final = "[a-z0-9_.~+/=%-]"
_GAP: Final = r"(?: |\\t)"
_LINE: Final = r"(?:[^\\|;]|\\[^n])*"  # to the end of a command, or of a line
_TOLD: Final = " (?:is|was|are|to|as)"
# Behind the name of a secret: a sign and the value at once; a sign and a quote, perhaps with
# quotes, line breaks and an arrow's \u003e around it; the end of a key of JSON.
_ASSIGNED: Final = r"[\w.-]{0,40} {0,2}[:=]"
_QUOTED: Final = r"""[\w.\\"' -]*[:=][=>\\ntvfru0-9a-e ]*["']"""
_AS_A_KEY: Final = r'(?:[^"\\]|\\.)*":'
_NAMES: Final = (
    "pass(?:word|wd|phrase)",
    "secret",
    "api[_.-]?key",
    "private[_.-]?key",
    "credential",
    "authorization",
)
_NAMED: Final = (
    *(f"{name}(?:{_ASSIGNED}|{_QUOTED}|{_AS_A_KEY})" for name in _NAMES),
    rf"token(?:{_ASSIGNED}|{_QUOTED})",
    *(rf"{whose}[_.-]?token{_AS_A_KEY}" for whose in ("access", "auth")),
    f"cookie{_AS_A_KEY}",
    rf"_p(?:ass|wd){_ASSIGNED}",
    r'"user\.(?:email|full_name|account_)',
    r'"organization\.id',
    "\u017f",  # long s, which is an s where case does not count, and stays what it is in lower case
)
_SHAPES: Final = (
    "sk-[a-z0-9_-]{20}",
    "sk[0-9a-f]{32}",
    "eyj[a-z0-9_-]{8}",
    r"hooks\.slack\.com/",
    "/api/webhooks/",
    r"\.webhook\.office\.com/",
    r"hooks\.zapier\.com/",
    r"\.atlasv1\.",
    r"\.alchemy\.com/",
    r"infura\.io/",
    *(f"{whose}-[0-9a-f]{{8}}-[0-9a-f]{{4}}-4" for whose in ("sdk", "mob", "api")),
    "a[ks]-[a-z0-9]{22}",
    ":thin:",
    "mii[a-z0-9+/]{2}[agwq]iba(?:akc|danbgkqhkig9w0baqefaasc)",
    "mighageambmgbyqgsm49",
    "mhccaqeei",
    "migkagebbd",
    "mc4caqawbqydk2vwbciei",
    r"\.[a-z0-9_-]{6}\.[a-z0-9_-]{27}",
    ":a[a-z0-9_-]{32}",
    "/bot[0-9]{6}",
    r"sg\.[a-z0-9_-]{16}",
    r"pat[a-z0-9]{14}\.",
    "re_[a-z0-9]{8}_[a-z0-9]{20}",
    "eaa[mc][a-z0-9]{20}",
    "q~[a-z0-9_.~-]{30}",
    "-us[0-9]",
    r"\$[a-z0-9-]{1,17}\$[a-z0-9./=,+$-]{20}",
    "access-(?:sandbox|development|production)-",
    "aqvn[a-z0-9_-]{35}",
    "/[0-9]{12}",
    "://[^/ ]*@",
    "-----begin",
)
_SIGNED: Final = (
    "sig(?:nature)?|x-amz-[a-z-]{9,14}|x-goog-signature|(?:access_)?token|(?:api_?|hapi)?key"
    "|auth|code|client_secret|password"
)
_WITH_P: Final = next(one.program for one in table.OPTIONS if "docker" in one.program)
_COMMANDS: Final = (
    r"bearer[\\ :=]",
    "authorization",
    "sshpass",
    "pass:",
    "htpasswd",
    r"echo.*\|",
    r"printf.*\|",
    rf"password{_GAP}",
    r"password\(",
    f"identified{_GAP}{{1,4}}(?:with|by)[^']{{1,90}}'",
    "requirepass",
    "masterauth",
    *(
        f"{word}{_GAP}{{1,8}}[a-z0-9_]{{0,64}}(?:pass|secret|token|key|pwd|credentials)"
        for word in ("env", "arg")
    ),
    r":(?:[0-9]{2,5}|\*):[\w*.-]{1,64}:[\w*.-]{1,64}:",
    f"pass(?:word|phrase|code){_TOLD}",
    f"secret{_TOLD}",
    f"token{_TOLD}",
    f"key{_TOLD}",
    f"credentials?{_TOLD}",
    rf"config(?:ure)?{_GAP}{{1,4}}set",
    "se(?:ssid|ssionid)=",
    r"connect\.sid=",
    "csrftoken=",
    "remember_token=",
    "_session=",
    "__(?:secure|host)-",
    *(f"{sign}(?:{_SIGNED})(?:=|%3d)" for sign in (r"\?", ";", "&", "u0026", "%3f", "%26")),
    ":[$!*][^:]{8}",
    f"curl{_LINE}{_GAP}(?:-[a-z]{{0,6}}u|--user|--proxy-user)",
    f"mysql{_LINE}{_GAP}-p[^ ]",
    f"mariadb{_LINE}{_GAP}-p[^ ]",
    *(rf"{program}\b{_LINE}{_GAP}-p{_GAP}" for program in _WITH_P.split("|")),
    f"7z{_LINE}{_GAP}-p",
    f"openssl{_LINE}{_GAP}-k{_GAP}",
    f"-cli{_LINE}{_GAP}-a{_GAP}",
    f"ldap[a-z]{{3,10}}{_LINE}{_GAP}-[ws]{_GAP}",
    *(
        rf"{program}\b{_LINE}{_GAP}(?:-u|--user).*%"
        for program in ("smbclient", "rpcclient", "winexe", "net")
    ),
)


def hints() -> list[str]:
    """Return all of them, one a first character: expressions for a lower-cased JSON text."""
    by_first: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for hint in chain(_formats(), _SHAPES, _COMMANDS, _NAMED):
        first = hint[: 1 + hint.startswith("\\")]
        by_first[first][hint.removeprefix(first)] = None
    return [f"{first}(?:{'|'.join(rests)})" for first, rests in by_first.items()]


def _formats() -> Iterator[str]:
    """Yield the prefixes of keys with the same first character and the same demand."""
    rests: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for form in table.FORMATS:
        prefix = re.escape(form.prefix.lower())
        first = prefix[: 1 + prefix.startswith("\\")]
        rests[first, 10 if form.distinct else 16].append(prefix.removeprefix(first))
    for (first, least), endings in rests.items():
        yield f"{first}(?:{'|'.join(endings)}){_KEY}{{{least}}}"
