"""The runs on this machine: one folder each, under the user's state directory.

    runs/20261122T205630.123456Z-5f0c…/   one run (`run_folder`)
    sessions/9a1e….json                   how an engine's session last ended (`sessions`)
    pruned                                when somebody last looked which of them may go

Nothing here imports OpenTelemetry.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from otel_untether.config.home import home_of
from otel_untether.store import files, process_stat, retention, run_folder, run_lock, segments
from otel_untether.store.private_folder import require_private, require_real
from otel_untether.store.record import Run, RunIdentity, RunRecord, StoreError, has_ended, load_run
from otel_untether.store.sessions import SessionOutcome, Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Listing",
    "Run",
    "RunIdentity",
    "RunRecord",
    "SessionOutcome",
    "Store",
    "StoreError",
    "load_run",
    "new_run_id",
    "state_dir",
    "store_at",
]

DAY: Final = 86_400.0
_MINUTE: Final = 60.0
MAX_AGE: Final = 30 * DAY
MAX_COUNT: Final = 500
MAX_BYTES: Final = 2 << 30


class Listing(Struct, frozen=True):
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
    return Path(home_of(environ)) / ".local" / "state" / "otel-untether"


def store_at(configured: str | None, environ: Mapping[str, str]) -> Store:
    """Return the runs where the settings keep them, or else where the environment says.

    `configured` is the setting telemetry.state_dir.
    """
    return Store(Path(configured).absolute() if configured else state_dir(environ))


def new_run_id() -> str:
    """Return a fresh run id: 16 hex digits."""
    return os.urandom(8).hex()


class Store:
    """The state directory. It is made on first use, readable by its user only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs_dir = root / run_folder.RUNS
        self._sessions = Sessions(root / run_folder.SESSIONS)
        self._ended: set[Path] = set()

    def create_run(
        self,
        identity: RunIdentity,
        *,
        started: int,
        command: str | None = None,
        trace_id: int | None = None,
    ) -> Run:
        """Make the folder of a run that starts now, watched by this process until `Run.release`.

        Raises StoreError where that cannot be done.
        """
        try:
            path, lock = run_folder.create(
                self.root,
                run_id=identity.run_id,
                started=started,
                engine=identity.engine,
                command=Path(command).name if command else None,
                trace_id=trace_id,
                watcher=process_stat.identity(os.getpid()),
            )
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.root}: no run can be kept there: {error}") from error
        run = load_run(Path(path))
        run.lock = lock
        return run

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

    def folders(self) -> list[Path]:
        """Return the folders of all runs, newest first, those that cannot be read too."""
        return self._folders([])

    def open_folders(self) -> list[Path]:
        """Return the folders of runs of which it is not certain that they are over, newest first.

        What is over stays so: asked again, only the others are looked at.
        """
        found = [path for path in self.folders() if path not in self._ended]
        self._ended.update(path for path in found if has_ended(path))
        return [path for path in found if path not in self._ended]

    def newest(self) -> Path | None:
        """Return the folder of the run that was recorded last, None when there is none to read.

        A replay is recorded when it is replayed, whenever its session was. Of one whose record
        cannot be read the spans are what there is to read.
        """
        found = sorted(self._folders([]), key=_recorded, reverse=True)
        return next((path for path in found if _is_readable(path)), None)

    def folder_of(self, prefix: str) -> Path:
        """Return the folder of the run that `find` finds, or of one whose record cannot be read.

        That is known by its folder's name only, which ends with its own id. Raises StoreError.
        """
        try:
            return self.find(prefix).path
        except StoreError:
            named = [path for path in self._folders([]) if prefix and _is_called(path, prefix)]
            if len(named) != 1 or not _is_readable(named[0]):
                raise
            return named[0]

    def find(self, prefix: str) -> Run:
        """Return the one run of which an id or the folder's name starts with `prefix`.

        That is the run's own id, its trace's, or its engine's session's: of a session that was
        resumed the newest run is meant. Raises StoreError where none or several are.
        """
        found = [run for run in self.list_runs().runs if run.is_named(prefix)]
        sessions = {run.record.session_id for run in found}
        if len(found) == 1 or (len(sessions) == 1 and None not in sessions):
            return found[0]
        if not found:
            raise StoreError(f"no run in {self.runs_dir} has an id that starts with {prefix!r}")
        names = ", ".join(run.record.run_id for run in found[:5])
        raise StoreError(f"{prefix!r} fits {len(found)} runs ({names}, …); give more of the id")

    def _folders(self, problems: list[str]) -> list[Path]:
        try:
            require_real(self.runs_dir)
            found = [
                Path(entry.path)
                for entry in os.scandir(self.runs_dir)
                if entry.is_dir(follow_symlinks=False) and run_folder.is_folder_name(entry.name)
            ]
        except FileNotFoundError:
            return []
        except OSError as error:
            problems.append(f"{self.runs_dir}: {error.strerror or error}")
            return []
        return sorted(found, key=lambda path: path.name, reverse=True)

    def is_prune_due(self, now: int) -> bool:
        """Whether nobody has looked for a minute which runs may go; `now` in ns since the epoch.

        From then on somebody has. Where somebody else could change what is there nothing is noted.
        """
        stamp = self.root / run_folder.PRUNED
        try:
            require_private(self.runs_dir)
        except OSError:
            return True
        try:
            if 0 <= now / 1e9 - stamp.lstat().st_mtime < _MINUTE:
                return False
            os.utime(stamp, ns=(now, now), follow_symlinks=False)
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                files.replace(stamp, b"")
                os.utime(stamp, ns=(now, now), follow_symlinks=False)
        return True

    def is_overdue(self) -> bool:
        """Whether the last who looked held runs back, as there was nobody to be told any more."""
        try:
            return (self.root / run_folder.PRUNED).lstat().st_size > 0
        except OSError:
            return False

    def note_overdue(self, *, overdue: bool) -> None:
        """Note that runs are held back, for one who can tell; or that none is any more."""
        if overdue != self.is_overdue():
            with contextlib.suppress(OSError):
                require_private(self.runs_dir)
                files.replace(self.root / run_folder.PRUNED, b"overdue" if overdue else b"")

    def prune(
        self,
        now: int,
        *,
        max_age: float = MAX_AGE,
        max_count: int = MAX_COUNT,
        max_bytes: int = MAX_BYTES,
        fresh: float = 0.0,
        dry_run: bool = False,
        may_forget: Callable[[], bool] = lambda: True,
    ) -> retention.Pruned:
        """Delete runs past an age (s), a count or a total size (bytes), undelivered ones last.

        `now` is in ns since the epoch. One that has changed within `fresh` seconds does not go for
        the count alone, unless there are a thousand. A run that may still be watched stays, and
        counts. Nothing is deleted in a state directory that somebody else could change, nor with
        `dry_run`; `may_forget` is that of `retention.prune`. Return what was deleted, or would be.
        Meant for after the spawn: it reads the size of every run.
        """
        if not dry_run:
            self._sessions.prune(now, max_age)
        try:
            require_private(self.runs_dir)
        except OSError:
            return retention.Pruned([])
        return retention.prune(
            self._folders([]),
            now,
            retention.Limits(max_age, max_count, max_bytes, fresh),
            in_use=_in_use,
            remove=_spare if dry_run else run_folder.remove,
            may_forget=may_forget,
        )

    def remember_outcome(self, outcome: SessionOutcome) -> bool:
        """Keep how a session ended, replacing what was known; return whether it was kept."""
        return self._sessions.remember(outcome)

    def last_outcome(self, engine: str, session_id: str) -> SessionOutcome | None:
        """Return how that session last ended on this machine, None when that is not known."""
        return self._sessions.last(engine, session_id)


def _is_readable(path: Path) -> bool:
    """Whether there is a record in a run's folder, or at least spans."""
    try:
        load_run(path)
    except StoreError:
        return any(part.exists() for part in segments.parts(path / run_folder.TRACES))
    return True


def _is_called(path: Path, start: str) -> bool:
    run_id = path.name.partition("-")[2]
    return any(name.lower().startswith(start.lower()) for name in (path.name, run_id))


def _recorded(path: Path) -> float:
    """Return when a run's folder was made: its lock is never written to, as its record is."""
    for name in (run_lock.LOCK, run_folder.RECORD):
        with contextlib.suppress(OSError):
            return (path / name).lstat().st_mtime
    return 0.0


def _spare(path: Path) -> bool:
    return path.exists()


def _in_use(path: Path, age: float) -> bool:
    """Whether somebody is at work on that run, or may be about to write its record."""
    try:
        run = load_run(path)
    except StoreError:
        return age < DAY
    # Exporters may still be at it when the run is over.
    return run_lock.is_held(path) or run.running
