"""What speaks against killing a silent session: a code, and words.

Three layers. A *sample* may show a connection, CPU, a state; that is cheap and looked for in
every sample. A *deep look* must show every thread of every member at rest in a known place, and
nothing that leads out. The *session* must be one that was understood, and owe something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from otel_untether.diagnosis import wait_channels as wchan
from otel_untether.diagnosis.naming import peer
from otel_untether.diagnosis.scene import live_sockets
from otel_untether.diagnosis.work import ran
from otel_untether.session.wording import count, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.diagnosis.facts import Facts
    from otel_untether.diagnosis.wait_channels import Place
    from otel_untether.proc_diag.deep_look import DeepLook, ProcessLook
    from otel_untether.proc_diag.snapshot import ProcessSnapshot, TreeSnapshot

    Objection = tuple[str, str]

# What spares a tree, by the code that is recorded; `docs/stalls.md` has this table.
VETOES: Final = {
    "cause": "the cause is not among `kill_causes`",
    "expected_wait": "something expected explains the silence, or somebody was asked and has not "
    "answered",
    "unknown": "a fact is missing, or a thread waits in a place that nobody knows",
    "undecoded": "nothing that the agent said was understood (text mode, an unknown program)",
    "remote_client": "the process is a client (docker, ssh, kubectl): the agent runs elsewhere",
    "connections": "a socket leads out of the tree, or listens: TCP, UDP or UNIX",
    "pipe": "it reads a pipe to which somebody outside the tree may write (not standard input)",
    "cpu": "the tree uses CPU",
    "stdin": "between two turns its input is open: it may wait for a request",
    "stopped": "a process is stopped, or held by a debugger",
    "frozen": "its control group is frozen",
    "disk_wait": "a process or thread waits for a disk or file system",
    "lock": "a thread waits for a file lock",
    "terminal": "a thread waits at a terminal",
    "output": "a thread waits until somebody reads what it writes",
    "runnable": "a thread is about to run",
    "wakes": "a thread wakes by itself, so that it may yet go on",
    "child": "a process that it started since it last moved on runs now and then, sleeps for a "
    "time, or watches files: its end may wake it (a hook that no line tells of)",
    "refused": "it wakes, and somebody in its network is refused connections: perhaps it retries",
    "working": "a tool's process worked within the last dozen samples (causes named by the "
    "operator, all but `spinning`)",
    "receiving": "bytes arrive on the model's connection (as above)",
    "writing": "the agent writes, though not to its output: its transcript grows",
    "dead": "it is dead already",
    "confirmations": "too few samples in a row agree",
    "window": "it has done nothing for less than half of `liveness_timeout`",
}
_STATES: Final = {
    "T": ("stopped", "a process was stopped by somebody"),
    "t": ("stopped", "a process is being traced"),
    "D": ("disk_wait", "it waits for a disk, no signal would reach it"),
    "Z": ("dead", "it is dead already"),
    "X": ("dead", "it is dead already"),
}
_PLACES: Final[dict[Place, Objection]] = {
    "running": ("runnable", "it is about to run"),
    "disk": ("disk_wait", "a thread waits for a disk or file system"),
    "lock": ("lock", "a thread waits for a file lock"),
    "terminal": ("terminal", "a thread waits at a terminal"),
    "pipe_write": ("output", "a thread waits until somebody reads what it writes"),
    "frozen": ("frozen", "its control group is frozen"),
    "stopped": _STATES["T"],
}
_WAITS_FOR_SOMEBODY: Final = {
    "approval": "somebody was asked",
    "question": "somebody was asked",
    "host": "its host was asked",
    "hook": "a hook has not returned",
    "retry": "it waits before it tries again",
    "rate_limit": "it waits for its rate limit",
    "compaction": "it compacts its context",
    "scheduled": "it waits for a time",
}


def objections(sample: TreeSnapshot, config: WatchdogConfig) -> Iterator[Objection]:
    """Yield what in one sample speaks against a wedge."""
    yield from hard_objections(sample)
    sockets = live_sockets(sample)
    if sockets:
        yield "connections", f"it has {count(len(sockets), 'connection')}"
    if sample.cpu_rate is not None and sample.cpu_rate >= config.cpu_idle_bound:
        yield "cpu", f"it works ({percent(sample.cpu_rate)})"


def hard_objections(sample: TreeSnapshot) -> Iterator[Objection]:
    """Yield what speaks against a kill whatever the cause."""
    if unknown := [name for name, value in _needed(sample).items() if value is None]:
        yield "unknown", f"unknown: {', '.join(unknown)}"
    if sample.alive is False:
        yield "dead", "it is dead already"
    if sample.leader is not None and sample.leader.state in _STATES:
        yield _STATES[sample.leader.state]
    elif any(process.state in ("T", "t") for process in sample.processes):
        yield _STATES["T"]


def _needed(sample: TreeSnapshot) -> dict[str, object]:
    return {
        "whether it lives": sample.alive,
        "its state": sample.leader.state if sample.leader else None,
        "its connections": sample.sockets,
        "its CPU use": sample.cpu_rate,
    }


def against_a_wedge(facts: Facts) -> dict[str, str]:
    """Return what a deep look, and the session, have against calling it wedged; words by code."""
    found: dict[str, str] = {}
    for code, words in (*_of_session(facts), *_of_look(facts)):
        found.setdefault(code, words)
    return found


def _of_session(facts: Facts) -> Iterator[Objection]:
    state = facts.state
    if not state.understood:
        yield "undecoded", "nothing it said was understood, so nobody knows what it is about"
    for wait in state.waits.values():
        yield "expected_wait", _WAITS_FOR_SOMEBODY[wait.kind]
    if facts.writes_elsewhere:
        yield "writing", "it writes, though not to its output: perhaps its transcript grows"


def _of_look(facts: Facts) -> Iterator[Objection]:
    look = facts.look
    if look is None:
        yield "unknown", "its threads and sockets could not be looked at"
        return
    if look.remote_client is not None:
        yield "remote_client", f"{look.remote_client} is a client: the agent runs elsewhere"
    if look.cgroup.frozen or any(process.frozen for process in look.processes):
        yield _PLACES["frozen"]
    if not look.complete:
        yield "unknown", f"unknown: {'; '.join(look.problems) or 'not everything was looked at'}"
    for process in look.processes:
        yield from _of_threads(process)
    yield from _of_sockets(facts)
    for who in fed(look):
        yield "pipe", f"{who}, which somebody else may write to"
    yield from _of_stdin(facts)
    yield from _of_waking(facts, look)
    for who in busy_children(facts):
        yield "child", f"{who}, and its end may wake it"


def _of_threads(process: ProcessLook) -> Iterator[Objection]:
    who = f"{process.name or 'process'} (pid {process.identity.pid})"
    if process.threads is None or not process.all_threads:
        yield "unknown", f"unknown: what the threads of {who} do"
    for thread in process.threads or ():
        where = wchan.place(thread)
        if where in _PLACES:
            yield _PLACES[where]
        elif where not in wchan.HARMLESS:
            yield "unknown", f"unknown: what {thread.wchan or 'a thread'} of {who} waits for"


def _of_sockets(facts: Facts) -> Iterator[Objection]:
    scene = facts.scene
    if scene.sockets is None or scene.others is None or scene.listening is None:
        yield "unknown", "unknown: where its sockets lead"
        return
    leading = (*scene.sockets, *scene.others)
    if leading:
        yield "connections", f"it has a connection to {peer(leading[0])}"
    elif scene.listening:
        yield "connections", f"{scene.listening[0].owner or 'it'} listens for connections"


def fed(look: DeepLook) -> Iterator[str]:
    """Yield who reads what others may write to: a pipe whose other end is not in the tree, a FIFO.

    A FIFO has a name, and whoever knows it may write there. The agent's own input is told of by
    itself.
    """
    for pipe in look.pipes:
        what = pipe.target if pipe.target.startswith("/") else "a pipe"
        yield f"{pipe.owner_name or 'a process'} (pid {pipe.owner.pid}) reads {what}"
    for process in look.processes:
        for thread in process.threads or ():
            target = thread.waits_on or ""
            own = process.identity == look.agent and target == process.stdin.target
            if target.startswith("/") and not own and wchan.place(thread) == "pipe_read":
                yield f"{process.name or 'a process'} (pid {process.identity.pid}) reads {target}"


def _of_stdin(facts: Facts) -> Iterator[Objection]:
    """Between two turns its input can wake it, whoever holds the other end."""
    seen = facts.scene.in_depth(facts.agent)
    if facts.state.turn_open or seen is None:
        return
    if seen.stdin.open_ended is not False and seen.stdin.kind in ("pipe", "socket", "terminal"):
        yield "stdin", "its input is open: it may wait for a request"


def _of_waking(facts: Facts, look: DeepLook) -> Iterator[Objection]:
    """What wakes by itself may do something by itself: an attempt to connect takes 1 ms.

    Runtimes whose idle loop wakes some times a second are known for it (`Traits.idles_awake`);
    of those, one that is refused connections cannot be told from one that is not, and is spared
    where anybody on its network is.
    """
    before = facts.earlier or facts.looks[0]
    if facts.look is before:
        return
    awake = ran(look, before)
    if awake is None:
        yield "unknown", "unknown: whether its threads ran"
    elif awake and look.refusals != before.refusals:
        yield "refused", "it wakes, and somebody in its network is refused connections"
    elif awake and (not facts.state.traits.idles_awake or _sleeps_and_wakes(facts)):
        yield "wakes", f"{awake[0]} wakes by itself, so that it may yet go on"


def busy_children(facts: Facts) -> Iterator[str]:
    """Yield who of its children, started since it last moved on, is not at rest for good.

    A hook runs without a line that tells of it, and may wait for something by looking again and
    again. A server of its own ticks as well, but was there before; and of an orphan's end nobody
    tells the agent.
    """
    look, before = facts.look, facts.earlier or (facts.looks[0] if facts.looks else None)
    if look is None or before is None:
        return
    moved = facts.state.main.progress
    young = {p.identity for p in _descendants(facts) if not facts.is_older(p, moved)}
    for process in look.processes:
        if process.identity in young:
            who = f"{process.name or 'a process'} (pid {process.identity.pid})"
            threads = process.threads or ()
            if any("nanosleep" in (t.wchan or "") for t in threads):
                yield f"{who} sleeps for a time"
            elif any(d.target == "anon_inode:inotify" for d in process.descriptors or ()):
                yield f"{who} watches files"
            elif look is not before and ran(replace(look, processes=(process,)), before):
                yield f"{who} runs now and then"


def _descendants(facts: Facts) -> Iterator[ProcessSnapshot]:
    """Yield the agent's children and theirs; who has lost its parent is none of them.

    agent 10, shell 11 (parent 10), sleep 12 (parent 11), sleep 13 (parent 1): 11 and 12
    """
    members = {process.identity.pid: process for process in facts.children}
    top = facts.agent.identity.pid if facts.agent else None
    for process in facts.children:
        above, seen = process.ppid, {process.identity.pid}
        while above is not None and above in members and above not in seen:
            seen.add(above)
            above = members[above].ppid
        if above is None or above == top:
            yield process


def _sleeps_and_wakes(facts: Facts) -> bool:
    """Whether the agent's main thread sleeps for a time: no idle event loop does that."""
    seen = facts.scene.in_depth(facts.agent)
    threads = (seen.threads or ()) if seen is not None else ()
    return any("nanosleep" in (t.wchan or "") for t in threads if t.tid == _main_thread(facts))


def _main_thread(facts: Facts) -> int:
    """Return the agent's pid, which is its main thread's."""
    return facts.agent.identity.pid if facts.agent else 0
