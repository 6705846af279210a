"""Ending what a dead watcher left open, and putting torn files together again.

    journal: start A, start B, end B      traces: B      A is ended: "orphaned"
    journal: start A, start B, end B      traces: torn   B is there again, with its true end
    journal: torn                         traces: a span below A, which is not there
                                                         A is made of what run.json knows of it
    traces: A and B in one line, which is no JSON        each gets a line, by which it can be read
    run.json: torn                                       it is made of the root span

A span that is recovered has its own ids, so what a collector has had of the trace still fits.
What is recovered of a root is what its watcher had journaled last, of the others what they began
with. All of it is appended to traces.jsonl; nothing that is there is touched.

    delivered: no room (`unnoted-traces`) A may be with a collector, with its true end: the one
                                          that is made up is noted there, and never sent
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from otel_untether import semconv
from otel_untether.store import run_folder, run_lock, segments
from otel_untether.store.encoding import ENCODER
from otel_untether.store.files import LineFile
from otel_untether.store.json_lines import all_entries, entries
from otel_untether.store.otlp_values import encode_attributes
from otel_untether.store.record import Run, RunRecord, StoreError, load_run
from otel_untether.store.remains import (
    ORPHANED,
    Journaled,
    OnDisk,
    end_of,
    is_ended,
    is_in_order,
    is_orphan,
    is_root,
    spans_of,
    text_of,
)
from otel_untether.store.sessions import SessionOutcome, Sessions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    Span = dict[str, Any]

_NO_END: Final = "the watcher died before this span ended"
_UNWRITTEN: Final = "the end of this span could not be written"
_ERROR: Final = 2  # STATUS_CODE_ERROR of opentelemetry/proto/trace/v1/trace.proto
# A decision is journaled before it becomes an event of the root.
_SAME_EVENT: Final = 2_000_000_000  # ns


def recover(run_dir: Path) -> int:
    """Put a run's folder in order that nobody watches; return how many spans that brought back.

    They get the same ids; those that were open get status ERROR, `error.type` "orphaned" and, as
    their end, the last sign of life in the journal. A run that somebody watches, sends or
    recovers is left alone, and recovering twice adds nothing. Raises StoreError where the run
    cannot be read, OSError where it cannot be written.
    """
    if is_in_order(run_dir):
        return 0
    lock = run_lock.acquire(run_dir)
    if lock is None:
        return 0
    try:
        with lock:
            return _Recovery(run_dir).run()
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        # Files that nobody of us wrote: they must not hurt who looks after the others.
        raise StoreError(f"{run_dir}: cannot be put in order: {error!r}") from error


class _Recovery:
    """The recovery of one folder, whose lock is held."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._left = Journaled()
        self._on_disk = OnDisk()

    def run(self) -> int:
        """Do it; return how many spans are there that were not."""
        left, on_disk = self._left, self._on_disk
        for entry, _ in entries(self._run_dir / run_folder.JOURNAL):
            # A torn or foreign line says nothing.
            with contextlib.suppress(KeyError, TypeError, AttributeError, ValueError):
                left.read(entry)
        for request, alone in all_entries(self._run_dir / run_folder.TRACES):
            if alone:
                on_disk.read(request)
            else:
                left.whole.append(request)
        run = self._run()
        left.last = max(left.last, run.record.started, on_disk.last)
        added = self._append(run)
        self._settle(run)
        segments.tidy(self._run_dir)
        return added

    def _run(self) -> Run:
        """Return the run, its record made anew where it is torn."""
        try:
            return load_run(self._run_dir)
        except StoreError:
            name = self._run_dir.name
            if not run_folder.is_folder_name(name):
                raise
            run_id, started = name.partition("-")[2], run_folder.started(name)
            return Run(self._run_dir, RunRecord(run_id=run_id, started=started))

    def _append(self, run: Run) -> int:
        """Append the spans that are not on disk."""
        requests = []
        for request in self._left.whole:
            if not self._has(request):
                requests.append(request)
                self._on_disk.read(request)
        self._find_root(run)
        missing = [
            span for span in self._left.spans.values() if span["spanId"] not in self._on_disk.ids
        ]
        for span in missing:
            requests.append(self._request(self._ended(span, run), run))
            self._on_disk.read(requests[-1])
        self._keep_back([span["spanId"] for span in missing if not is_ended(span)])
        if requests:
            _append_to(self._run_dir / run_folder.TRACES, map(ENCODER.encode, requests))
        return len(requests)

    def _keep_back(self, made_up: list[str]) -> None:
        """Note of spans that are about to get an end that a collector may have them already."""
        if made_up and self._is_unsure():
            line = " ".join((f"traces:{run_folder.UNSURE}", *made_up))
            _append_to(self._run_dir / run_folder.DELIVERED, [line.encode()])

    def _is_unsure(self) -> bool:
        """Whether a collector has more than `delivered` says, or had all that there was."""
        names = (run_folder.unnoted("traces"), run_folder.DELIVERED, run_folder.UNDELIVERED)
        unnoted, delivered, undelivered = ((self._run_dir / name).exists() for name in names)
        return unnoted or (delivered and not undelivered)

    def _has(self, request: dict[str, Any]) -> bool:
        return all(span["spanId"] in self._on_disk.ids for span in spans_of(request))

    def _find_root(self, run: Run) -> None:
        """Make a root of what run.json knows, where the journal has lost its start.

        The marker of a session's start is right below it, and is on disk at once.
        """
        marker = self._on_disk.marker
        if marker is None or not marker.get("parentSpanId"):
            return
        if self._on_disk.root is None and not any(map(is_root, self._left.spans.values())):
            self._left.spans[marker["parentSpanId"]] = {
                "traceId": marker["traceId"],
                "spanId": marker["parentSpanId"],
                "name": "",
                "kind": 1,
                "startTimeUnixNano": str(run.record.started),
                "attributes": [],
                "flags": 0x100,
            }

    def _ended(self, span: Span, run: Run) -> Span:
        """Return a span as it ended, or as its watcher's end ended it."""
        if is_root(span):
            span = self._told(span, run)
        if is_ended(span):
            return span
        end = str(max(self._left.last, int(span["startTimeUnixNano"])) + 1)
        if _is_over(run.record):
            # Its watcher saw how it ended, and could not write it: that is no failure of the span.
            return span | {"endTimeUnixNano": end, "status": {"message": _UNWRITTEN}}
        known = {item["key"]: item for item in span.get("attributes", ())}
        known |= {item["key"]: item for item in encode_attributes([(semconv.ERROR_TYPE, ORPHANED)])}
        return span | {
            "endTimeUnixNano": end,
            "status": {"code": _ERROR, "message": _NO_END},
            "attributes": list(known.values()),
        }

    def _told(self, root: Span, run: Run) -> Span:
        """Return a root with what else is known of its run: its record, what was decided."""
        known = {item["key"]: item for item in root["attributes"]}
        if not is_ended(root):
            known |= self._left.progress
        record = run.record
        facts = {
            semconv.OPERATION_NAME: semconv.SPAN_INVOKE_AGENT,
            semconv.AGENT_NAME: record.engine,
            semconv.ENGINE: record.engine,
            semconv.RUN_ID: record.run_id,
            semconv.CONVERSATION_ID: record.session_id,
            semconv.REQUEST_MODEL: record.model,
            semconv.COST_USD: record.cost_usd,
            semconv.PROCESS_PID: record.process.pid if record.process else None,
            semconv.PROCESS_EXIT_CODE: record.exit_code,
            semconv.OUTCOME: record.outcome or ORPHANED,
        }
        more = [(key, fact) for key, fact in facts.items() if fact is not None and key not in known]
        told = root | {"attributes": [*known.values(), *encode_attributes(more)]}
        engine = text_of(told, semconv.ENGINE) or record.engine
        if not told["name"] or told["name"] == f"{semconv.SPAN_INVOKE_AGENT} unknown":
            told["name"] = f"{semconv.SPAN_INVOKE_AGENT} {engine}"
        told["events"] = self._events(root.get("events", []))
        return told

    def _events(self, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the events of a root, and the decisions that had not become such."""
        events = list(known)
        for entry in self._left.decisions:
            name, at = entry["kind"], int(entry["at"])
            if any(
                event["name"] == name and abs(int(event["timeUnixNano"]) - at) < _SAME_EVENT
                for event in known
            ):
                continue
            facts = [(key, value) for key, value in entry.items() if key not in ("at", "kind")]
            told = {"timeUnixNano": str(at), "name": name, "attributes": encode_attributes(facts)}
            events.append(told)
        return sorted(events, key=lambda event: int(event["timeUnixNano"]))

    def _request(self, span: Span, run: Run) -> dict[str, Any]:
        resource = self._left.resource or {
            "attributes": encode_attributes(
                {
                    "service.name": "otel-untether",
                    "service.instance.id": run.record.run_id,
                    semconv.RUN_ID: run.record.run_id,
                }.items()
            )
        }
        scope = self._left.scopes.get(span["spanId"], {"name": semconv.SCOPE})
        return {
            "resourceSpans": [
                {"resource": resource, "scopeSpans": [{"scope": scope, "spans": [span]}]}
            ]
        }

    def _settle(self, run: Run) -> None:
        """Say in the record how the run ended, and remember that for who resumes its session."""
        if run.record.ended is not None:
            return
        root = self._on_disk.root or {}
        changes = {
            "trace_id": run.record.trace_id or root.get("traceId"),
            "session_id": run.record.session_id or text_of(root, semconv.CONVERSATION_ID),
            "model": run.record.model or text_of(root, semconv.REQUEST_MODEL),
            "ended": self._left.last if not root or is_orphan(root) else end_of(root),
            "outcome": text_of(root, semconv.OUTCOME) or ORPHANED,
        }
        if engine := text_of(root, semconv.ENGINE):
            changes["engine"] = engine
        run.update(**changes)
        _remember(run, root)


def _is_over(record: RunRecord) -> bool:
    """Whether a watcher lived to see the end of its run."""
    return record.ended is not None and record.outcome != ORPHANED


def _remember(run: Run, root: Span) -> None:
    """Keep how the session ended, unless it was resumed since."""
    record = run.record
    if record.session_id is None or record.ended is None or record.outcome is None:
        return
    sessions = Sessions(run.path.parent.parent / run_folder.SESSIONS)
    known = sessions.last(record.engine, record.session_id)
    if known is None or known.at < record.ended:
        sessions.remember(
            SessionOutcome(
                engine=record.engine,
                session_id=record.session_id,
                outcome=record.outcome,
                at=record.ended,
                trace_id=record.trace_id,
                span_id=root.get("spanId"),
                cost_usd=known.cost_usd if known else None,
                usage=known.usage if known else None,
            )
        )


def _append_to(path: Path, lines: Iterable[bytes]) -> None:
    file = LineFile(path)
    try:
        for line in lines:
            file.append(line)
        file.sync()
    finally:
        file.close()
