"""Tokens that no table names, told by how they are made: a vendor's prefix, then what is random.

>>> hide_tokens("acme_live_h7Gq2LxW9zPd4VtK8sRn3Bfc and call_h7Gq2LxW9zPd4VtK8sRn3Bfc")
'acme_live_[redacted] and call_h7Gq2LxW9zPd4VtK8sRn3Bfc'

What agents, models and clouds make their ids of looks the same; their prefixes are known and stay.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from otel_untether.session.patterns import lazily
from otel_untether.session.secret_values import hides_password

if TYPE_CHECKING:
    import re

_REDACTED: Final = "[redacted]"
_LEAST: Final = 20  # of a token
_LOOKED_AT: Final = 64  # characters of what may be random
_LONG_ENOUGH: Final = 18  # to be random without digits
_SHORTEST: Final = 16  # of what is random

# Keys of Zhipu and Ollama, of Mailgun.
_HEX_AND_MORE: Final = lazily(
    r"(?<![A-Za-z0-9])[0-9a-f]{32}(?:\.(?=[A-Za-z0-9_-]*[A-Z])[A-Za-z0-9_-]{16,24}\b|-[0-9a-f]{8}-[0-9a-f]{8}\b)"
)
_HEX_LEAST: Final = 32 + 1 + 16  # characters of what that finds
_TOKEN: Final = lazily(r"(?<![A-Za-z0-9_+/-])[A-Za-z0-9_+/-]{14,}+={0,2}")
_PART: Final = lazily(r"[_-]+")
_WORD: Final = lazily(r"(?:[a-z]{1,12}|[A-Z]{1,12}|[A-Z][a-z]{1,11})[0-9]{0,2}")
_CAMEL: Final = lazily(
    r"(?:[A-Z]{1,5}[a-z]{2,20}+[0-9]{0,4}|[a-z]{2,20}+[0-9]{0,4}"
    r"|(?:To|Of|In|On|Is|As|At|By|Or|If|My|We|It|No|An|Up|Id|Db|Js)[0-9]{0,4}){1,16}"
)
_PLAIN: Final = lazily(r"[0-9a-f_-]+|[0-9A-Z_-]+")  # digests, constants; UUIDs, too
_LONG: Final = 32  # of a digest
_SECRET: Final = frozenset({"sk", "pk", "key", "apikey", "token", "secret", "pat", "signkey"})
# What ids begin with: of messages, calls and runs, of objects in clouds and shops, of build files.
_IDS: Final = frozenset(
    {
    "agent", "artifact", "asset", "asst", "batch", "blob", "branch", "build", "bundle",
    "cache", "call", "ch", "chat", "chatcmpl", "checkpoint", "chunk", "cmpl", "commit",
    "completion", "container", "conv", "conversation", "cs", "cus", "dep", "deploy",
    "deployment", "dpl", "etag", "event", "evt", "exec", "fc", "file", "ft", "gen", "go",
    "hash", "host", "id", "ig", "img", "in", "index", "inst", "item", "job", "layer", "main",
    "mcp", "mcpr", "message", "mock", "modelcall", "msg", "node", "object", "org", "part",
    "pi", "pm", "po", "pod", "price", "proj", "project", "prod", "prompt", "prt", "ref",
    "req", "request", "resp", "response", "result", "rollout", "rs", "run", "ses", "sess",
    "session", "seti", "sha", "sha1", "sha256", "sha512", "snap", "span", "spec", "srvtoolu",
    "static", "step", "sub", "subagent", "task", "test", "tests", "text", "thread", "tool",
    "toolcall", "toolu", "tooluse", "trace", "txn", "turn", "upload", "user", "usr", "vendor",
    "version", "wf", "workflow", "workspace", "ws",
    }
)  # fmt: skip
# Of the kinds that the rule above does not see: no prefix, one that is no word, or none but digits.
_FORMS: Final = tuple(
    (hint, lazily(expression)) for hint, expression in (
    ("!aq", r"\b00D[A-Za-z0-9]{12,15}!AQ[A-Za-z0-9._]{40,}"),
    ("$production$", r"access_token\$production\$[a-z0-9]{10,}\$[a-f0-9]{20,}"),
    (".local.", r"\b(?:v[1-4]|k[1-4])\.local\.[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]{4,})?"),
    (".public.", r"\bv[1-4]\.public\.[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]{4,})?"),
    (".secret.", r"\bk[1-4]\.secret\.[A-Za-z0-9_-]{20,}"),
    ("dp.", r"\bdp\.(?:sa|scim|audit|ct)\.[A-Za-z0-9_.=-]{30,}"),
    ("sl.", r"\bsl\.(?:u\.)?[A-Za-z0-9_=-]{40,}"),
    ("act.", r"\bact\.[A-Za-z0-9_!.=-]{30,}"),
    ("t1.9", r"\bt1\.9[A-Za-z0-9_-]{30,}\.[A-Za-z0-9_=-]{30,}"),
    ("st.", r"\bst\.[0-9a-f]{20,}\.[0-9a-f.]{30,}"),
    ("0.", r"\b0\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[A-Za-z0-9]{20,}:[\w+/=]{20,}"),
    ("==", r"\b[a-zA-Z0-9.-]{3,64}-[0-9]{1,4}:[A-Za-z0-9+/]{80,}={0,2}"),
    ("2/", r"\b2/[0-9]{12,20}(?:/[0-9]{12,20})?:[a-f0-9]{32}"),
    ("secret_", r"\bsecret_[a-z0-9]{20,}_[0-9a-f]{20,}\.[A-Za-z0-9]{20,}"),
    ("key01", r"\bKEY01[A-Z0-9]{20,}_[A-Za-z0-9]{20,}"),
    (";exp=", r"\btid=[0-9a-f]{20,};exp=[^\s\"']{10,1000}"),
    ("%3d", r"\bA{15,}[A-Za-z0-9]{10,}%3D[A-Za-z0-9]{20,}"),
    ("/mcp/s/", r"/mcp/s/[A-Za-z0-9+/=_-]{30,}"),
    ("a21aa", r"\bA21AA[A-Za-z0-9_-]{40,}"),
    ("az", r"\b[A-Za-z0-9+/]{30,80}?(?:AzFu|AzSe|AZDO)[A-Za-z0-9+/]{4,8}={0,2}(?![A-Za-z0-9])"),
    ("+a", r"\b[A-Za-z0-9+/]{30,80}?\+(?:ASt|AEh|ARm|AIo|ACR)[A-Za-z0-9+/]{4,8}={0,2}(?!\w)"),
    ("age-secret-key-", r"AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{30,}"),
    ("akl", r"\bAKLT[A-Za-z0-9+/]{30,}={0,2}"),
    ("aq.ab", r"\bAQ\.Ab[A-Za-z0-9_-]{30,}"),
    ("aqe", r"\bAQE[A-Za-z0-9+/_-]{60,}={0,2}"),
    ("aq", r"\bAQ[A-Z][A-Za-z0-9_-]{100,}"),
    ("ac", r"\b[A-Za-z0-9+/]{50,80}?(?:ACDb|ACOG)[A-Za-z0-9+/]{4,8}={0,2}(?![A-Za-z0-9])"),
    ("atta", r"\bATTA[0-9a-f]{60,}"),
    ("bbdc-", r"\bBBDC-[A-Za-z0-9+/@_-]{20,}={0,2}"),
    ("bedrock-api-key-", r"\bbedrock-api-key-[A-Za-z0-9+/=_-]{30,}"),
    ("ctx7sk-", r"\bctx7sk-[0-9a-f-]{30,}"),
    ("eds", r"\bedsk[A-Za-z0-9]{45,}"),
    ("gaaaaab", r"\bgAAAAAB[A-Za-z0-9_-]{40,}={0,2}"),
    ("ig", r"\bIGQ[A-Za-z0-9_-]{60,}"),
    ("ls0tls1crudjti", r"LS0tLS1CRUdJTiB(?:[A-CE-PR-Z]|QUk|QR1AgUFJJ)[A-Za-z0-9+/=\s]{20,}"),
    ("npg_", r"\bnpg_[A-Za-z0-9]{12,}"),
    ("nral", r"\b[0-9a-f]{36}NRAL"),
    ("nsec1", r"\bnsec1[a-z0-9]{50,}"),
    ("pat-", r"\bpat-[a-z]{2}[0-9]-[0-9a-f-]{30,}"),
    ("pub", r"\bpub[0-9a-f]{32}\b"),
    ("rpa_", r"\brpa_[A-Za-z0-9]{40,}"),
    ("rootly_", r"\brootly_[0-9a-f]{40,}"),
    ("rwrty0iy", r"\bRWRTY0Iy[A-Za-z0-9+/]{60,}={0,2}"),
    ("rzp_live_", r"\brzp_(?:live|test)_[A-Za-z0-9]{14,}"),
    ("sed", r"\bsEd[A-Za-z0-9]{26,30}\b"),
    ("sha256~", r"\bsha256~[A-Za-z0-9_-]{40,}"),
    ("sk-helicone-", r"\bsk-helicone-[a-z0-9-]{15,}"),
    ("xprv", r"\b[xyz]prv[A-Za-z0-9]{90,}"),
    ("|ey", r"\b(?:prod|dev|preview):[a-z0-9-]{3,40}\|eyJ[A-Za-z0-9_=-]{20,}"),
)
)  # fmt: skip


def hide_tokens(text: str) -> str:
    """Replace what is random behind a prefix that is no id's, to the token's end."""
    if len(text) < _SHORTEST:
        return text
    lower = text.lower()
    for hint, form in _FORMS:
        if hint in lower:
            text = form.sub(_REDACTED, text)
    if len(text) >= _HEX_LEAST:
        text = _HEX_AND_MORE.sub(_REDACTED, text)
    return _TOKEN.sub(_hide, text)


def _hide(found: re.Match[str]) -> str:
    token = found[0]
    if "/" not in token and "+" not in token and (words := _words(token)):
        return f"{token[:words]}{_REDACTED}"
    if "/" in token and "_" in token:  # a path, or the address of something
        return "/".join(map(_hidden, token.split("/")))
    return _REDACTED if not token.isalpha() and hides_password(token) else token


def _hidden(part: str) -> str:
    words = _words(part)
    return f"{part[:words]}{_REDACTED}" if words else part


def _words(token: str) -> int:
    """Return how long the words are that a token begins with; 0 if no secret follows them."""
    if len(token) < _LEAST:
        return 0
    end = 0
    first = ""
    for part in _PART.finditer(token):
        word = token[end : part.start()]
        if _WORD.fullmatch(word) is None:
            break
        first = first or word.lower()
        end = part.end()
    if not end or first in _IDS:
        return 0
    body = token[end:]
    if _PLAIN.fullmatch(body):
        return end if first in _SECRET and len(body) >= _LONG and _is_mixed(body) else 0
    return end if len(body) >= _SHORTEST and is_scrambled(body[:_LOOKED_AT]) else 0


def _is_mixed(body: str) -> bool:
    return not body.isalpha() and "-" not in body


def is_scrambled(body: str) -> bool:
    """Tell whether capitals, small letters and digits follow each other as by chance.

    >>> is_scrambled("h7Gq2LxW9zPd4VtK8sRn"), is_scrambled("convertUtf8ToUtf16AndBack")
    (True, False)
    """
    kinds = [0 if c.islower() else 1 if c.isupper() else 2 for c in body if c.isalnum()]
    if min(kinds.count(0), kinds.count(1)) < 2 or _CAMEL.fullmatch(body):
        return False
    if kinds.count(2) < 2 and len(kinds) < _LONG_ENOUGH:
        return False
    changes = sum(1 for one, other in itertools.pairwise(kinds) if one != other)
    return changes * 5 >= 2 * len(kinds)
