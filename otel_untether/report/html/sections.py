"""The tables of a page: where the time went, the calls, the silences, the dump, the events."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.report import breakdown
from otel_untether.report.html.elements import add, section, shown, table
from otel_untether.report.terminal import text as words
from otel_untether.report.terminal.rows import failure, label
from otel_untether.session.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element

    from otel_untether.report.dumps import Dump, DumpedProcess, DumpedSocket
    from otel_untether.report.run import Recorded
    from otel_untether.report.silences import Silence
    from otel_untether.report.span_node import Frame, SpanEvent, SpanNode

_SLOWEST, _TOOLS, _EVENTS, _CONTENT = 15, 50, 200, 200
_PROCESSES: Final = 60
_SILENCES: Final = 20
_LINE: Final = 4000  # characters of a line of captured content
_OF_PROCESS: Final = (
    "pid", "parent", "name", "state", "waits in", "threads", "files", "memory", "CPU", "age",
)  # fmt: skip
_OF_SOCKET: Final = (
    "state", "remote", "held by", "last received", "last sent", "not acknowledged", "not read",
)  # fmt: skip
_CAPTURED: Final = {
    semconv.TOOL_ARGUMENTS: "arguments",
    semconv.TOOL_RESULT: "result",
}
_ANY_CAPTURED: Final = re.compile("|".join(re.escape(f'"{name}"') for name in _CAPTURED).encode())
_LONGEST_NAME: Final = max(map(len, _CAPTURED)) + len('""')


def time_spent(parent: Element, root: SpanNode, until: int) -> None:
    """Say where the time went, every moment once."""
    spent = breakdown.wall_time(root, until)
    total = max(sum(spent.values()), 1)
    box = section(parent, "Where the time went")
    rows = [
        (category, words.duration(took), f"{took / total:.0%}")
        for category, took in spent.items()
        if took
    ]
    table(box, "Time by what it was spent on", ("spent on", "took", "share"), rows)


def calls(parent: Element, root: SpanNode, until: int) -> None:
    """List the longest calls, and all tools with their totals."""
    slowest = breakdown.slowest(root, until, _SLOWEST)
    if slowest:
        box = section(parent, "Slowest calls")
        columns = ("call", "took", "began at", "how it ended")
        table(box, "The longest calls", columns, (_call(node, root, until) for node in slowest))
    totals = breakdown.tool_totals(root, until)
    if totals:
        box = section(parent, "Tools")
        rows = (
            (
                shown(total.name),
                f"{total.calls:,}",
                f"{total.errors:,}",
                words.duration(total.total),
                words.duration(total.longest),
            )
            for total in totals[:_TOOLS]
        )
        table(box, "Tools by time", ("tool", "calls", "failed", "took", "longest"), rows)


def _call(node: SpanNode, root: SpanNode, until: int) -> tuple[str, ...]:
    took, began = words.duration(node.duration(until)), words.duration(node.start - root.start)
    ended = "still open" if node.end is None else failure(node) if node.failed else "well"
    return shown(label(node)), took, began, shown(ended)


def stalls(parent: Element, root: SpanNode, found: Sequence[Silence]) -> None:
    """Tell each silence once."""
    if not found:
        return
    box = section(parent, "Silences")
    if len(found) > _SILENCES:
        add(box, "p", f"The last {_SILENCES} of {len(found):,}.", class_="dim")
    for silence in found[-_SILENCES:]:
        add(box, "h3", shown(f"{silence.cause}: {silence.said()}"))
        began = words.duration(silence.start - root.start)
        over = (
            "goes on" if silence.ongoing else "spoke again" if silence.recovered else "to the end"
        )
        add(box, "p", f"from {began}, {over}; warnings: {len(silence.warnings)}", class_="dim")
        items = add(box, "ul")
        for sentence in silence.evidence:
            add(items, "li", shown(sentence))


def dump(parent: Element, seen: Dump | None, root: SpanNode) -> None:
    """Show what there was to see when the last silence was warned of."""
    if seen is None:
        return
    box = section(parent, "What there was to see when it was silent")
    taken = words.duration(seen.at - root.start)
    add(box, "p", f"Looked at {taken} into the session.", class_="dim")
    table(box, "Processes", _OF_PROCESS, map(_process, seen.processes[:_PROCESSES]))
    if seen.sockets:
        table(box, "Sockets", _OF_SOCKET, map(_socket, seen.sockets[:_PROCESSES]))
    if seen.events:
        rows = (
            (
                words.duration(max(event.at - root.start, 0)),
                shown(event.name),
                shown(event.tool or ""),
            )
            for event in seen.events
        )
        table(box, "Last events before it", ("at", "event", "tool"), rows)
    if seen.pressure:
        measured = ((shown(name), _measured(name, value)) for name, value in seen.pressure)
        table(box, "The machine", ("measure", "value"), measured)


def _measured(name: str, value: float) -> str:
    if name.startswith("memory"):
        return words.size(value)
    return f"{value:g} %" if name.startswith("pressure") else f"{value:g}"


def _process(seen: DumpedProcess) -> Iterator[str | None]:
    yield str(seen.pid)
    yield _number(seen.ppid)
    yield shown(seen.name) if seen.name else None
    yield shown(seen.state) if seen.state else None
    yield shown(seen.wchan) if seen.wchan else None
    yield _number(seen.threads)
    yield _number(seen.fds)
    yield None if seen.rss is None else words.size(seen.rss)
    yield None if seen.cpu is None else duration(seen.cpu)
    yield None if seen.age is None else duration(seen.age)


def _socket(seen: DumpedSocket) -> Iterator[str | None]:
    yield shown(seen.state)
    yield shown(seen.remote) if seen.remote else "none"
    yield shown(seen.owner) if seen.owner else None
    for age in (seen.receive_age, seen.send_age):
        yield None if age is None else f"{duration(age)} ago"
    for queue in (seen.send_queue, seen.receive_queue):
        yield _number(queue)


def _number(value: int | None) -> str | None:
    return None if value is None else f"{value}"


def events(parent: Element, root: SpanNode) -> None:
    """List what was noted on the session itself: warnings, decisions, retries."""
    told = [event for event in root.events if event.name != semconv.EVENT_SUMMARY]
    if told:
        box = section(parent, "Events")
        rows = (
            (words.duration(max(e.at - root.start, 0)), shown(e.name), shown(_facts(e)))
            for e in told[-_EVENTS:]
        )
        table(box, "Events of the session", ("at", "event", "with"), rows)


def _facts(event: SpanEvent) -> str:
    told = (
        f"{name.rpartition('.')[2]}={_plain(value)}"
        for name, value in event.attributes.items()
        if value not in (None, (), "")
        and name not in (semconv.RUN_ID, semconv.STALL_EVIDENCE, semconv.STALL_ADVICE)
    )
    return "  ".join(told)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


class _Edges(dict["Frame", tuple[bytes, bytes]]):
    """Of what many spans begin and end with, so much as a captured name needs that lies across.

    All of it, where it has such a name by itself.
    """

    def __missing__(self, frame: Frame) -> tuple[bytes, bytes]:
        whole = any(map(_ANY_CAPTURED.search, (frame.head, frame.tail)))
        most = None if whole else _LONGEST_NAME
        found = frame.head[-(most or 0) :], frame.tail[:most]
        self[frame] = found
        return found


def _captured(root: SpanNode) -> Iterator[SpanNode]:
    """Yield the spans of which content was captured."""
    edges = _Edges()
    for node in root.walk():
        before, behind = edges[node.frame]
        if _ANY_CAPTURED.search(before + node.own + behind):
            yield node


def content(parent: Element, root: SpanNode) -> None:
    """Show arguments and results, where they were captured: nobody asked for them else."""
    captured = (
        (node, word, str(text))
        for node in _captured(root)
        for name, word in _CAPTURED.items()
        if (text := node.attribute(name))
    )
    found = list(islice(captured, _CONTENT))
    if not found:
        return
    box = section(parent, "Captured content")
    add(box, "p", "Captured because it was asked for; cut and redacted.", class_="dim")
    for node, word, text in found:
        details = add(box, "details")
        began = words.duration(max(node.start - root.start, 0))
        add(details, "summary", shown(f"{label(node)} at {began}: {word}"))
        add(details, "pre", "\n".join(shown(line, _LINE) for line in text.splitlines()), tabindex=0)


def problems(parent: Element, recorded: Recorded) -> None:
    """Say what could not be read."""
    if recorded.problems:
        box = section(parent, "Not read")
        items = add(box, "ul")
        for problem in recorded.problems:
            add(items, "li", shown(problem))
