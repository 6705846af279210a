"""Sessions and process trees to judge, built in a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from otel_untether.config.settings import WatchdogConfig
from otel_untether.engines import registry
from otel_untether.proc_diag.deep_look import DeepLook, ProcessLook, SocketLook, ThreadLook
from otel_untether.proc_diag.snapshot import (
    HostDiag,
    Identity,
    ProcessSnapshot,
    SocketDiag,
    TreeSnapshot,
)
from otel_untether.session import events as ev
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState
from otel_untether.stall import StallDetector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    state.events, state.turn_open = 1, True
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
) -> ProcessSnapshot:
    return replace(
        ProcessSnapshot(Identity(pid, 1), ppid=1, pgid=LEADER, sid=LEADER, name=name, state=state),
        **changes,
    )


def child(name: str = "bash", pid: int = 200, state: Any = "S", **changes: Any) -> ProcessSnapshot:
    """A tool's process: in a session of its own."""
    return replace(process(pid, name, state, ppid=LEADER, pgid=pid, sid=pid), **changes)


def socket(state: Any = "ESTABLISHED", **changes: Any) -> SocketDiag:
    return replace(_SOME_SOCKET, state=state, **changes)


def sample(
    *children: ProcessSnapshot,
    at: float = 0.0,
    leader: ProcessSnapshot | None = None,
    sockets: Sequence[SocketDiag] | None = (),
    cpu: float | None = 0.0,
    leader_cpu: Any = "same",
    **changes: Any,
) -> TreeSnapshot:
    """A look at a tree; by default one that sleeps without a connection."""
    leader = leader or process()
    rate: float | None = cpu if leader_cpu == "same" else leader_cpu
    return TreeSnapshot(
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


def samples(
    last: TreeSnapshot, seconds: float, config: WatchdogConfig = CONFIG
) -> list[TreeSnapshot]:
    """The same look again and again, over the last `seconds`, ending at `seconds`."""
    number = int(seconds / config.sample_interval) + 1
    times = [seconds - i * config.sample_interval for i in reversed(range(number))]
    return [at_time(last, at) for at in times]


def at_time(look: TreeSnapshot, at: float) -> TreeSnapshot:
    """The same look at another time: those that use CPU have used more of it by then."""
    own = look.leader_cpu_rate
    others = None if look.cpu_rate is None or own is None else max(0.0, look.cpu_rate - own)
    leader = look.leader and _used(look.leader, own, at)
    children = [p for p in look.processes if p is not look.leader]
    shares = [others, *[0.0] * len(children)]
    members = tuple(_used(p, share, at) for p, share in zip(children, shares, strict=False))
    processes = (*((leader,) if leader else ()), *members)
    return replace(look, at=at, leader=leader, processes=processes)


def _used(one: ProcessSnapshot, rate: float | None, at: float) -> ProcessSnapshot:
    if rate is None:
        return one
    return replace(one, cpu_user=rate * at, cpu_system=0.0, cpu_waited=0.0)


def deep(look: TreeSnapshot, **changes: Any) -> DeepLook:
    """A deep look that shows what the sample shows: one thread a process, in epoll by default."""
    leader = look.leader or process()
    living = [p for p in look.processes if p.state not in ("Z", "X")]
    sockets = tuple(_in_depth(s, leader) for s in look.sockets or ())
    whole: dict[str, Any] = {
        "agent": leader.identity,
        "processes": tuple(_one_in_depth(p) for p in living),
        "sockets": None if look.sockets is None else sockets,
    }
    return DeepLook(look.at, **{**whole, **changes})


def _one_in_depth(one: ProcessSnapshot) -> ProcessLook:
    wchan = one.wchan or ("do_epoll_wait" if one.state == "S" else None)
    main = ThreadLook(one.identity.pid, one.name, one.state, wchan, cpu_ticks=1, runs=1)
    return ProcessLook(
        one.identity, one.ppid, one.pgid, one.sid, one.name, one.state, (main,), descriptors=()
    )


def _in_depth(one: SocketDiag, owner: ProcessSnapshot) -> SocketLook:
    return SocketLook(
        one.inode or 0,
        "tcp",
        owner.identity,
        owner.name,
        state=one.state,
        remote=f"203.0.113.9:{one.remote_port}",
        reach="outside",
        send_queue=one.send_queue,
        send_age=one.send_age,
        receive_age=one.receive_age,
    )


def judge(
    state: SessionState,
    look: TreeSnapshot | None,
    idle: float,
    config: WatchdogConfig = CONFIG,
    *,
    seen: DeepLook | None = None,
    **options: Any,
) -> list[Finding]:
    """Return what a detector finds in the ticks after `idle` seconds of the same silence.

    Each of them brings a new sample and a deep look that shows the same, or `seen`.
    """
    detector = StallDetector(config, **options)
    window = [] if look is None else samples(look, idle, config)
    found = []
    for tick in range(6):
        at = idle + tick / 1000
        if look is not None:
            window = [*window, at_time(look, at)] if tick else window
        now = state.last_sign + round(at * S)
        found.append(detector.tick(state, window, now, look=looker(look, at, seen)))
    return [finding for finding in found if finding is not None]


def looker(
    look: TreeSnapshot | None, at: float, seen: DeepLook | None = None
) -> Callable[[], DeepLook | None] | None:
    """A function that takes a deep look at what a sample shows."""
    if look is None:
        return None
    return lambda: replace(seen, at=at) if seen is not None else deep(replace(look, at=at))


def cause(
    state: SessionState, look: TreeSnapshot | None, idle: float = 4000, **options: Any
) -> str:
    """Return the cause that the first warning names."""
    return judge(state, look, idle, **options)[0].cause
