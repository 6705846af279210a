"""The verdict on a run: how it ended, why, what to do next, and what that rests on.

Words only, so that a terminal, a page, a Markdown file and a program say the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from otel_untether import semconv
from otel_untether.diagnosis import advice
from otel_untether.report import endings
from otel_untether.report.session_facts import facts
from otel_untether.report.silences import Silence, silences
from otel_untether.session.wording import count, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.report.dumps import Dump, DumpedProcess, DumpedSocket
    from otel_untether.report.predecessor import Predecessor
    from otel_untether.report.run import Recorded
    from otel_untether.report.session_facts import SessionFacts
    from otel_untether.report.span_node import SpanNode

Mood: TypeAlias = Literal["good", "waiting", "bad"]

_STATES: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "in uninterruptible sleep",
    "Z": "zombie",
    "T": "stopped",
    "t": "stopped by a tracer",
    "I": "idle",
}
# The process at fault says it, too.
_CPU: Final = re.compile(r"[\d.]+ % CPU")
_CALLS: Final = 4
_SOCKETS: Final = 3
_STDERR: Final = 3
_LATE: Final = 1_000_000_000  # ns; less is not worth a word


@dataclass(frozen=True, slots=True)
class Verdict:
    """`how` it ended, in a word or two; `why` and `next` are None where there is nothing to say.

    `evidence` are sentences with numbers, `stderr` the agent's last lines there, redacted: they
    may hold what no telemetry does, so only this machine is shown them. `silence` is the one
    that the verdict is about.
    """

    how: str
    mood: Mood
    why: str | None = None
    next: str | None = None
    evidence: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    cause: str | None = None
    silence: Silence | None = None


def verdict(recorded: Recorded) -> Verdict:
    """Judge a run by what it left behind."""
    root = recorded.root
    if root is None:
        return Verdict("no spans were recorded for this run", "bad")
    told = facts(recorded, root)
    silence = _decisive(silences(root, recorded.until), told)
    how, mood = _how(told, silence)
    if silence is None:
        why, todo = endings.explain(told.outcome, told.error)
        evidence = (*_failure(root, told), *_resumed(recorded.before))
        stderr = recorded.stderr[-_STDERR:] if mood == "bad" else ()
        return Verdict(how, mood, why, todo, evidence, stderr)
    dump = _dump(recorded, silence)
    return Verdict(
        how,
        mood,
        why=_why(silence, told),
        next=_next(silence, recorded.before),
        evidence=tuple(_evidence(recorded, root, silence, dump)),
        stderr=(recorded.stderr or (dump.stderr if dump else ()))[-_STDERR:],
        cause=silence.cause,
        silence=silence,
    )


def _decisive(found: list[Silence], told: SessionFacts) -> Silence | None:
    """Return the silence that says most: the one it ended in, or is in, else the longest."""
    if not found:
        return None
    last = found[-1]
    if not last.recovered and told.outcome != "completed":
        return last
    return max(found, key=lambda silence: silence.length)


def _how(told: SessionFacts, silence: Silence | None) -> tuple[str, Mood]:
    if told.outcome == "running":
        if silence is not None and silence.ongoing:
            return f"stalled ({silence.cause}), still running", "bad"
        return "running", "waiting"
    mood: Mood = "good" if told.outcome == "completed" else "bad"
    how = told.outcome + (f" ({told.error})" if told.error else "")
    frozen = silence is not None and not silence.recovered and mood == "bad"
    if silence is not None and frozen and told.error != silence.cause:
        how += f" while stalled ({silence.cause})"
    return how, mood


def _why(silence: Silence, told: SessionFacts) -> str:
    first = silence.evidence[0] if silence.evidence else silence.cause
    looked = (silence.last.end or silence.end) - silence.start
    late = f" (last looked at after {duration(looked / 1e9)})"
    same = f"for {duration(silence.length / 1e9)}" in first
    when = late if silence.length > looked + _LATE and not same else ""
    after = ""
    if silence.recovered:
        after = "; then it went on"
    elif told.outcome == "killed":
        after = "; ended for it by otel-untether"
    return f"{silence.said()}{when}: {first}{after}"


def _next(silence: Silence, before: Predecessor | None) -> str | None:
    """Say what to do: about an agent that hangs, or about one that is gone."""
    if silence.recovered:
        return None
    found = silence.last.attributes
    said = found.get(semconv.STALL_ADVICE)
    todo = str(said) if said else advice.action(silence.cause) or ""
    pid = found.get(semconv.STALL_PID)
    if isinstance(pid, int):
        todo = todo.replace(" PID", f" {pid}")
    if before is not None and before.froze:
        return f"begin a new session instead of resuming this one again; {todo}".rstrip("; ")
    if silence.ongoing or todo.startswith("restart"):
        return todo or None
    return f"run it again; if it comes back: {todo}" if todo else "run it again"


def _dump(recorded: Recorded, silence: Silence) -> Dump | None:
    """Return the last look at this silence: dumps are named after their warning."""
    within = [d for d in recorded.dumps if silence.start <= d.at <= max(silence.end, silence.start)]
    return within[-1] if within else None


def _evidence(
    recorded: Recorded, root: SpanNode, silence: Silence, dump: Dump | None
) -> Iterator[str]:
    yield from _resumed(recorded.before)
    yield from _open_calls(root, silence)
    yield from _at_fault(silence, dump)
    if dump is not None:
        yield from _connections(dump)
    yield from _last_connection(recorded, silence)
    yield from (said for said in silence.evidence[1:] if not _CPU.fullmatch(said))


def _resumed(before: Predecessor | None) -> Iterator[str]:
    if before is None or not before.froze:
        return
    run = f" in run {before.run_id}" if before.run_id else ""
    cause = f" ({before.cause})" if before.cause else ""
    # Whose watcher died may have gone on well: only a warning says that it froze.
    how = "was cut off" if before.outcome == "orphaned" and before.cause is None else "froze"
    yield f"it resumes a session that {how} before{cause}{run}, which ended {before.outcome}"


def _open_calls(root: SpanNode, silence: Silence) -> Iterator[str]:
    """Name the calls that were open while it was silent, the oldest first.

    Of a call that contains what it started, that is named.
    """
    warned = silence.last.end or silence.end
    found = [
        node
        for node in root.walk()
        if (node.kind in ("agent", "wait") or (node.kind == "tool" and not node.children))
        and node.start <= warned
        and (node.end is None or node.end >= silence.end)
    ]
    if not found:
        return
    named = [
        f"{_called(node)} for {duration(max(silence.end - node.start, 0) / 1e9)}"
        for node in found[:_CALLS]
    ]
    more = f" and {len(found) - _CALLS} more" if len(found) > _CALLS else ""
    yield f"open: {', '.join(named)}{more}"


def _called(node: SpanNode) -> str:
    if node.kind == "agent":
        return f"agent {node.attributes.get(semconv.AGENT_NAME) or '?'}"
    if node.kind == "wait":
        return f"wait for {node.attributes.get(semconv.WAIT_KIND) or '?'}"
    return node.tool


def _at_fault(silence: Silence, dump: Dump | None) -> Iterator[str]:
    found = silence.last.attributes
    pid = found.get(semconv.STALL_PID)
    if not isinstance(pid, int):
        return
    seen = dump.process(pid) if dump is not None else None
    state = seen.state if seen else found.get(semconv.STALL_STATE)
    wchan = seen.wchan if seen else found.get(semconv.STALL_WCHAN)
    cpu = found.get(semconv.STALL_CPU)
    parts = [
        f"process {pid}" + (f" ({seen.name})" if seen and seen.name else ""),
        _STATES.get(str(state), f"state {state}") if state else None,
        f"in {wchan}" if wchan and wchan != "0" else None,
        *_size(seen),
        f"its tree at {percent(cpu)}" if isinstance(cpu, float | int) else "CPU unknown",
    ]
    yield ", ".join(part for part in parts if part)


def _size(seen: DumpedProcess | None) -> Iterator[str]:
    if seen is None:
        return
    if seen.age is not None:
        yield f"{duration(seen.age)} old"
    if seen.threads is not None:
        yield count(seen.threads, "thread")


def _connections(dump: Dump) -> Iterator[str]:
    """Say which connections there were: those that lead somewhere."""
    found = [s for s in dump.sockets if s.state != "LISTEN" and s.remote]
    for socket in sorted(found, key=lambda s: s.state != "ESTABLISHED")[:_SOCKETS]:
        yield _connection(socket)
    if len(found) > _SOCKETS:
        yield f"and {count(len(found) - _SOCKETS, 'more connection')}"


def _connection(socket: DumpedSocket) -> str:
    parts = [f"connection to {socket.remote} {socket.state}"]
    if socket.receive_age is not None:
        parts.append(f"last byte received {duration(socket.receive_age)} ago")
    if socket.send_queue:
        parts.append(f"{socket.send_queue:,} bytes not yet acknowledged")
    if socket.receive_queue:
        parts.append(f"{socket.receive_queue:,} bytes not yet read")
    return ", ".join(parts)


def _last_connection(recorded: Recorded, silence: Silence) -> Iterator[str]:
    """Say when the last connection was lost, where there was one and is none."""
    counted = [s for s in recorded.samples if s.tcp is not None and s.at <= silence.end]
    if not counted or counted[-1].tcp:
        return
    held = [sample for sample in counted if sample.tcp]
    if not held:
        return
    last = held[-1]
    gap = (silence.start - last.at) / 1e9
    when = (
        f"{duration(gap)} before" if gap > 0 else f"{duration(-gap)} after"
    ) + " the last sign of life"
    yield f"it had {count(int(last.tcp or 0), 'connection')} until {when}, none since"


def _failure(root: SpanNode, told: SessionFacts) -> Iterator[str]:
    """Say what failed last, where the session did."""
    if told.outcome in ("completed", "running", "unknown"):
        return
    failed = [node for node in root.walk() if node.failed and node.kind in ("tool", "chat")]
    if failed:
        last = max(failed, key=lambda node: node.end or node.start)
        what = last.tool if last.kind == "tool" else "the model's answer"
        code = last.attributes.get(semconv.PROCESS_EXIT_CODE)
        said = f"exit {code}" if code else last.attributes.get(semconv.ERROR_TYPE) or "failed"
        yield f"the last that failed: {what} ({said})"
    if told.exit_code and told.error != str(told.exit_code):
        yield f"it exited with status {told.exit_code}"
