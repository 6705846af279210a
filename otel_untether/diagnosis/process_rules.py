"""Rules that the process tree decides. Each returns its evidence, or None if it does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.diagnosis import wait_channels as wchan
from otel_untether.diagnosis.clocks import in_background
from otel_untether.diagnosis.naming import in_state, named, one, peer
from otel_untether.diagnosis.objections import busy_children, fed
from otel_untether.session.wording import count, duration, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_untether.diagnosis.facts import Facts
    from otel_untether.diagnosis.scene import Connection
    from otel_untether.diagnosis.wait_channels import Place
    from otel_untether.proc_diag.deep_look import DeepLook, ProcessLook, ThreadLook
    from otel_untether.proc_diag.snapshot import ProcessSnapshot
    from otel_untether.session.state import SessionState

    Evidence = tuple[str, ...] | None

# PSI, per cent of the last 10 s in which everything stood still for want of memory.
_MEMORY_FULL: Final = 10.0
# Programs that ask people things; where the kernel's word is ambiguous, their name decides.
_PROMPTERS: Final = frozenset(
    {"ssh", "git", "sudo", "su", "passwd", "vi", "vim", "nvim", "nano", "less", "more", "man"}
    | {"gpg", "pinentry", "emacs", "top", "git-remote-http", "git-remote-https", "pinentry-curses"}
)
_AT_REST: Final = frozenset({"asleep", "ended"})
_SECOND: Final = 10**9


def orphan_holds_output(facts: Facts) -> Evidence:
    """The agent ended, and a process it left behind keeps its output open."""
    if not facts.ended or not facts.children:
        return None
    return (f"the agent has exited, but {named(facts.children)} still holds its output",)


def dead(facts: Facts) -> Evidence:
    """The agent ended, and nobody has noticed: not where a slow reader is still being served."""
    if not facts.ended or facts.blocked_since is not None:
        return None
    return ("the agent process has exited",)


def frozen(facts: Facts) -> Evidence:
    """Its control group is frozen: docker pause, systemctl freeze."""
    look = facts.look
    if look is None:
        return None
    held = [p for p in look.processes if p.frozen]
    if not look.cgroup.frozen and not held:
        return None
    where = f" ({look.cgroup.path})" if look.cgroup.path else ""
    return (f"its control group{where} is frozen: docker pause, or systemctl freeze",)


def stopped(facts: Facts) -> Evidence:
    """Somebody stopped it: SIGSTOP, a debugger, or a background process at the terminal."""
    newest = facts.newest
    members = newest.processes if newest else ()
    halted = [p for p in members if p.state in ("T", "t") and p.identity not in facts.bystanders]
    if not halted:
        return None
    who = halted[0]
    if who.state == "t":
        return (f"{in_state(who)} is held by a debugger",)
    seen = facts.scene.in_depth(who)
    if seen is not None and seen.stdin.kind == "terminal" and seen.stdin.open_ended:
        text = "is stopped; if it read its terminal from the background (SIGTTIN)"
        return (f"{in_state(who)} {text}, SIGCONT stops it again: run it without a terminal",)
    return (f"{in_state(who)} is stopped, resume it with kill -CONT {who.identity.pid}",)


def disk_wait(facts: Facts) -> Evidence:
    """It waits for a disk or a file system that does not answer, perhaps in a thread."""
    stuck = _throughout(facts, wchan.waits_for_files)
    if stuck:
        return (f"{in_state(stuck[0])} waits for a disk or file system",)
    return _stuck_thread(facts, "disk", "waits for a disk or file system")


def lock_wait(facts: Facts) -> Evidence:
    """It waits for a file lock that somebody else holds, perhaps in a thread."""
    waiting = _throughout(facts, wchan.waits_for_lock)
    if waiting:
        found = _at(facts, "lock")
        target = next((t.waits_on for _, t in found if t.waits_on), None)
        return (f"{in_state(waiting[0])} waits for a file lock{f' on {target}' if target else ''}",)
    return _stuck_thread(facts, "lock", "waits for a file lock")


def _stuck_thread(facts: Facts, where: Place, text: str) -> Evidence:
    """Report a thread that was there in every deep look of this silence."""
    found = _at(facts, where)
    for look in facts.looks[-3:-1]:
        before = {t.tid for p in look.processes for t in p.threads or () if wchan.place(t) == where}
        found = [(p, t) for p, t in found if t.tid in before]
    if not found:
        return None
    process, thread = found[0]
    on = f" on {thread.waits_on}" if thread.waits_on else ""
    return (f"{_thread(process, thread)} {text}{on}",)


def _at(facts: Facts, where: Place) -> list[tuple[ProcessLook, ThreadLook]]:
    looked = facts.look.processes if facts.look else ()
    processes = [p for p in looked if p.identity not in facts.bystanders]
    return [(p, t) for p in processes for t in p.threads or () if wchan.place(t) == where]


def _thread(process: ProcessLook, thread: ThreadLook) -> str:
    state = f"state {thread.state}" + (f" in {thread.wchan}" if thread.wchan else "")
    which = "" if thread.tid == process.identity.pid else f", thread {thread.name or thread.tid}"
    return f"{process.name or 'process'} (pid {process.identity.pid}, {state}{which})"


def output_blocked(facts: Facts) -> Evidence:
    """Its output is not being read: the reader is slow, the agent is not to blame."""
    if facts.blocked_since is not None:
        since = duration(max(0, facts.now - facts.blocked_since) / _SECOND)
        return (f"its output has not been read for {since}",)
    agent = facts.agent
    if agent is None or not wchan.writes_pipe(agent):
        return None
    if _full_pipe(facts):
        return None  # it writes to somebody else: `child_not_reading`
    return (f"its output is not being read (the pipe is full; {in_state(agent)})",)


def child_not_reading(facts: Facts) -> Evidence:
    """The agent waits to write to a process of its own, which does not read."""
    agent = facts.agent
    if agent is None or not wchan.writes_pipe(agent) or not (reader := _full_pipe(facts)):
        return None
    return (f"{in_state(agent)} waits to write to {reader}, which does not read",)


def _full_pipe(facts: Facts) -> str | None:
    """Return who else holds the pipe that the agent writes to: "" for its output, None unknown."""
    seen = facts.scene.in_depth(facts.agent)
    if seen is None or facts.look is None or seen.descriptors is None:
        return None
    target = next((t.waits_on for t in seen.threads or () if wchan.place(t) == "pipe_write"), None)
    if target is None:
        return None
    if any(d.target == target and d.number in (1, 2) for d in seen.descriptors):
        return ""
    end = _other_end(facts.look, target)
    others = [p for p in facts.look.processes if p.identity != seen.identity]
    holder = [p for p in others if any(d.target == end for d in p.descriptors or ())]
    return f"{holder[0].name} (pid {holder[0].identity.pid})" if holder else None


def _other_end(look: DeepLook, target: str) -> str:
    """Return what the reader of a pipe or socket has among its descriptors."""
    sockets = (s for s in look.sockets or () if f"socket:[{s.inode}]" == target)
    peer = next((s.peer_inode for s in sockets), None)
    return f"socket:[{peer}]" if peer else target


def awaiting_terminal(facts: Facts) -> Evidence:
    """Something asks a question at a terminal, where nobody sits."""
    asking = [process for process in facts.concerned if _at_terminal(facts, process)]
    return (f"{in_state(asking[0])} waits for input at a terminal",) if asking else None


def _at_terminal(facts: Facts, process: ProcessSnapshot) -> bool:
    seen = facts.scene.in_depth(process)
    if seen is None or seen.threads is None:
        has = None if facts.sockets is None else bool(facts.sockets)
        known = False if process.name in _PROMPTERS else has
        return wchan.waits_on_terminal(process, has_sockets=known)
    places = {wchan.place(thread) for thread in seen.threads}
    if "terminal" in places:
        return True
    if seen.holds_terminal is False and process.name not in _PROMPTERS:
        return False
    if seen.polls_terminal and places <= _AT_REST:
        return not _tree_holds(facts, process)
    # An editor waits in select(2) for its terminal and for nothing else.
    polls = places <= _AT_REST and process.name in _PROMPTERS
    unsure = any((t.wchan or "").startswith("wait_woken") and not t.waits_on for t in seen.threads)
    reads = seen.stdin.kind == "terminal" or seen.holds_terminal is not False
    return (polls or unsure) and reads and not _tree_holds(facts, process)


def _tree_holds(facts: Facts, process: ProcessSnapshot) -> bool:
    """Whether a process has a connection that leads out, and may wait for that."""
    outward = (facts.look.outward if facts.look else None) or ()
    return any(process.identity.pid in (s.owner.pid, *s.holders) for s in outward)


def memory_pressure(facts: Facts) -> Evidence:
    """The machine, or the agent's own control group, is out of memory and everything crawls."""
    if facts.newest is None:
        return None
    full = facts.newest.host.pressure_memory_full
    if full is not None and full >= _MEMORY_FULL:
        return (f"the machine is short of memory (all tasks stalled {full:.0f} % of the time)",)
    group = facts.look.cgroup if facts.look else None
    if group is not None and group.memory_full is not None and group.memory_full >= _MEMORY_FULL:
        share = f"all its tasks stalled {group.memory_full:.0f} % of the time"
        return (f"its control group {group.path or ''} is short of memory ({share})",)
    kills = [sample.cgroup.oom_kills for sample in facts.recent]
    if len(kills) > 1 and None not in kills and kills[0] != kills[-1]:
        return ("the kernel killed a process of its control group for want of memory",)
    return None


def cpu_starved(facts: Facts) -> Evidence:
    """The agent wants to run, and others have the machine: it may work, as slowly as it can."""
    if not facts.agent_starved or facts.agent is None or facts.newest is None:
        return None
    told = f"{one(facts.agent)} gets {percent(facts.agent_cpu or 0.0)} and asks for a whole core"
    load = facts.newest.host.load1
    return (told, f"load {load:.0f}") if load is not None else (told,)


def spinning(facts: Facts) -> Evidence:
    """The agent process itself burns CPU and says nothing."""
    idle_loop = facts.agent_spins and not facts.answering
    if not (facts.agent_busy or facts.agent_hungry or idle_loop) or facts.agent is None:
        return None
    rate = facts.agent_cpu or 0.0
    return (f"{one(facts.agent)} is busy without a word ({percent(rate)})",)


def tool_awaits_stdin(facts: Facts) -> Evidence:
    """A tool's last process waits for input that nobody will send.

    One that another process of the tool would send it is that one's to send: a language server
    and the last program of a pipeline wait like that all their lives. So does what was left behind.
    """
    awaited = facts.tools or facts.tools_unnamed or in_background(facts.state)
    mine = (facts.tool_processes or ()) if awaited else ()
    working = tuple(process for process in mine if process.identity not in facts.bystanders)
    parents = {process.ppid for process in working}
    leaves = [process for process in working if process.identity.pid not in parents]
    if not leaves or not all(map(wchan.reads_pipe, leaves)) or facts.tools_at_work:
        return None
    unfed = [leaf for leaf in leaves if not _fed_by(facts, leaf, working)]
    if not unfed:
        return None
    return (f"{in_state(unfed[0])}, started by a tool, waits for input on a pipe",)


def _fed_by(facts: Facts, leaf: ProcessSnapshot, working: tuple[ProcessSnapshot, ...]) -> bool:
    """Whether one of these holds a process's input by another number than its own input's."""
    seen = facts.scene.in_depth(leaf)
    target = None if seen is None else seen.stdin.target
    if target is None or not target.startswith("pipe:"):
        return False
    found = (facts.scene.in_depth(other) for other in working if other is not leaf)
    held = (d for other in found if other is not None for d in other.descriptors or ())
    return any(d.target == target and d.number != 0 for d in held)


def agent_awaits_stdin(facts: Facts) -> Evidence:
    """The agent waits for its own standard input to say something, or to end.

    One that takes one prompt after another always has somebody who reads the next: while it works
    on one, that says nothing.
    """
    if facts.agent is None or _reads_on(facts.state):
        return None
    if facts.children and (facts.tool_processes != () or not facts.state.silent):
        return None  # only servers of its own may be there before it has read what it is to do
    seen = facts.scene.in_depth(facts.agent)
    if seen is None or seen.threads is None:
        if not wchan.reads_pipe(facts.agent):
            return None
        return (f"{in_state(facts.agent)} waits for its standard input: write to it, or close it",)
    reading = [t for t in seen.threads if wchan.place(t) == "pipe_read"]
    own = [t for t in reading if t.waits_on is None or t.waits_on == seen.stdin.target]
    if not own or seen.stdin.open_ended is False:
        return None
    return (f"{_thread(seen, own[0])} waits for its standard input: write to it, or close it",)


def _reads_on(state: SessionState) -> bool:
    return state.turn_open and (state.multi_prompt is True or state.serves is not None)


def network_lost(facts: Facts) -> Evidence:
    """A connection that cannot be made, was given up by the peer, or takes nothing any more."""
    if facts.sockets is None:
        return None
    model = facts.model
    for state, text in _BROKEN.items():
        found = [s for s in facts.sockets if s.state == state]
        last = model is not None and model.state == state
        if found and (state == "SYN_SENT" or not facts.established or last):
            where = f" to {peer(found[0])}" if found[0].remote else ""
            return (f"{count(len(found), 'connection')}{where} {text}",)
    stuck = [s for s in facts.established if _undelivered(facts, s)]
    if not stuck:
        return _name_unknown(facts)
    sent = f"{stuck[0].send_queue} bytes are sent to {peer(stuck[0])}"
    return (f"{sent} but not acknowledged: the peer is gone",)


def _name_unknown(facts: Facts) -> Evidence:
    asked = [s for s in facts.established if s.asks_for_a_name]
    if facts.model is not None or not asked:
        return None
    return (f"it waits for the name service at {peer(asked[0])}",)


_BROKEN: Final = {
    "SYN_SENT": "cannot be made: the peer does not answer",
    "CLOSE_WAIT": "closed by the peer, unnoticed by the agent",
}


def _undelivered(facts: Facts, socket: Connection) -> bool:
    queues = [
        {other.inode: other.send_queue for other in sample.sockets or ()}.get(socket.inode)
        for sample in facts.recent
    ]
    return len(queues) > 1 and all(queues)


def agent_asleep(facts: Facts) -> Evidence:
    """The agent sleeps without a connection, while others of its tree may yet wake it."""
    if facts.sockets is None or facts.sockets or facts.agent is None:
        return None
    if facts.agent_working is not False or facts.agent.state != "S":
        return None
    if facts.alive is not True or facts.look is None:
        return None
    others = [
        *_listeners(facts), *_workers(facts), *fed(facts.look), *busy_children(facts),
    ]  # fmt: skip
    if not others:
        return None
    return (f"{in_state(facts.agent)} sleeps without a connection; {'; '.join(others[:3])}",)


def _listeners(facts: Facts) -> Iterator[str]:
    for socket in facts.scene.listening or ():
        yield f"{socket.owner or 'a process of its tree'} listens"
    for socket in facts.scene.others or ():
        yield f"{socket.owner or 'a child'} has a connection to {peer(socket)}"


def _workers(facts: Facts) -> Iterator[str]:
    for process in facts.tools_at_work:
        yield f"{one(process)} works"
    if facts.resting is False and not facts.tools_at_work:
        yield "something in its tree works"


def _throughout(facts: Facts, test: Callable[[ProcessSnapshot], bool]) -> list[ProcessSnapshot]:
    """Return the living members for which `test` held in every recent sample."""
    held = [process for process in facts.concerned if test(process)]
    for sample in facts.recent[:-1] if held else ():
        before = {process.identity for process in sample.processes if test(process)}
        held = [process for process in held if process.identity in before]
    return held
