"""Passwords and tokens in URLs: ``https://user:password@host``, ``https://token@host``.

>>> hide_url_secrets("redis://:p@ss/word@cache:6379/0 and git@github.com:a/b")
'redis://:[redacted]@cache:6379/0 and git@github.com:a/b'
"""

from __future__ import annotations

import re
from typing import Final

from otel_untether.session.patterns import lazily

_REDACTED: Final = "[redacted]"
_URL: Final = lazily(r"://(?P<rest>[^\s\"'`<>|\\]{1,512}+)")
_SCHEME: Final = lazily(r"[a-z0-9+.-]{1,12}\Z", re.IGNORECASE)
_REFERENCE: Final = lazily(r"\$\{?\w+\}?|\$\(.*|\{\w*\}|\*+|%s|<.*|\[redacted\]")
_PORT: Final = lazily(r"[^:]*:[0-9]{0,5}")
_USERS: Final = frozenset({"git", "user", "username", "root", "admin", "ubuntu", "ec2-user", "hg"})
_TOKENLESS: Final = frozenset({"ssh", "git+ssh", "sftp", "scp", "rsync", "svn+ssh"})


def hide_url_secrets(text: str) -> str:
    """Replace the password, or the token that stands alone, in the authority of each URL."""
    return _URL.sub(_clean, text)


def _clean(url: re.Match[str]) -> str:
    rest = url["rest"]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    at = authority.rfind("@")
    if ":" in (authority[:at] if at >= 0 else authority) and not _PORT.fullmatch(authority):
        at = rest[:200].rfind("@")  # "/" and "@" in a password that nobody escaped
    if at < 0:
        return url[0]
    user, colon, password = rest[:at].partition(":")
    scheme = _SCHEME.search(url.string, max(0, url.start() - 12), url.start())
    silent = scheme is not None and scheme[0].lower() in _TOKENLESS
    if not colon:
        known = user in _USERS or silent or _REFERENCE.fullmatch(user)
        return url[0] if known else f"://{_REDACTED}{rest[at:]}"
    if _REFERENCE.fullmatch(password):
        return url[0]
    # `https://token:x-oauth-basic@…`: the secret is what stands for the user.
    user = _REDACTED if len(user) >= 20 else user
    return f"://{user}:{_REDACTED}{rest[at:]}"
