"""The run that a resumed session was in before, where it is known how that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_untether import semconv
from otel_untether.store import files, run_folder
from otel_untether.store.runs import Run, Store, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from otel_untether.report.span_node import SpanNode

FROZE = frozenset({"killed", "stalled", "orphaned"})


class Predecessor(NamedTuple):
    """How the session last ended before this run; `at` in ns since the epoch.

    `run_id` is None where that run is not on this machine any more, `cause` where it did not
    stall or where that is not told.
    """

    outcome: str
    run_id: str | None = None
    at: int | None = None
    cause: str | None = None

    @property
    def froze(self) -> bool:
        """Whether it ended in a freeze, so that its session is tainted."""
        return self.outcome in FROZE


def of(path: Path, run: Run | None, root: SpanNode | None) -> Predecessor | None:
    """Return what came before the run in a folder, None where it resumes nothing we know.

    The link of its root span says; that of one which runs is not on disk yet, but how its
    session last ended is.
    """
    store = Store(path.absolute().parent.parent)
    link = next(iter(root.links), None) if root is not None else None
    if link is not None:
        outcome = str(link.attributes.get(semconv.OUTCOME) or "unknown")
        return _known(store, link.trace_id, outcome, path)
    if run is None or not run.running or run.record.session_id is None:
        return None
    last = store.last_outcome(run.record.engine, run.record.session_id)
    return _known(store, last.trace_id, last.outcome, path) if last is not None else None


def _known(store: Store, trace_id: str | None, outcome: str, path: Path) -> Predecessor:
    try:
        before = store.find(trace_id or "")
    except StoreError:
        return Predecessor(outcome)
    if before.path.name == path.name:
        return Predecessor(outcome)
    record = before.record
    return Predecessor(outcome, record.run_id, record.ended, _cause(before.path))


def _cause(folder: Path) -> str | None:
    """Return the cause of the last stall that the run's journal tells of."""
    named = f'"{semconv.STALL_CAUSE}":"'.encode()
    found = None
    try:
        for line in files.lines(folder / run_folder.JOURNAL):
            if named in line:
                found = line.partition(named)[2].partition(b'"')[0]
    except OSError:
        return None
    return found.decode("utf-8", "replace") if found else None
