"""What there was to see when a stall was found: the dumps that lie in a run's folder.

Read from files that may be torn, old, or somebody else's: what is not as expected is left out.
Command lines and the targets of descriptors stay where they are: they may hold paths.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_untether.store import files, run_folder

if TYPE_CHECKING:
    from pathlib import Path

_MOST: Final = 20
_LARGEST: Final = 8 << 20
_ENTRIES: Final = 500
_TICK: Final = 100  # clock ticks a second (sysconf(_SC_CLK_TCK)) on all of Linux' platforms
_YEAR: Final = 366 * 86_400
_LIMIT: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class DumpedProcess:
    """A process of the tree; `age` in seconds, `rss` in bytes, `cpu` in seconds used."""

    pid: int
    ppid: int | None = None
    name: str | None = None
    state: str | None = None
    wchan: str | None = None
    threads: int | None = None
    fds: int | None = None
    rss: int | None = None
    cpu: float | None = None
    age: float | None = None


@dataclass(frozen=True, slots=True)
class DumpedSocket:
    """A socket of the tree; ages in seconds since data last came or went, queues in bytes."""

    state: str
    family: str | None = None
    owner: str | None = None
    remote: str | None = None
    receive_age: float | None = None
    send_age: float | None = None
    send_queue: int | None = None
    receive_queue: int | None = None


@dataclass(frozen=True, slots=True)
class DumpedEvent:
    """One of the last events before the silence; `at` in ns since the epoch."""

    at: int
    name: str
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class Dump:
    """One look at a stalled session, `at` ns since the epoch; `pressure` is of the host."""

    at: int
    processes: tuple[DumpedProcess, ...] = ()
    sockets: tuple[DumpedSocket, ...] = ()
    events: tuple[DumpedEvent, ...] = ()
    stderr: tuple[str, ...] = ()
    pressure: tuple[tuple[str, float], ...] = ()

    def process(self, pid: object) -> DumpedProcess | None:
        """Return the process of a pid, None where it is not among those seen."""
        return next((process for process in self.processes if process.pid == pid), None)


def read(folder: Path, problems: list[str]) -> tuple[Dump, ...]:
    """Return the last dumps of a run, the oldest first; `problems` gets a line for a bad one."""
    names = sorted(path.name for path in folder.iterdir() if run_folder.is_stall_dump(path.name))
    found = []
    for name in names[-_MOST:]:
        try:
            document = json.loads(files.read_whole(folder / name, _LARGEST))
            found.append(_dump(int(name.removesuffix(".json").partition("-")[2]), document))
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"{name}: {error.strerror if isinstance(error, OSError) else 'torn'}")
    return tuple(found)


def _dump(at: int, document: Any) -> Dump:
    tree = _object(document, "tree")
    diag = _object(tree, "diag")
    now = _number(diag, "at")
    processes = _objects(tree, "processes") or _objects(diag, "processes")
    return Dump(
        at,
        tuple(p for entry in processes if (p := _process(entry, now))),
        tuple(map(_socket, _objects(tree, "sockets") or _objects(diag, "sockets"))),
        tuple(event for entry in _list(document, "last_events") if (event := _event(entry))),
        tuple(str(line) for line in _list(document, "stderr_tail") if line),
        tuple(
            (name, value)
            for name in sorted(_object(diag, "host"))
            if (value := _number(_object(diag, "host"), name)) is not None
        ),
    )


def _process(entry: dict[str, Any], now: float | None) -> DumpedProcess | None:
    found = _object(entry, "process") or entry
    identity = _object(found, "identity")
    pid = _integer(identity, "pid")
    if pid is None:
        return None
    used = [_number(found, "cpu_user"), _number(found, "cpu_system")]
    return DumpedProcess(
        pid,
        ppid=_integer(found, "ppid"),
        name=_text(found, "name"),
        state=_text(found, "state"),
        wchan=_text(found, "wchan"),
        threads=_integer(found, "threads"),
        fds=_integer(found, "fds"),
        rss=_integer(found, "rss"),
        cpu=None if None in used else sum(filter(None, used)),
        age=_age(_number(identity, "start_time"), now),
    )


def _age(started: float | None, now: float | None) -> float | None:
    """Return a process's age, from ticks since boot and a clock that begins there.

    In a container, or after the machine slept, the two begin at different moments: an age
    that cannot be is none.
    """
    if started is None or now is None:
        return None
    age = now - started / _TICK
    return age if 0 <= age < _YEAR else None


def _socket(entry: dict[str, Any]) -> DumpedSocket:
    port = _integer(entry, "remote_port")
    return DumpedSocket(
        _text(entry, "state") or "?",
        family=_text(entry, "family"),
        owner=_text(entry, "owner_name"),
        remote=_text(entry, "remote") or (f"port {port}" if port else None),
        receive_age=_number(entry, "receive_age"),
        send_age=_number(entry, "send_age"),
        send_queue=_integer(entry, "send_queue"),
        receive_queue=_integer(entry, "receive_queue"),
    )


def _event(entry: Any) -> DumpedEvent | None:
    match entry:
        case [int() as at, str() as name, *rest] if not isinstance(at, bool):
            tool = rest[0] if rest and isinstance(rest[0], str) else None
            return DumpedEvent(at, name, tool)
    return None


def _object(holder: Any, name: str) -> dict[str, Any]:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}


def _list(holder: Any, name: str) -> list[Any]:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value[:_ENTRIES] if isinstance(value, list) else []


def _objects(holder: Any, name: str) -> list[dict[str, Any]]:
    return [entry for entry in _list(holder, name) if isinstance(entry, dict)]


def _text(holder: dict[str, Any], name: str) -> str | None:
    value = holder.get(name)
    return value if isinstance(value, str) and value else None


def _number(holder: dict[str, Any], name: str) -> float | None:
    value = holder.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _LIMIT else None


def _integer(holder: dict[str, Any], name: str) -> int | None:
    value = holder.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < _LIMIT else None
