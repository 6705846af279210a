"""One run of an agent: fork who observes, spawn, relay, forward signals, end.

The order is the point. The observer's process notes the run on disk, then the agent is spawned,
and nothing that observes has a hold on anything the agent's bytes pass through. What this module
imports at the top delays both; what the relay alone needs is in `agent_run`, which is imported
while the observer is at its note.
"""

from __future__ import annotations

import os
import sys

from otel_untether.clock import Clock
from otel_untether.notice import notice, why
from otel_untether.supervisor.signals import held_signals
from otel_untether.supervisor.streams import STDOUT, occupy_closed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NoReturn

    from otel_untether.supervisor.observer import ObserverFactory
    from otel_untether.supervisor.options import Options
    from otel_untether.supervisor.watcher import Link, Watcher

_NICE: Final = 10


def stdout_is_terminal() -> bool:
    """Tell whether our stdout is a terminal."""
    return os.isatty(STDOUT)


def run(argv: Sequence[str], options: Options, factory: ObserverFactory) -> int:
    """Run a command to its end and return its exit code, or -N where signal N ended it.

    127 or 126 where it could not be started, which is said on stderr as a shell does. `factory`
    and its observer run in a process of their own, forked from here: call this in the main
    thread, before there are others.
    """
    occupy_closed()
    with held_signals() as signals:
        command, clock = tuple(argv), Clock()
        watcher = _forked(command, options, clock, factory)
        if watcher is not None and not _make_ready(watcher):
            watcher = None
        from otel_untether.supervisor.agent_run import AgentRun  # noqa: PLC0415  see `_make_ready`

        return AgentRun(command, options, signals, clock, watcher).carry_out()


def _forked(
    argv: tuple[str, ...], options: Options, clock: Clock, factory: ObserverFactory
) -> Watcher | None:
    """Fork the observer's process; None, and a line about it, where that cannot be."""
    from otel_untether.supervisor import watcher  # noqa: PLC0415  needs mmap, which may be missing

    def observe(link: Link) -> NoReturn:
        try:
            watcher.leave_home(link)
            _prepare(link, options, clock)
            _give_way()
            from otel_untether.supervisor import observer_process  # noqa: PLC0415  not the relay

            observer_process.main(link, argv, clock, options, factory)
        finally:
            os._exit(1)

    try:
        return watcher.start(observe)
    except (OSError, MemoryError) as error:
        notice(f"this run is not observed: {why(error)}")
        return None


def _make_ready(watcher: Watcher) -> bool:
    """Import what spawns and relays while the observer notes the run on disk, and wait for that.

    False where memory or descriptors do not suffice for that beside it: it is let go of.
    """
    try:
        from otel_untether.supervisor import agent_run  # noqa: PLC0415  in the shadow of the note
    except (ImportError, OSError, MemoryError) as error:
        watcher.dismiss()
        notice(f"this run is not observed: {why(error)}")
        return False
    agent_run.import_relay()
    watcher.await_ready()
    return True


def _prepare(link: Link, options: Options, clock: Clock) -> None:
    """Note the run on disk; the agent's spawn waits for this."""
    try:
        options.prepare(clock.now())
    # Whatever it is, the agent is to start all the same.
    except Exception as error:  # noqa: BLE001
        notice(f"telemetry failed, the agent is unaffected: {why(error)}")
    os.write(link.voice, b".")


def _give_way() -> None:
    """Have the cores go to the agent's own start, and to whatever it does later.

    A batch process, moreover, never takes the core from whoever wakes it: the relay wakes us for
    each line, and has just woken the line's reader.
    """
    try:
        os.nice(_NICE)
        if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:
        return  # it is a courtesy
