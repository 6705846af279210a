"""A session that continues an earlier one: recognised, linked, and remembered in its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Link, SpanContext, TraceFlags

from otel_untether import semconv
from otel_untether.store.housekeeping import mend_session
from otel_untether.store.runs import SessionOutcome
from otel_untether.watching.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.session.outcome import Outcome
    from otel_untether.session.state import SessionState
    from otel_untether.session.summary import Summary
    from otel_untether.spans import SessionTracer
    from otel_untether.store.runs import Store

# A session that ended like this tends to freeze again when resumed: its context is tainted.
_TAINTING: Final = frozenset({"killed", "stalled", "orphaned"})


class Resumption(Listener):
    """Looks up how the engine's session last ended on this machine; keeps how it ends now.

    `taint` is called where it ended in a freeze. `continues` is the session that its command line
    names: one that is forked from that has a name of its own.
    """

    def __init__(
        self,
        store: Store,
        state: SessionState,
        tracer: SessionTracer,
        taint: Callable[[], object],
        continues: str | None = None,
    ) -> None:
        self._store = store
        self._state = state
        self._tracer = tracer
        self._taint = taint
        self._continues = continues

    def identified(self, session_id: str) -> None:
        """See whether we have met this session before."""
        state = self._state
        before = self._last(session_id) or (self._continues and self._last(self._continues))
        if not before:
            return
        state.resumes(before.usage, before.cost_usd)
        tainted = before.outcome in _TAINTING
        root = self._tracer.root
        root.set_attributes({semconv.RESUMED: True, semconv.TAINTED: tainted})
        if tainted:
            self._taint()
        link = _link(before)
        if link is not None:
            root.add_link(link.context, link.attributes)

    def _last(self, session_id: str) -> SessionOutcome | None:
        mend_session(self._store, session_id, self._state.run_id)
        return self._store.last_outcome(self._state.engine, session_id)

    def ended(self, outcome: Outcome, summary: Summary, at: int) -> None:
        """Keep how it went, for the run that resumes this session."""
        del outcome
        if summary.session_id is None:
            return
        context = self._tracer.root.get_span_context()
        self._store.remember_outcome(
            SessionOutcome(
                engine=summary.engine,
                session_id=summary.session_id,
                outcome=_lasting(summary),
                at=at,
                trace_id=summary.trace_id,
                span_id=f"{context.span_id:016x}" if context.is_valid else None,
                cost_usd=self._state.cost_usd,
                usage=self._state.usage,
            )
        )


def _lasting(summary: Summary) -> str:
    """What the next run of this session should know: a stall matters more than its end."""
    word = summary.outcome.word
    return "stalled" if summary.extra.get(semconv.STALLED) and word != "killed" else word


def _link(before: SessionOutcome) -> Link | None:
    if before.trace_id is None or before.span_id is None:
        return None
    context = SpanContext(
        int(before.trace_id, 16), int(before.span_id, 16), is_remote=True, trace_flags=TraceFlags(1)
    )
    return Link(context, {semconv.OUTCOME: before.outcome}) if context.is_valid else None
