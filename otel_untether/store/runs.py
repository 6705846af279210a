"""The runs on this machine: one folder each, under the user's state directory.

    runs/20261122T205630.123456Z-5f0c…/   one run, mode 0700
        run.json                          what is known about it (`RunRecord`)
        traces.jsonl logs.jsonl metrics.jsonl journal.jsonl delivered
    sessions/claude-9a1e….json            how an engine's session last ended

Nothing here imports OpenTelemetry: a run's folder exists before its agent is spawned.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from otel_untether.session.events import Usage
from otel_untether.store import retention
from otel_untether.store.files import make_private, replace
from otel_untether.store.process_identity import ProcessIdentity, identify, is_running

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY: Final = 86_400.0
MAX_AGE: Final = 30 * DAY
MAX_COUNT: Final = 500
MAX_BYTES: Final = 2 << 30

_FOLDER: Final = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-z]+")
_Record = TypeVar("_Record", bound=msgspec.Struct)


class StoreError(Exception):
    """The state directory, or a run in it, is not usable; the text says which and why."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What names a run in its telemetry."""

    run_id: str
    engine: str = "unknown"


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run as `run.json` holds it; times in ns since the epoch.

    `watcher` is the process that watches, `process` the agent. `command` is the agent's base
    name only: arguments may hold the prompt.
    """

    run_id: str
    started: int
    watcher: ProcessIdentity | None = None
    engine: str = "unknown"
    command: str | None = None
    trace_id: str | None = None
    process: ProcessIdentity | None = None
    session_id: str | None = None
    model: str | None = None
    ended: int | None = None
    outcome: str | None = None
    exit_code: int | None = None
    cost_usd: float | None = None


class SessionOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an engine's session last ended, for the run that resumes it. `at` in ns.

    `cost_usd` and `usage` are the totals as the engine printed them, which go on when resumed.
    """

    engine: str
    session_id: str
    outcome: str
    at: int
    trace_id: str | None = None
    span_id: str | None = None
    cost_usd: float | None = None
    usage: Usage | None = None


@dataclass(slots=True)
class Run:
    """A run's folder and what is known about the run."""

    path: Path
    record: RunRecord

    @property
    def running(self) -> bool:
        """Whether its watcher may still be alive; unknown counts as alive."""
        if self.record.ended is not None:
            return False
        return self.record.watcher is None or is_running(self.record.watcher) is not False

    def update(self, **changes: Any) -> bool:
        """Change fields of the record; return whether the disk has it.

        The record in memory changes in any case: a full disk is no reason to stop watching.
        """
        self.record = msgspec.structs.replace(self.record, **changes)
        try:
            replace(self.path / "run.json", msgspec.json.encode(self.record))
        # ValueError: text that is not Unicode, as a file name may be.
        except (OSError, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Listing:
    """Runs, newest first, and a line about each folder that could not be read."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...]


def state_dir(environ: Mapping[str, str]) -> Path:
    """Return where runs are kept: $OTEL_UNTETHER_STATE_DIR, or the XDG state directory.

    The XDG specification has relative paths ignored.
    """
    if own := environ.get("OTEL_UNTETHER_STATE_DIR"):
        return Path(own).absolute()
    xdg = environ.get("XDG_STATE_HOME", "")
    if xdg and Path(xdg).is_absolute():
        return Path(xdg) / "otel-untether"
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  never raises
    return Path(home) / ".local" / "state" / "otel-untether"


def new_run_id() -> str:
    """Return a fresh run id: 16 hex digits."""
    return secrets.token_hex(8)


class Store:
    """The state directory. It is made on first use, readable by its user only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs_dir = root / "runs"

    def create_run(
        self,
        identity: RunIdentity,
        *,
        started: int,
        command: str | None = None,
        trace_id: int | None = None,
    ) -> Run:
        """Make the folder of a run that starts now, watched by this process.

        Raises StoreError where that cannot be done.
        """
        moment = datetime.fromtimestamp(started / 1e9, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        path = self.runs_dir / f"{moment}-{identity.run_id}"
        record = RunRecord(
            run_id=identity.run_id,
            engine=identity.engine,
            started=started,
            watcher=identify(os.getpid()),
            command=_printable(Path(command).name) if command else None,
            trace_id=f"{trace_id:032x}" if trace_id is not None else None,
        )
        try:
            make_private(path)
            replace(path / "run.json", msgspec.json.encode(record))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: the run's folder cannot be written: {error}") from error
        return Run(path, record)

    def list_runs(self) -> Listing:
        """Return all runs, newest first. What cannot be read is named, not raised."""
        runs: list[Run] = []
        problems: list[str] = []
        for path in self._folders(problems):
            try:
                runs.append(load_run(path))
            except StoreError as error:
                problems.append(str(error))
        return Listing(tuple(runs), tuple(problems))

    def newest(self) -> Run | None:
        """Return the run that was recorded last, None when there is none that can be read.

        A replay is recorded when it is replayed, whenever its session was.
        """
        for path in sorted(self._folders([]), key=_recorded, reverse=True):
            with contextlib.suppress(StoreError):
                return load_run(path)
        return None

    def find(self, prefix: str) -> Run:
        """Return the one run whose id, trace id or folder name starts with `prefix`.

        Raises StoreError where none or several do.
        """
        found = [run for run in self.list_runs().runs if _is_named(run, prefix)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise StoreError(f"no run in {self.runs_dir} has an id that starts with {prefix!r}")
        names = ", ".join(run.record.run_id for run in found[:5])
        raise StoreError(f"{prefix!r} fits {len(found)} runs ({names}, …); give more of the id")

    def _folders(self, problems: list[str]) -> list[Path]:
        try:
            found = [
                Path(entry.path)
                for entry in os.scandir(self.runs_dir)
                if entry.is_dir(follow_symlinks=False) and _FOLDER.fullmatch(entry.name)
            ]
        except FileNotFoundError:
            return []
        except OSError as error:
            problems.append(f"{self.runs_dir}: {error.strerror}")
            return []
        return sorted(found, key=lambda path: path.name, reverse=True)

    def prune(
        self,
        now: int,
        *,
        max_age: float = MAX_AGE,
        max_count: int = MAX_COUNT,
        max_bytes: int = MAX_BYTES,
    ) -> list[Path]:
        """Delete runs past an age (s), a count or a total size (bytes), oldest first.

        `now` is in ns since the epoch. A run that may still be watched stays, and counts.
        Return what was deleted. Meant for after the spawn: it reads the size of every run.
        """
        deleted = retention.prune(
            self._folders([]),
            now,
            retention.Limits(max_age, max_count, max_bytes),
            in_use=_in_use,
        )
        self._prune_outcomes(now, max_age)
        return deleted

    def _prune_outcomes(self, now: int, max_age: float) -> None:
        with contextlib.suppress(OSError):
            for path in (self.root / "sessions").iterdir():
                if now / 1e9 - path.stat().st_mtime > max_age:
                    path.unlink()

    def remember_outcome(self, outcome: SessionOutcome) -> bool:
        """Keep how a session ended, replacing what was known; return whether it was kept."""
        path = self._outcome_path(outcome.engine, outcome.session_id)
        try:
            make_private(path.parent)
            replace(path, msgspec.json.encode(outcome))
        except (OSError, ValueError):
            return False
        return True

    def last_outcome(self, engine: str, session_id: str) -> SessionOutcome | None:
        """Return how that session last ended on this machine, None when that is not known."""
        path = self._outcome_path(engine, session_id)
        try:
            return _read(path, SessionOutcome)
        except StoreError:
            return None

    def _outcome_path(self, engine: str, session_id: str) -> Path:
        # A session id comes out of the agent's stream and may hold anything.
        digest = hashlib.sha256(f"{engine}\0{session_id}".encode("utf-8", "replace")).hexdigest()
        return self.root / "sessions" / f"{digest[:32]}.json"


def _recorded(path: Path) -> float:
    try:
        return (path / "run.json").stat().st_mtime
    except OSError:
        return 0.0


def load_run(path: Path) -> Run:
    """Read the run in a folder; raises StoreError naming what is wrong with it."""
    return Run(path, _read(path / "run.json", RunRecord))


def _read(path: Path, type_: type[_Record]) -> _Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise StoreError(f"{path}: not a {type_.__name__}: {error}") from error


def _printable(text: str) -> str:
    """Return text without what a file name may hold and Unicode may not."""
    return text.encode("utf-8", "replace").decode()


def _is_named(run: Run, prefix: str) -> bool:
    names = (run.record.run_id, run.record.trace_id or "", run.path.name)
    return bool(prefix) and any(name.startswith(prefix) for name in names)


def _in_use(path: Path, age: float) -> bool:
    """Whether somebody may be watching that run, or be about to write its record."""
    try:
        return load_run(path).running
    except StoreError:
        return age < DAY
