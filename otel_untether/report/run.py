"""Reading what one run left on disk, however incomplete."""

from __future__ import annotations

import contextlib
import gc
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from otel_untether.report import dumps, predecessor, span_tree
from otel_untether.report.span_reader import SpanReader, span_node
from otel_untether.store import files, run_folder, segments
from otel_untether.store import record as store
from otel_untether.store.otlp_values import moment
from otel_untether.store.remains import Journaled, is_ended, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from otel_untether.report.span_node import SpanNode

_Read = TypeVar("_Read")

_MOST: Final = 200_000
_MOST_SPANS: Final = 2_000_000
_LARGEST: Final = 2.0**63


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the process tree, as `samples.jsonl` holds it; None is unknown.

    `at` in ns since the epoch, `cpu` in cores, `rss` in bytes, `tcp` the number of the tree's
    own connections, `age` the seconds since any of them received, `output` the bytes of stdout
    so far.
    """

    at: int
    cpu: float | None = None
    rss: float | None = None
    tcp: float | None = None
    age: float | None = None
    output: float | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run as its folder tells it.

    `root` is None where no span was found. `until` (ns since the epoch) is the last moment
    known: what is still open lasts until then. `dumps` are what stalls looked like, the oldest
    first. `before` is the run that this one resumes. `stderr` are the agent's last lines there,
    redacted, if it did not complete. `problems` has a line for each thing that could not be read.
    """

    name: str
    record: store.RunRecord | None
    root: SpanNode | None
    until: int
    running: bool = False
    samples: tuple[Sample, ...] = ()
    dumps: tuple[dumps.Dump, ...] = ()
    before: predecessor.Predecessor | None = None
    stderr: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Have Python not look for garbage meanwhile.

    A tree of a hundred thousand spans holds none, and would be gone through again and again.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@uncollected()
def read(path: Path, now: int) -> Recorded:
    """Read the run in a folder; `now`, in ns since the epoch, ends what still runs.

    Raises OSError where the folder itself cannot be read.
    """
    next(path.iterdir(), None)
    problems: list[str] = []
    run = _run(path, problems)
    nodes = _ended(path / run_folder.TRACES, problems)
    span_tree.unite(nodes, _opened(path / run_folder.JOURNAL, nodes, problems))
    root = span_tree.tree_of(nodes)
    running = run is not None and run.running
    return Recorded(
        name=path.name,
        record=run.record if run else None,
        root=root,
        until=now if running else _until(run, root),
        running=running,
        samples=tuple(_lines(path / run_folder.SAMPLES, _samples, problems)),
        dumps=dumps.read(path, problems),
        before=predecessor.of(path, run, root),
        stderr=_stderr(path),
        problems=tuple(problems),
    )


def _run(path: Path, problems: list[str]) -> store.Run | None:
    try:
        return store.load_run(path)
    except store.StoreError as error:
        problems.append(str(error))
        return None


def _until(run: store.Run | None, root: SpanNode | None) -> int:
    recorded = (run.record.ended or run.record.started) if run else 0
    return max(recorded, root.last() if root else 0)


def _lines(
    path: Path,
    read_line: Callable[[bytes], Iterator[_Read]],
    problems: list[str],
) -> list[_Read]:
    """Read a file of JSON lines; a torn line costs itself and is counted.

    What cannot be read, or is more than any run has, is a line in `problems`.
    """
    found: list[_Read] = []
    torn = 0
    try:
        for line in segments.lines(path):
            try:
                found.extend(read_line(line))
            except (ValueError, RecursionError):
                torn += bool(line.strip())
            if len(found) > _MOST:
                problems.append(_only(path, _MOST))
                break
    except FileNotFoundError:
        return found
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
    problems.extend(_torn(path, torn))
    return found


def _only(path: Path, most: int) -> str:
    return f"{path.name}: only its first {most:,} entries were read"


def _torn(path: Path, lines: int) -> Iterator[str]:
    if lines:
        yield f"{path.name}: {lines} line{'s' * (lines > 1)} torn or not JSON"


def _ended(path: Path, problems: list[str]) -> dict[str, SpanNode]:
    """Read the spans that have ended, by id; what of them cannot be read is in `problems`."""
    nodes: dict[str, SpanNode] = {}
    reader = SpanReader()
    try:
        for block in segments.blocks(path):
            span_tree.unite(nodes, reader.nodes(block))
            if len(nodes) > _MOST_SPANS:
                problems.append(_only(path, _MOST_SPANS))
                break
    except FileNotFoundError:
        return nodes
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
    problems.extend(_torn(path, reader.torn))
    return nodes


def _stderr(path: Path) -> tuple[str, ...]:
    try:
        text = files.read_whole(path / run_folder.STDERR, _MOST)
    except OSError:
        return ()
    return tuple(line for line in text.decode("utf-8", "replace").splitlines() if line.strip())


def _opened(path: Path, ended: Mapping[str, SpanNode], problems: list[str]) -> Iterator[SpanNode]:
    """Yield the spans of the journal, with what they have learned since they began.

    What its session has used by now is the root's, the first of them. Of others that have
    ended nothing is looked at: that is in their own lines.
    """
    journaled = Journaled()
    for entry in _lines(path, _entry, problems):
        with contextlib.suppress(LookupError, TypeError, AttributeError, ValueError):
            if not (journaled.spans and _is_known(entry, journaled, ended)):
                journaled.read({"scope": {}, **entry})
    spans = list(journaled.spans.values())
    if spans and journaled.progress and not is_ended(spans[0]):
        merge(spans[0], {"attributes": list(journaled.progress.values())})
    for span in spans:
        node = span_node(span)
        if node is not None:
            yield node


def _is_known(entry: Any, journaled: Journaled, ended: Mapping[str, SpanNode]) -> bool:
    """Whether an entry is of a span, other than the first, whose own line has been read."""
    span_id = entry["span"]["spanId"] if "span" in entry else ""
    return span_id in ended and span_id not in journaled.spans and ended[span_id].end is not None


def _entry(line: bytes) -> Iterator[Any]:
    try:
        yield msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeError):
        yield json.loads(line)


def _samples(line: bytes) -> Iterator[Sample]:
    entry = json.loads(line)
    at = moment(entry.get("t")) if isinstance(entry, dict) else None
    if at is not None:
        series = {key: _number(entry.get(key)) for key in ("cpu", "rss", "tcp", "age", "output")}
        yield Sample(at, **series)


def _number(value: Any) -> float | None:
    """Return what may be drawn: a number of a size that something real may have."""
    known = isinstance(value, int | float) and 0 <= value < _LARGEST
    return float(value) if known else None
