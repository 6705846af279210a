"""What is on disk before the agent is spawned: the run's folder, its lock, its root's start.

So whatever is killed, and when, the root that the agent was told of (`TRACEPARENT`) can be
ended by who comes later. It imports next to nothing: the spawn waits for it.
"""

# ruff: noqa: PTH100, PTH117, PTH118, PTH119  pathlib takes 5 ms to import

from __future__ import annotations

import os

from otel_untether.config.home import home_of
from otel_untether.store import process_stat, run_folder
from otel_untether.store.files import LineFile
from otel_untether.store.run_folder import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from otel_untether.store.run_lock import RunLock

    class Root(Protocol):
        """The root span's ids; the parent's is None for a trace of our own."""

        trace_id: int
        span_id: int
        parent_span_id: int | None


class Beginning:
    """A run that has begun: its folder, its id, and its lock, which is held from now on.

    `lock` is None where the file system has none.
    """

    __slots__ = ("lock", "path", "run_id")

    def __init__(self, path: str, run_id: str, lock: RunLock | None) -> None:
        self.path = path
        self.run_id = run_id
        self.lock = lock

    def drop(self, span_id: int) -> None:
        """The root is not sampled, or nobody makes spans: there is none to be ended."""
        try:
            journal = LineFile(os.path.join(self.path, run_folder.JOURNAL))
            try:
                journal.append(_dropped(span_id).encode())
            finally:
                journal.close()
        except OSError:
            pass  # a full disk; who comes later then ends what never was

    def take_back(self) -> None:
        """There was no run after all."""
        run_folder.remove(self.path)
        if self.lock is not None:
            self.lock.release()


def begin(
    state_dir: str,
    *,
    started: int,
    command: str,
    engine: str | None,
    root: Root,
) -> Beginning:
    """Make the folder of a run that starts now, in ns since the epoch.

    `command` is what the agent was called by, `engine` its engine's name where that is known.
    Raises OSError where the folder cannot be made, is not ours alone, or has no room: then there
    is none of it afterwards.
    """
    run_id = os.urandom(8).hex()
    path, lock = run_folder.create(
        state_dir,
        run_id=run_id,
        started=started,
        engine=engine or "unknown",
        command=os.path.basename(command),
        trace_id=root.trace_id,
        watcher=process_stat.identity(os.getpid()),
    )
    begun = Beginning(path, run_id, lock)
    try:
        journal = LineFile(os.path.join(path, run_folder.JOURNAL))
        try:
            journal.append(_root_start(started, engine, root).encode())
        finally:
            journal.close()
    except OSError:
        begun.take_back()
        raise
    return begun


def state_path(configured: str | None, environ: Mapping[str, str]) -> str:
    """Return where runs are kept: as configured, $OTEL_UNTETHER_STATE_DIR, or XDG's place.

    The XDG specification has relative paths ignored.
    """
    if own := configured or environ.get("OTEL_UNTETHER_STATE_DIR"):
        return os.path.abspath(own)
    xdg = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(xdg):
        return os.path.join(xdg, "otel-untether")
    return os.path.join(home_of(environ), ".local", "state", "otel-untether")


def _dropped(span_id: int) -> str:
    return f'{{"at":0,"kind":"dropped","span":{{"spanId":"{span_id:016x}"}}}}'


def _root_start(started: int, engine: str | None, root: Root) -> str:
    """Return the root's start as `journal` has it: a span in OTLP JSON, without its end."""
    parent = ""
    if root.parent_span_id is not None:
        parent = f'"parentSpanId":"{root.parent_span_id:016x}",'
    return (
        f'{{"at":{started},"kind":"start",'
        f'"scope":{{"name":"otel_untether"}},'
        f'"span":{{"traceId":"{root.trace_id:032x}","spanId":"{root.span_id:016x}",{parent}'
        f'"name":{json_text("invoke_agent " + (engine or "unknown"))},"kind":1,'
        f'"startTimeUnixNano":"{started}","attributes":[],'
        f'"flags":{0x300 if parent else 0x100}}}}}'
    )
