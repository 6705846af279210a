"""Rules that the process tree decides. Each returns its evidence, or None if it does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.diagnosis import wait_channels as wchan
from otel_untether.diagnosis.facts import SECOND
from otel_untether.diagnosis.words import count, duration, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_untether.diagnosis.facts import Facts
    from otel_untether.proc_diag.snapshot import ProcessDiag, SocketDiag

    Evidence = tuple[str, ...] | None

# PSI, per cent of the last 10 s in which everything stood still for want of memory.
_MEMORY_FULL: Final = 10.0
# Programs that ask people things; where the kernel's word is ambiguous, their name decides.
_PROMPTERS: Final = frozenset(
    {"ssh", "git", "sudo", "su", "passwd", "vi", "vim", "nvim", "nano", "less", "more", "man"}
    | {"gpg", "pinentry", "emacs", "top"}
)


def orphan_holds_output(facts: Facts) -> Evidence:
    """The agent ended, and a process it left behind keeps its output open."""
    if not facts.ended or not facts.children:
        return None
    return (f"the agent has exited, but {_named(facts.children)} still holds its output",)


def dead(facts: Facts) -> Evidence:
    """The agent ended, and nobody has noticed."""
    return ("the agent process has exited",) if facts.ended else None


def stopped(facts: Facts) -> Evidence:
    """Somebody stopped it: SIGSTOP, a debugger, or a background process at the terminal."""
    newest = facts.newest
    halted = [p for p in newest.processes if p.state in ("T", "t")] if newest else []
    if not halted:
        return None
    return (f"{_named(halted)} is stopped (state {halted[0].state}), resume it with SIGCONT",)


def disk_wait(facts: Facts) -> Evidence:
    """It sleeps uninterruptibly, usually in a file system that does not answer."""
    stuck = _throughout(facts, lambda process: process.state == "D")
    if not stuck:
        return None
    where = f" in {stuck[0].wchan}" if stuck[0].wchan else ""
    return (f"{_named(stuck)} waits for a disk or file system (state D{where})",)


def output_blocked(facts: Facts) -> Evidence:
    """Its output is not being read: the reader is slow, the agent is not to blame."""
    if facts.blocked_since is not None:
        since = duration(max(0, facts.now - facts.blocked_since) / SECOND)
        return (f"its output has not been read for {since}",)
    leader = facts.leader
    if leader is None or not wchan.writes_pipe(leader):
        return None
    return ("its output is not being read (the pipe is full)",)


def awaiting_terminal(facts: Facts) -> Evidence:
    """Something asks a question at a terminal, where nobody sits."""
    has_sockets = None if facts.sockets is None else bool(facts.sockets)
    asking = [p for p in _living(facts) if _at_terminal(p, has_sockets=has_sockets)]
    return (f"{_named(asking)} waits for input at a terminal",) if asking else None


def _at_terminal(process: ProcessDiag, *, has_sockets: bool | None) -> bool:
    known = False if process.name in _PROMPTERS else has_sockets
    return wchan.waits_on_terminal(process, has_sockets=known)


def lock_wait(facts: Facts) -> Evidence:
    """It waits for a file lock that somebody else holds."""
    waiting = _throughout(facts, wchan.waits_for_lock)
    return (f"{_named(waiting)} waits for a file lock",) if waiting else None


def memory_pressure(facts: Facts) -> Evidence:
    """The machine is out of memory and everything crawls."""
    if facts.newest is None:
        return None
    full = facts.newest.host.pressure_memory_full
    if full is not None and full >= _MEMORY_FULL:
        return (f"the machine is short of memory (all tasks stalled {full:.0f} % of the time)",)
    kills = [sample.cgroup.oom_kills for sample in facts.recent]
    if len(kills) > 1 and None not in kills and kills[0] != kills[-1]:
        return ("the kernel killed a process of its control group for want of memory",)
    return None


def spinning(facts: Facts) -> Evidence:
    """The agent process itself burns CPU and says nothing."""
    # On a crowded machine it gets less than it asks for, but asks in every sample.
    hungry = facts.steadily("R") and facts.leader_working
    if not (facts.leader_busy or hungry) or facts.newest is None:
        return None
    rate = facts.newest.leader_cpu_rate or 0.0
    return (f"the agent process is busy without a word ({percent(rate)})",)


def wedged_in_a_call(facts: Facts) -> Evidence:
    """A call is open that no process carries out, and nothing can wake the agent."""
    calls = (*facts.tools, *facts.subagents)
    if not calls or facts.children or any(call.mcp_server for call in facts.tools):
        return None
    if not facts.nothing_can_wake_it:
        return None
    return (f"nothing can wake it: {calls[-1].name} is open, but no process works on it",)


def wedged(facts: Facts) -> Evidence:
    """It sleeps, has no connection, and no process of its own that might be a tool."""
    if facts.tools or facts.subagents or not facts.nothing_can_wake_it or _may_be_a_tool(facts):
        return None
    return ("nothing can wake it: no connection, no CPU use, no tool at work",)


def _may_be_a_tool(facts: Facts) -> bool:
    """Whether a child may be a tool that the engine has not named; unknown counts as yes."""
    traits = facts.state.traits
    if not traits.names_tools_late or not facts.children:
        return False
    return not traits.tools_leave_session or facts.tool_processes != ()


def tool_awaits_stdin(facts: Facts) -> Evidence:
    """A tool's last process waits for input that nobody will send."""
    working = facts.tool_processes or ()
    parents = {process.ppid for process in working}
    leaves = [process for process in working if process.identity.pid not in parents]
    if not leaves or not all(wchan.reads_pipe(process) for process in leaves):
        return None
    return (f"{_named(leaves)}, started by a tool, waits for input on a pipe",)


def agent_awaits_stdin(facts: Facts) -> Evidence:
    """The agent waits for its own standard input to say something, or to end."""
    if facts.leader is None or facts.children or not wchan.reads_pipe(facts.leader):
        return None
    return ("the agent waits for its standard input: write to it, or close it",)


def network_lost(facts: Facts) -> Evidence:
    """A connection that cannot be made, was given up by the peer, or takes nothing any more."""
    if facts.sockets is None:
        return None
    by_state = {state: [s for s in facts.sockets if s.state == state] for state in _BROKEN}
    for state, text in _BROKEN.items():
        if by_state[state] and (state == "SYN_SENT" or not facts.established):
            return (f"{count(len(by_state[state]), 'connection')} {text}",)
    stuck = [s for s in facts.established if _undelivered(facts, s)]
    if not stuck:
        return None
    return (f"{stuck[0].send_queue} bytes are sent but not acknowledged: the peer is gone",)


_BROKEN: Final = {
    "SYN_SENT": "cannot be made: the peer does not answer",
    "CLOSE_WAIT": "closed by the peer, unnoticed by the agent",
}


def _undelivered(facts: Facts, socket: SocketDiag) -> bool:
    queues = [
        {other.inode: other.send_queue for other in sample.sockets or ()}.get(socket.inode)
        for sample in facts.recent
    ]
    return len(queues) > 1 and all(queues)


def _living(facts: Facts) -> tuple[ProcessDiag, ...]:
    leader = facts.leader
    return (*((leader,) if leader else ()), *facts.children)


def _throughout(facts: Facts, test: Callable[[ProcessDiag], bool]) -> list[ProcessDiag]:
    """Return the living members for which `test` held in every recent sample."""
    held = [process for process in _living(facts) if test(process)]
    for sample in facts.recent[:-1] if held else ():
        before = {process.identity for process in sample.processes if test(process)}
        held = [process for process in held if process.identity in before]
    return held


def _named(processes: Sequence[ProcessDiag]) -> str:
    """Return the first one's name, and how many more there are."""
    first, more = processes[0].name or f"process {processes[0].identity.pid}", len(processes) - 1
    return f"{first} and {count(more, 'other')}" if more else first


def context(facts: Facts, cause: str) -> tuple[str, ...]:
    """What else the tree shows that the cause has not said."""
    if facts.newest is None:
        return ("the process tree could not be looked at",)
    connections = () if cause in _SAY_CONNECTIONS else _connections(facts)
    return (*connections, *_work(facts), *_offspring(facts))


_SAY_CONNECTIONS: Final = frozenset({"model_silent", "network_lost", "wedged"})


def _connections(facts: Facts) -> tuple[str, ...]:
    if facts.sockets is None:
        return ("its connections are unknown",)
    if not facts.established:
        return ("no open connection",)
    age = facts.receive_age
    last = "" if age is None else f" (last byte {duration(age)} ago)"
    return (f"{count(len(facts.established), 'open connection')}{last}",)


def _work(facts: Facts) -> tuple[str, ...]:
    if facts.cpu is None:
        return ("CPU use unknown",)
    return () if facts.resting else (percent(facts.cpu),)


def _offspring(facts: Facts) -> tuple[str, ...]:
    number = len(facts.children)
    if not number:
        return ()
    idle = " idle" if facts.resting else ""
    return (f"{count(number, 'child', 'children')}{idle}",)
