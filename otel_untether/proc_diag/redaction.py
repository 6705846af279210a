"""Command lines without what they say: a prompt, a path, a password may stand in any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.session.patterns import lazily
from otel_untether.session.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN: Final = "…"

_LONG_OPTION: Final = lazily(r"--[A-Za-z][A-Za-z0-9-]{0,39}(?==|\Z)")
_SHORT_OPTION: Final = lazily(r"-[A-Za-z](?=\Z)")


def option_names(argv: Sequence[str]) -> tuple[str, ...]:
    """Keep the program's base name and the names of options; hide every other word.

    >>> option_names(["/usr/bin/git", "-c", "a=b", "push", "--token=t", "-psecret"])
    ('git', '-c', '…', '…', '--token=…', '…')
    """
    if not argv:
        return ()
    # A process may write a whole sentence over its own argv[0].
    program = redact((argv[0].split() or [HIDDEN])[0].rpartition("/")[2])
    return (program, *map(_hide, argv[1:]))


def _hide(word: str) -> str:
    if option := _LONG_OPTION.match(word):
        return redact(option[0]) + ("=" + HIDDEN if len(word) > option.end() else "")
    return word if _SHORT_OPTION.match(word) else HIDDEN
