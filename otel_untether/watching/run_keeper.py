"""The run's folder as a listener: its record, samples, dumps, and what is decided."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether import semconv
from otel_untether.session.redaction import redact_lines
from otel_untether.session.summary import usage_attributes
from otel_untether.spans import EVENTS_OF_FINDINGS, finding_attributes
from otel_untether.store import run_folder
from otel_untether.store.files import replace
from otel_untether.watching.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from otel_untether.proc_diag import Tree, TreeSnapshot
    from otel_untether.session.activity import AttributeValue, Change
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.state import SessionState
    from otel_untether.session.summary import Summary
    from otel_untether.stall import Finding
    from otel_untether.store.journal import Journal
    from otel_untether.store.runs import Run

# Of one silence; an agent that is silent for days looks the same in each.
_DUMPS: Final = 10
_STDERR: Final = 20  # lines


class RunKeeper(Listener):
    """Writes what becomes of a session into its run's folder.

    Nothing here raises but `noted`: a kill that could not be recorded must not happen. `tree`
    returns the process tree, None while there is none.
    """

    def __init__(
        self,
        run: Run,
        journal: Journal | None,
        state: SessionState,
        tree: Callable[[], Tree | None],
    ) -> None:
        self._run = run
        self._journal = journal
        self._state = state
        self._tree = tree
        self._samples = _open(run.path / run_folder.SAMPLES)
        self._dumps: dict[int, Path] = {}
        self._known: tuple[object, ...] = (None, None, state.tokens, None)

    def changed(self, changes: Iterable[Change]) -> None:
        """Journal what the session has used by now: a crash must not take it."""
        del changes
        self._progress()

    def ticked(self, now: int) -> None:
        """Journal what is new."""
        del now
        self._progress()

    def identified(self, session_id: str) -> None:
        """Note the engine's own id of the session."""
        state = self._state
        self._run.update(session_id=session_id, engine=state.engine, model=state.model)
        self._progress()

    def sampled(self, diag: TreeSnapshot, now: int) -> None:
        """Append one line to the run's samples, which `report` draws."""
        if self._samples is None:
            return
        line = {
            "t": now,
            "cpu": diag.cpu_rate,
            "rss": diag.rss,
            "tcp": None if diag.sockets is None else len(diag.sockets),
            "age": _receive_age(diag),
            "output": self._state.output,
        }
        with contextlib.suppress(OSError):
            os.write(self._samples, msgspec.json.encode(line) + b"\n")

    def found(self, finding: Finding) -> None:
        """Keep what a stall looks like, and journal what was found."""
        if finding.kind == "stall":
            self._run.update(stalls=(self._run.record.stalls or 0) + 1, cause=finding.cause)
            if finding.number <= _DUMPS:
                self._dump(finding)
        if not finding.carried_out:
            with contextlib.suppress(OSError):  # a full disk hides no finding
                self._write(EVENTS_OF_FINDINGS[finding.kind], finding_attributes(finding))

    def noted(self, event: str, facts: Mapping[str, AttributeValue], at: int) -> None:
        """Put a step of a kill onto the disk; OSError where that fails for the decision."""
        del at
        try:
            self._write(event, facts)
        except OSError:
            if event == semconv.EVENT_KILL_DECIDED:
                raise  # once begun, a kill is finished, whether or not it can be told

    def ended(self, outcome: Outcome, summary: Summary, at: int) -> None:
        """Note how it went."""
        self._run.update(
            engine=summary.engine,
            trace_id=summary.trace_id,
            session_id=summary.session_id,
            model=summary.model,
            ended=at,
            outcome=outcome.word,
            exit_code=summary.exit_code,
            cost_usd=summary.cost_usd,
        )
        if outcome.word != "completed":
            self._keep_stderr()
        if self._samples is not None:
            os.close(self._samples)
            self._samples = None

    def _progress(self) -> None:
        if self._journal is None:
            return
        state = self._state
        known = (state.session_id, state.model, state.tokens, state.cost)
        if known != self._known:
            self._known = known
            facts = {
                semconv.CONVERSATION_ID: state.session_id,
                semconv.REQUEST_MODEL: state.model,
                semconv.COST_USD: state.cost,
                **usage_attributes(state.tokens),
            }
            self._journal.progress({name: it for name, it in facts.items() if it is not None})

    def _write(self, event: str, facts: Mapping[str, AttributeValue]) -> None:
        if self._journal is not None and not self._journal.record(event, **facts):
            raise OSError(f"{self._run.path}: the journal cannot be written")

    def dump_of(self, finding: Finding) -> Path | None:
        """Return where what a finding looked like lies, None where nothing was kept of it."""
        return self._dumps.get(finding.at)

    def _keep_stderr(self) -> None:
        lines = redact_lines(list(self._state.stderr_tail)[-_STDERR:])
        if any(lines):
            with contextlib.suppress(OSError):
                text = "\n".join(lines)
                replace(self._run.path / run_folder.STDERR, text.encode("utf-8", "replace"))

    def _dump(self, finding: Finding) -> None:
        from otel_untether.watching.judge import stall_dump  # noqa: PLC0415  who found it is there

        with contextlib.suppress(OSError, msgspec.MsgspecError):
            path = self._run.path / run_folder.stall_dump(finding.at)
            replace(path, stall_dump(finding, self._tree(), self._state))
            self._dumps[finding.at] = path


def _receive_age(diag: TreeSnapshot) -> float | None:
    """Return the seconds since any connection of the tree received; None is unknown, or none."""
    ages = [it.receive_age for it in diag.sockets or () if it.state == "ESTABLISHED"]
    return min((age for age in ages if age is not None), default=None)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
