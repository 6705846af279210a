"""What is left of a run on disk: its journal and its spans, read as far as they can be."""

from __future__ import annotations

import contextlib
import mmap
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.json import Decoder

from otel_untether import semconv
from otel_untether.store import json_lines, run_folder, segments
from otel_untether.store.files import open_regular
from otel_untether.store.json_lines import entries
from otel_untether.store.otlp_values import integer, moment
from otel_untether.store.record import StoreError, load_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Span = dict[str, Any]

ORPHANED: Final = "orphaned"
_REMOTE: Final = 0x200  # SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK of trace.proto
_ENDED: Final = '"endTimeUnixNano"'


class Journaled(Struct):
    """What a journal says: each span that began, and what is known of its end."""

    last: int = 0
    resource: dict[str, Any] = field(default_factory=dict)
    scopes: dict[str, dict[str, Any]] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    whole: list[dict[str, Any]] = field(default_factory=list)
    progress: dict[str, Any] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)

    def read(self, entry: dict[str, Any]) -> None:
        """Take in an entry; raises KeyError, TypeError, … for one that is none."""
        kind = entry["kind"]
        self.last = max(self.last, moment(entry["at"]) or 0)
        match kind:
            case "resource":
                self.resource = {"attributes": list(entry["resource"]["attributes"])}
            case "start":
                span = entry["span"]
                span.setdefault("name", "")
                span.setdefault("attributes", [])
                if moment(span["startTimeUnixNano"]) is None:
                    return
                known, scope = self.spans.get(span["spanId"], {}), dict(entry["scope"])
                merge(known, span)
                self.spans[span["spanId"]], self.scopes[span["spanId"]] = known, scope
            case "update" | "end":
                merge(self.spans[entry["span"]["spanId"]], entry["span"])
            case "dropped":
                self.forget(entry["span"]["spanId"])
            case "span":
                self.whole.append(entry["request"])
            case "progress":
                self.progress |= {item["key"]: item for item in entry["attributes"]}
            case str() if kind.startswith("untether."):
                self.decisions.append(entry)

    def forget(self, span_id: str) -> None:
        """Know nothing of a span any more."""
        del self.spans[span_id], self.scopes[span_id]


def merge(span: Span, news: Span) -> None:
    """Put what is new of a span over what is known: attributes by key, events one by one."""
    attributes = (*span.get("attributes", ()), *news.get("attributes", ()))
    # A key may have lost its name to a damaged byte.
    known = {item["key"]: item for item in attributes if "key" in item}
    events = [*span.get("events", ()), *news.get("events", ())]
    span |= news
    span["attributes"] = list(known.values())
    if events:
        span["events"] = events


class OnDisk(Struct):
    """What is in traces.jsonl: the ids of all spans, and what matters of some."""

    ids: set[str] = field(default_factory=set)
    root: Span | None = None
    marker: Span | None = None
    last: int = 0

    def read(self, request: Any) -> None:
        """Take in a line, or what is to be one."""
        for span in spans_of(request):
            self.ids.add(span["spanId"])
            self.last = max(self.last, end_of(span))
            if self.root is None and is_root(span):
                self.root = span
            if span.get("name") == semconv.SPAN_STARTED:
                self.marker = span


def is_in_order(run_dir: Path) -> bool:
    """Whether a run is over and nothing is missing in its folder that can be told from the rest.

    Nor may anything be left there that its watcher was about to do.

    Raises StoreError where it has no readable record, and nothing else either.
    """
    try:
        run = load_run(run_dir)
    except StoreError:
        # Torn, or of a run of ours that never got one.
        left = [run_dir / run_folder.JOURNAL, *segments.parts(run_dir / run_folder.TRACES)]
        if any(path.exists() for path in left):
            return False
        raise
    if run.record.ended is None or segments.begun(run_dir):
        return False
    return not (_is_short(run_dir) or _has_open_root(run_dir))


def _has_open_root(run_dir: Path) -> bool:
    """Whether the first span of the journal has no end: its watcher died at the very last.

    One that was dropped, as no sampler wanted it, needs none.
    """
    span_id = _first_span_id(run_dir / run_folder.JOURNAL)
    if span_id is None:
        return False
    span, kept = f'"span":{{"spanId":"{span_id}"', f'"spanId":"{span_id}"'
    journal, traces = run_dir / run_folder.JOURNAL, run_dir / run_folder.TRACES
    return not (
        _holds(journal, f'"end",{span}')
        or _holds(journal, f'"dropped",{span}')
        or _holds(traces, kept)
        or any(kept.encode() in line for line in _set_aside(traces))
    )


def _is_short(run_dir: Path) -> bool:
    """Whether traces.jsonl lacks what its last, torn line, another or the journal still says.

    What counts is what can be read: a byte that is damaged within a line takes its spans away.
    """
    traces, journal = run_dir / run_folder.TRACES, run_dir / run_folder.JOURNAL
    if _is_torn(traces):
        return True
    there, salvaged = _ended_ids(traces)
    if salvaged - there:
        return True
    # The journal has those of the newest part only, but for a moment.
    journaled = max(len(_started_ids(journal)), _count(journal, _ENDED))
    return journaled > len(there) and journaled > len(there) + _ended_in_parts(traces)


class _Span(Struct):
    """Of a span, whether it has ended, as its line says it; of all others, where those are."""

    spanId: str  # noqa: N815  OTLP's name
    endTimeUnixNano: str | int | None = None  # noqa: N815


class _Scope(Struct):
    spans: list[_Span]


class _Resource(Struct):
    scopeSpans: list[_Scope]  # noqa: N815


class _Request(Struct):
    resourceSpans: list[_Resource]  # noqa: N815

    def ended(self) -> Iterator[str]:
        """Yield the ids of the spans that have."""
        for resource in self.resourceSpans:
            for scope in resource.scopeSpans:
                yield from (it.spanId for it in scope.spans if it.endTimeUnixNano is not None)


class _Entry(Struct):
    """Of an entry of the journal, what it says of which span."""

    kind: str
    span: _Span | None = None


# A quarter of what it takes to read a line with all that is in it, which `report` does as well.
_REQUEST: Final = Decoder(_Request)
_ENTRY: Final = Decoder(_Entry)


def _started_ids(journal: Path) -> set[str]:
    """Return the ids of the spans that began: each once, as a run's root is noted twice."""
    started: set[str] = set()
    for line in json_lines.read(journal):
        with contextlib.suppress(*json_lines.UNREADABLE):
            entry = _ENTRY.decode(line)
            if entry.span is not None and entry.kind == "start":
                started.add(entry.span.spanId)
            elif entry.span is not None and entry.kind == "dropped":
                started.discard(entry.span.spanId)
    return started


def _ended_ids(traces: Path) -> tuple[set[str], set[str]]:
    """Return the ids of the spans that have ended, and of those in lines that are no JSON."""
    there: set[str] = set()
    salvaged: set[str] = set()
    for line in json_lines.read(traces):
        try:
            if not line.isascii():
                line.decode()  # of what is skipped nobody looks whether it is text
            there.update(_REQUEST.decode(line).ended())
        except json_lines.UNREADABLE:
            for found in json_lines.found_in(line):
                ids = there if found.alone else salvaged
                ids.update(span["spanId"] for span in spans_of(found.entry) if is_ended(span))
    return there, salvaged


def has_journaled_all(run_dir: Path) -> bool:
    """Whether the journal of a run can be read to its end, and was told of each end of a span.

    What has been recovered from it then is all that traces.jsonl may have lost.
    """
    journal = run_dir / run_folder.JOURNAL
    return json_lines.is_whole(journal) and _holds(journal, '"kind":"end"')


def _is_torn(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 1))
            return size > 0 and file.read(1) != b"\n"
    except OSError:
        return False


def all_ended_in(path: Path) -> int:
    """Return how many ended spans are in a file of ours and in its parts."""
    return _count(path, _ENDED) + _ended_in_parts(path)


def _ended_in_parts(path: Path) -> int:
    ended = _ENDED.encode()
    return sum(line.count(ended) for line in _set_aside(path))


def _count(path: Path, text: str) -> int:
    return sum(1 for _ in _places(path, text))


def _set_aside(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file's parts but the newest, as far as they can be read."""
    for part in segments.parts(path)[:-1]:
        with contextlib.suppress(OSError):
            yield from segments.lines_of(part)


def _holds(path: Path, text: str) -> bool:
    return next(_places(path, text), None) is not None


def _places(path: Path, text: str) -> Iterator[int]:
    """Yield where a text is in a file, without reading its lines: a long session's are many."""
    wanted = text.encode()
    try:
        with open_regular(path) as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # ValueError: an empty file
        return
    with data:
        at = data.find(wanted)
        while at >= 0:
            yield at
            at = data.find(wanted, at + len(wanted))


def is_root(span: Span) -> bool:
    """Whether a span has no parent of its run: none at all, or one in another process."""
    return not span.get("parentSpanId") or bool((integer(span.get("flags")) or 0) & _REMOTE)


def is_ended(span: Span) -> bool:
    """Whether a span's end is known."""
    return "endTimeUnixNano" in span


def is_orphan(span: Span) -> bool:
    """Whether a span was ended by a recovery."""
    return text_of(span, semconv.ERROR_TYPE) == ORPHANED


def end_of(span: Span) -> int:
    """Return when a span ended, in ns since the epoch, 0 where that is not known."""
    return moment(span.get("endTimeUnixNano")) or 0


def text_of(span: Span, key: str) -> str | None:
    """Return the text of an attribute."""
    for item in span.get("attributes", ()):
        if item.get("key") == key:
            text: str | None = item.get("value", {}).get("stringValue")
            return text
    return None


def _first_span_id(journal: Path) -> str | None:
    """Return the id of the span that a journal begins with: the run's root."""
    for entry, _ in entries(journal):
        with contextlib.suppress(KeyError, TypeError):
            if entry["kind"] == "start":
                return str(entry["span"]["spanId"])
    return None


def spans_of(request: Any) -> Iterator[Span]:
    """Yield the spans of an export request as OTLP JSON, as far as it is one."""
    with contextlib.suppress(KeyError, TypeError, AttributeError):
        for resource_spans in request["resourceSpans"]:
            for scope_spans in resource_spans["scopeSpans"]:
                for span in scope_spans["spans"]:
                    if isinstance(span["spanId"], str):
                        yield span
