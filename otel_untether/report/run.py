"""Reading what one run left on disk, however incomplete."""

from __future__ import annotations

import contextlib
import gc
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_untether.report import dumps, predecessor
from otel_untether.report import span_tree as model
from otel_untether.store import files, run_folder, segments
from otel_untether.store import record as store
from otel_untether.store.otlp_values import moment
from otel_untether.store.remains import Journaled, is_ended, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
    root: model.SpanNode | None
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
    ended = _lines(path / run_folder.TRACES, model.spans, problems, most=_MOST_SPANS)
    root = model.tree([*ended, *_opened(path / run_folder.JOURNAL, problems)])
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


def _until(run: store.Run | None, root: model.SpanNode | None) -> int:
    recorded = (run.record.ended or run.record.started) if run else 0
    return max(recorded, root.last() if root else 0)


def _lines(
    path: Path,
    read_line: Callable[[bytes], Iterator[_Read]],
    problems: list[str],
    *,
    most: int = _MOST,
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
            if len(found) > most:
                problems.append(f"{path.name}: only its first {most:,} entries were read")
                break
    except FileNotFoundError:
        return found
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
    if torn:
        problems.append(f"{path.name}: {torn} line{'s' * (torn > 1)} torn or not JSON")
    return found


def _stderr(path: Path) -> tuple[str, ...]:
    try:
        text = files.read_whole(path / run_folder.STDERR, _MOST)
    except OSError:
        return ()
    return tuple(line for line in text.decode("utf-8", "replace").splitlines() if line.strip())


def _opened(path: Path, problems: list[str]) -> Iterator[model.SpanNode]:
    """Yield the spans of the journal, with what they have learned since they began.

    What its session has used by now is the root's, the first of them.
    """
    journaled = Journaled()
    for entry in _lines(path, _entry, problems):
        with contextlib.suppress(LookupError, TypeError, AttributeError, ValueError):
            journaled.read({"scope": {}, **entry})
    spans = list(journaled.spans.values())
    if spans and journaled.progress and not is_ended(spans[0]):
        merge(spans[0], {"attributes": list(journaled.progress.values())})
    for span in spans:
        node = model.span_node(span)
        if node is not None:
            yield node


def _entry(line: bytes) -> Iterator[Any]:
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
