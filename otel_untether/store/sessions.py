"""How engines' sessions last ended, one small file each, for the runs that resume them.

sessions/9a1e….json
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from otel_untether.session.events import Usage  # noqa: TC001  msgspec looks it up
from otel_untether.store import files
from otel_untether.store.digest import digest_of
from otel_untether.store.private_folder import make_private, require_private, require_real
from otel_untether.store.record import Moment, StoreError, read

_DIGITS: Final = 32
_SUFFIX: Final = ".json"
_HEX: Final = frozenset("0123456789abcdef")


class SessionOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an engine's session last ended, for the run that resumes it. `at` in ns.

    `cost_usd` and `usage` are the totals as the engine printed them, which go on when resumed.
    """

    engine: str
    session_id: str
    outcome: str
    at: Moment
    trace_id: str | None = None
    span_id: str | None = None
    cost_usd: float | None = None
    usage: Usage | None = None


class Sessions:
    """The folder of session outcomes. It is made on first use, readable by its user only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remember(self, outcome: SessionOutcome) -> bool:
        """Keep how a session ended, replacing what was known; return whether it was kept."""
        path = self._path(outcome.engine, outcome.session_id)
        try:
            make_private(self.folder)
            require_real(self.folder)
            files.replace(path, msgspec.json.encode(outcome))
        except (OSError, ValueError):
            return False
        return True

    def last(self, engine: str, session_id: str) -> SessionOutcome | None:
        """Return how that session last ended on this machine, None when that is not known."""
        try:
            require_private(self.folder)
            return read(self._path(engine, session_id), SessionOutcome)
        except (OSError, StoreError):
            return None

    def prune(self, now: int, max_age: float) -> None:
        """Delete what is older than an age (s); `now` is in ns since the epoch.

        Only regular files that are ours by name and content go: the folder may be one that
        somebody pointed us at.
        """
        with contextlib.suppress(OSError):
            require_private(self.folder)
            require_real(self.folder)
            for entry in os.scandir(self.folder):
                if _is_named(entry.name) and _is_old(entry, now, max_age) and _is_outcome(entry):
                    Path(entry.path).unlink()

    def _path(self, engine: str, session_id: str) -> Path:
        # A session id comes out of the agent's stream and may hold anything.
        digest = digest_of(f"{engine}\0{session_id}".encode("utf-8", "replace"))
        return self.folder / f"{digest[:_DIGITS]}{_SUFFIX}"


def _is_named(name: str) -> bool:
    stem = name.removesuffix(_SUFFIX)
    return name.endswith(_SUFFIX) and len(stem) == _DIGITS and _HEX.issuperset(stem)


def _is_old(entry: os.DirEntry[str], now: int, max_age: float) -> bool:
    return now / 1e9 - entry.stat(follow_symlinks=False).st_mtime > max_age


def _is_outcome(entry: os.DirEntry[str]) -> bool:
    try:
        read(Path(entry.path), SessionOutcome)
    except StoreError:
        return False
    return True
