"""Sessions and process trees to judge, built in a line each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otel_untether.config.settings import WatchdogConfig
from otel_untether.engines import registry
from otel_untether.proc_diag.snapshot import HostDiag, Identity, ProcDiag, ProcessDiag, SocketDiag
from otel_untether.session import events as ev
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState
from otel_untether.stall import StallDetector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_untether.stall import Finding

S = 10**9
T0 = 1_700_000_000 * S
LEADER = 100
CONFIG = WatchdogConfig(stall_auto_kill=True)
_SOME_SOCKET = SocketDiag(inode=1, state="ESTABLISHED", remote_port=443, receive_age=1e4)


def session(engine: str = "claude", **changes: Any) -> SessionState:
    """A session that has been asked something, printed a line at T0, and is silent since."""
    traits = registry.get(engine).traits
    state = SessionState(run_id="r", started=T0, engine=engine, traits=traits, **changes)
    state.line(T0)
    return state


def tell(state: SessionState, *events: ev.Event) -> SessionState:
    """Let the agent print these, a line each."""
    for event in events:
        state.line(event.at)
        apply(state, event)
    return state


def tool(name: str = "Bash", at: int = T0, **changes: Any) -> ev.ToolStarted:
    return ev.ToolStarted(at=at, id=f"call-{name}", name=name, **changes)


def process(
    pid: int = LEADER, name: str = "claude", state: Any = "S", **changes: Any
) -> ProcessDiag:
    return replace(
        ProcessDiag(Identity(pid, 1), ppid=1, pgid=LEADER, sid=LEADER, name=name, state=state),
        **changes,
    )


def child(name: str = "bash", pid: int = 200, state: Any = "S", **changes: Any) -> ProcessDiag:
    """A tool's process: in a session of its own."""
    return replace(process(pid, name, state, ppid=LEADER, pgid=pid, sid=pid), **changes)


def socket(state: Any = "ESTABLISHED", **changes: Any) -> SocketDiag:
    return replace(_SOME_SOCKET, state=state, **changes)


def sample(
    *children: ProcessDiag,
    at: float = 0.0,
    leader: ProcessDiag | None = None,
    sockets: Sequence[SocketDiag] | None = (),
    cpu: float | None = 0.0,
    leader_cpu: Any = "same",
    **changes: Any,
) -> ProcDiag:
    """A look at a tree; by default one that sleeps without a connection."""
    leader = leader or process()
    rate: float | None = cpu if leader_cpu == "same" else leader_cpu
    return ProcDiag(
        at,
        changes.pop("alive", leader.state not in ("Z", "X")),
        leader=leader,
        processes=(leader, *children),
        sockets=None if sockets is None else tuple(sockets),
        cpu_rate=cpu,
        leader_cpu_rate=rate,
        **changes,
    )


def starved(full: float = 50.0) -> HostDiag:
    return HostDiag(pressure_memory_full=full)


def samples(last: ProcDiag, seconds: float, config: WatchdogConfig = CONFIG) -> list[ProcDiag]:
    """The same look again and again, over the last `seconds`, ending at `seconds`."""
    number = int(seconds / config.sample_interval) + 1
    times = [seconds - i * config.sample_interval for i in reversed(range(number))]
    return [replace(last, at=at) for at in times]


def judge(
    state: SessionState,
    look: ProcDiag | None,
    idle: float,
    config: WatchdogConfig = CONFIG,
    **options: Any,
) -> list[Finding]:
    """Return what a detector finds in the ticks after `idle` seconds of the same silence."""
    detector = StallDetector(config, **options)
    window = [] if look is None else samples(look, idle, config)
    now = state.last_sign + round(idle * S)
    found = [detector.tick(state, window, now + i * S // 1000) for i in range(6)]
    return [finding for finding in found if finding is not None]


def cause(state: SessionState, look: ProcDiag | None, idle: float = 4000, **options: Any) -> str:
    """Return the cause that the first warning names."""
    return judge(state, look, idle, **options)[0].cause
