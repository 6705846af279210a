"""What is known about one run, and its folder."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from otel_untether.store import files, run_folder, run_lock
from otel_untether.store.process_identity import ProcessIdentity, is_running

if TYPE_CHECKING:
    from pathlib import Path

_Record = TypeVar("_Record", bound=msgspec.Struct)

# ns since the epoch, to the year 2262: what lies beyond is no time that anybody could show.
Moment: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_MOST: Final = 1 << 20
_FULL: Final = frozenset((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)))


class StoreError(Exception):
    """The state directory, or a run in it, is not usable; the text says which and why."""


class RunIdentity(Struct, frozen=True):
    """What names a run in its telemetry."""

    run_id: str
    engine: str = "unknown"


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run as `run.json` holds it; times in ns since the epoch.

    `watcher` is the process that watches, `process` the agent. `command` is the agent's base
    name only: arguments may hold the prompt. `stalls` counts the warnings given so far, `cause` is
    that of the last one.
    """

    run_id: str
    started: Moment
    watcher: ProcessIdentity | None = None
    engine: str = "unknown"
    command: str | None = None
    trace_id: str | None = None
    process: ProcessIdentity | None = None
    session_id: str | None = None
    model: str | None = None
    ended: Moment | None = None
    outcome: str | None = None
    exit_code: int | None = None
    cost_usd: float | None = None
    stalls: int | None = None
    cause: str | None = None


_RECORD: Final = msgspec.json.Decoder(RunRecord)  # made once: a quarter of what it takes to read


class Run(Struct):
    """A run's folder and what is known about the run; `lock` is its lock while we have it."""

    path: Path
    record: RunRecord
    lock: run_lock.RunLock | None = None

    @property
    def running(self) -> bool:
        """Whether somebody watches it: its lock says so, or its watcher where there are none."""
        if self.record.ended is not None:
            return False
        held = run_lock.is_held(self.path)
        if held is not None:
            return held
        return self.record.watcher is None or is_running(self.record.watcher) is not False

    @property
    def delivered(self) -> bool:
        """Whether a collector took any of it."""
        return (self.path / run_folder.DELIVERED).exists()

    @property
    def undelivered(self) -> bool:
        """Whether something is left that was meant for a collector."""
        return (self.path / run_folder.UNDELIVERED).exists()

    def is_named(self, start: str) -> bool:
        """Whether the run's id, its trace's, its engine's session's or its folder's begins so."""
        record = self.record
        names = (record.run_id, record.trace_id, record.session_id, self.path.name)
        return bool(start) and any(
            name.lower().startswith(start.lower()) for name in names if name is not None
        )

    def release(self) -> None:
        """Watch and send it no more: from here on others may."""
        if self.lock is not None:
            self.lock.release()

    def update(self, **changes: Any) -> bool:
        """Change fields of the record; return whether the disk has it.

        The record in memory changes in any case: a full disk is no reason to stop watching.
        """
        self.record = msgspec.structs.replace(self.record, **changes)
        try:
            _write(self.path / run_folder.RECORD, msgspec.json.encode(self.record))
        # ValueError: text that is not Unicode, as a file name may be.
        except (OSError, ValueError):
            return False
        return True


def _write(path: Path, content: bytes) -> None:
    """Write a record, where the disk is full in the room of the old one. Raises OSError.

    A run whose record never said that it ended was, for whoever came next, a crashed one.
    """
    try:
        files.replace(path, content)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        files.overwrite(path, content)


def has_ended(path: Path) -> bool:
    """Whether the record of the run in a folder says so, at a glance: each run asks two hundred.

    False where that is not certain; `load_run` then tells, or says what is wrong: a record that
    cannot be read says nothing, whatever words are in it, and is to be mended.
    """
    text = files.glance(os.path.join(path, run_folder.RECORD))  # noqa: PTH118  a third of it
    try:
        return _RECORD.decode(text).ended is not None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


def load_run(path: Path) -> Run:
    """Read the run in a folder; raises StoreError naming what is wrong with it."""
    return Run(path, read(path / run_folder.RECORD, RunRecord))


def read(path: Path, type_: type[_Record]) -> _Record:
    """Read a record of that type from a file; raises StoreError naming file and fault."""
    try:
        return msgspec.json.decode(files.read_whole(path, _MOST), type=type_)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise StoreError(f"{path}: not a {type_.__name__}: {error}") from error
