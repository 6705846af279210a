"""What a tick of the detector costs: one session, one tick, in µs.

The target is at most 50 µs, so that a thousand sessions take a twentieth of a second.
Run: python benchmarks/detector.py
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from otel_untether.config.settings import WatchdogConfig
from otel_untether.engines import registry
from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot, SocketDiag, TreeSnapshot
from otel_untether.session import events as ev
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState
from otel_untether.stall import StallDetector

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 10**9
START = 1_700_000_000 * SECOND
TICKS = 4000
TARGET = 50.0


def tree(cpu: float, *, connected: bool) -> TreeSnapshot:
    """Return a sample of an agent with nine children."""
    leader = ProcessSnapshot(Identity(100, 1), ppid=1, pgid=100, sid=100, name="node", state="S")
    children = tuple(
        replace(leader, identity=Identity(200 + i, 1), ppid=100, name="uvx") for i in range(9)
    )
    sockets = (SocketDiag(1, "ESTABLISHED", 443, receive_age=900.0),) if connected else ()
    return TreeSnapshot(
        0.0,
        alive=True,
        leader=leader,
        processes=(leader, *children),
        sockets=sockets,
        cpu_rate=cpu,
        leader_cpu_rate=cpu,
    )


def talking(state: SessionState, now: int) -> None:
    """Print a line every tick."""
    state.line(now)
    apply(state, ev.ModelMessage(at=now, id="m"))


def silent(_state: SessionState, _now: int) -> None:
    """Print nothing."""


def measure(look: TreeSnapshot, live: Callable[[SessionState, int], None]) -> float:
    """Return the median tick in µs, at one tick and one new sample every 5 s."""
    detector = StallDetector(WatchdogConfig(stall_auto_kill=True))
    traits = registry.get("claude").traits
    state = SessionState(run_id="r", started=START, engine="claude", traits=traits)
    state.line(START)
    window: list[TreeSnapshot] = []
    spent = []
    for tick in range(TICKS):
        now = START + tick * 5 * SECOND
        live(state, now)
        window = [*window[-60:], replace(look, at=tick * 5.0)]
        begun = time.perf_counter_ns()
        detector.tick(state, window, now)
        spent.append(time.perf_counter_ns() - begun)
    return statistics.median(spent) / 1000


def main() -> None:
    """Print a table."""
    cases = {
        "at work": (tree(0.3, connected=True), talking),
        "silent, waiting for the model": (tree(0.0, connected=True), silent),
        "silent, spinning": (tree(0.97, connected=False), silent),
        "silent, wedged": (tree(0.0, connected=False), silent),
    }
    print(f"{'session':32}{'µs a tick':>10}{'target':>8}")
    for name, (look, live) in cases.items():
        print(f"{name:32}{measure(look, live):10.1f}{TARGET:8.0f}")


if __name__ == "__main__":
    main()
