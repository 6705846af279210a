"""Activities and findings become spans, span events and log records.

`SessionTracer` needs nothing but the OpenTelemetry API: every start, end and timestamp is
given, so a live session and a recording of it make the same spans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry import _logs, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from otel_untether import semconv
from otel_untether.session.activity import Closed, Noted, Opened
from otel_untether.session.content import Capture
from otel_untether.session.summary import usage_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext, TracerProvider
    from opentelemetry.util.types import AttributeValue

    from otel_untether.diagnosis.findings import Finding
    from otel_untether.session import activity
    from otel_untether.session.activity import Activity, Change
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.state import SessionState

    Attributes = dict[str, AttributeValue]
    Facts = dict[str, activity.AttributeValue]

__all__ = ["SessionTracer", "finding_attributes"]

# Subagents and calls that are over, and may yet be told more of.
_REMEMBERED: Final = 1_024
_NOTHING: Final[Mapping[str, activity.AttributeValue]] = {}
_MARKER_LENGTH: Final = 1_000  # ns: a span of no length at all is drawn by no viewer

# The event that a kind of finding makes, and how serious it is.
EVENTS_OF_FINDINGS: Final = {
    "stall": semconv.EVENT_STALL_WARNING,
    "recovered": semconv.EVENT_STALL_RECOVERED,
    "waiting": semconv.EVENT_STALL_WAITING,
    "liveness": semconv.EVENT_LIVENESS_EXPIRED,
    "veto": semconv.EVENT_KILL_VETOED,
    "kill": semconv.EVENT_KILL_DECIDED,
}
_SEVERITY: Final = {
    "recovered": SeverityNumber.INFO,
    "waiting": SeverityNumber.INFO,
    "kill": SeverityNumber.ERROR,
}


class SessionTracer:
    """One session's spans, all in one trace.

    :param state: the session, which others keep up to date.
    :param tracer_provider: where spans go; the global one by default, as for
    :param logger_provider: log records.
    :param parent: the ambient context, in which the root span starts.
    :param provider: who serves the model (``gen_ai.provider.name``), None while nobody knows.
    :param capture: whether content is captured; by default it is not.
    :param chats: whether `chat` spans are made; off for CLIs that export their own.
    :param calls: likewise of `execute_tool` spans.
    """

    def __init__(
        self,
        state: SessionState,
        *,
        tracer_provider: TracerProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        parent: Context | None = None,
        provider: str | None = None,
        capture: Capture | None = None,
        chats: bool = True,
        calls: bool = True,
    ) -> None:
        self._state = state
        self._tracer = trace.get_tracer(
            semconv.SCOPE, semconv.SCOPE_VERSION, tracer_provider, semconv.SCHEMA_URL
        )
        self._logger = _logs.get_logger(
            semconv.SCOPE, semconv.SCOPE_VERSION, logger_provider, semconv.SCHEMA_URL
        )
        self._parent = parent
        self._capture = capture or Capture()
        self._left_out = {kind for kind, made in (("chat", chats), ("tool", calls)) if not made}
        self._spans: dict[Activity, Span] = {}
        self._told: dict[Activity, Facts] = {}  # what their spans began with of what may grow
        self._nearest: tuple[Span, Context] | None = None
        self._above = 0  # the id of the span that the root is below
        self._prompted_by: list[SpanContext] = []
        self._past: dict[Activity, Span] = {}
        self._warned_at = 0
        self.provider = provider
        self.root: Span = trace.INVALID_SPAN

    def start(self, identity: Mapping[str, AttributeValue]) -> None:
        """Begin the root span.

        :param identity: what is known of the run already, as attributes of the root span.
        """
        state = self._state
        self._above = trace.get_current_span(self._parent).get_span_context().span_id
        attributes: Attributes = {
            semconv.OPERATION_NAME: semconv.SPAN_INVOKE_AGENT,
            semconv.AGENT_NAME: state.engine,
            semconv.ENGINE: state.engine,
            semconv.RUN_ID: state.run_id,
            **identity,
        }
        self.root = self._tracer.start_span(
            f"{semconv.SPAN_INVOKE_AGENT} {state.engine}",
            self._parent,
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            start_time=state.root.start,
        )
        self._spans[state.root] = self.root

    def started(self, identity: Mapping[str, AttributeValue]) -> None:
        """Mark the session as running: the root leaves only at its end, a marker at once.

        :param identity: attributes of both spans, the process's among them.
        """
        state = self._state
        self.root.set_attributes(identity)
        attributes = {semconv.ENGINE: state.engine, semconv.RUN_ID: state.run_id, **identity}
        self.mark(semconv.SPAN_STARTED, state.root.start, None, attributes)

    def mark(
        self,
        name: str,
        start: int,
        end: int | None,
        attributes: Mapping[str, AttributeValue],
        error: str | None = None,
    ) -> None:
        """Make a span that is over already, visible while the session still runs.

        :param name: the span's name.
        :param start: when it began, in ns since the epoch.
        :param end: when it ended; None for a moment.
        :param attributes: its attributes.
        :param error: the kind of error (``error.type``), None if there is none.
        """
        span = self._tracer.start_span(
            name, self._below(self.root), attributes=attributes, start_time=start
        )
        if error is not None:
            span.set_attribute(semconv.ERROR_TYPE, error)
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end or start + _MARKER_LENGTH)

    def rename(self, engine: str, provider: str | None) -> None:
        """The engine was recognised only by what it printed.

        :param engine: its name, which the root span then carries.
        :param provider: who serves its models, None where nobody knows.
        """
        self.provider = provider
        self.root.update_name(f"{semconv.SPAN_INVOKE_AGENT} {engine}")
        self.root.set_attributes({semconv.AGENT_NAME: engine, semconv.ENGINE: engine})

    def prompted(self, context: SpanContext) -> None:
        """Note who prompts the agent next: the turn that begins then is linked to it.

        :param context: the span in which the prompt is given; that of the session's parent says
            nothing new.
        """
        if context.is_valid and context.span_id != self._above:
            self._prompted_by.append(context)

    def span_of(self, activity: Activity) -> Span | None:
        """Return an activity's span while it is open, None where it has none.

        :param activity: one that `changed` was told of.
        """
        return self._spans.get(activity)

    def changed(self, changes: Iterable[Change]) -> None:
        """Follow what changed.

        :param changes: what `session.fold.apply` returned, in order.
        """
        for change in changes:
            if type(change) is Opened:
                self._open(change.activity)
            elif type(change) is Closed:
                self._close(change.activity)
            elif type(change) is Noted:
                self.note(change.name, change.at, change.attributes)

    def note(
        self,
        name: str,
        at: int,
        attributes: Mapping[str, AttributeValue],
        severity: SeverityNumber = SeverityNumber.INFO,
    ) -> None:
        """Record an event: on the root span, where Jaeger shows it, and as a log record.

        Span events are being deprecated in favour of log records (OTEP 4430); until backends
        have followed, both are the same event.

        :param name: the event's name, of `semconv`.
        :param at: when it happened, in ns since the epoch.
        :param attributes: its attributes; the log record also has the run's id.
        :param severity: the log record's.
        """
        self.root.add_event(name, dict(attributes), timestamp=at)
        self._logger.emit(
            timestamp=at,
            context=self._below(self.root),
            severity_number=severity,
            event_name=name,
            attributes={**attributes, semconv.RUN_ID: self._state.run_id},
        )

    def found(self, finding: Finding) -> None:
        """Show a finding: a stall as a span that is over at once, and each as an event.

        :param finding: what the detector reported; a kill that is carried out is told elsewhere.
        """
        facts = finding_attributes(finding)
        if finding.kind == "stall":
            # The warnings of one silence stand one after the other; each adds what is new.
            start = max(finding.since, self._warned_at)
            self.mark(semconv.SPAN_STALL, start, finding.at, facts, finding.cause)
            self._warned_at = finding.at
        if not finding.carried_out:
            severity = _SEVERITY.get(finding.kind, SeverityNumber.WARN)
            self.note(EVENTS_OF_FINDINGS[finding.kind], finding.at, facts, severity)

    def end(self, outcome: Outcome, attributes: Mapping[str, AttributeValue], at: int) -> None:
        """End the root with how the session went.

        :param outcome: the word, and the kind of error where it went wrong.
        :param attributes: the summary's.
        :param at: when it ended, in ns since the epoch.
        """
        self.root.set_attributes({**self._conversation(), **attributes})
        self.root.set_attribute(semconv.OUTCOME, outcome.word)
        if outcome.error is not None:
            self.root.set_attribute(semconv.ERROR_TYPE, outcome.error)
            self.root.set_status(Status(StatusCode.ERROR, f"{outcome.word}: {outcome.error}"))
        self.root.end(at)

    def _open(self, activity: Activity) -> None:
        if activity.kind in self._left_out:
            return
        describe = _DESCRIBED[activity.kind]
        name, kind, attributes = describe(activity, self)
        if activity.kind == "tool":
            self._told[activity] = dict(activity.attributes)
        self._spans[activity] = self._tracer.start_span(
            name,
            self._below(self._enclosing(activity)),
            kind=kind,
            attributes={**self._conversation(), **attributes},
            links=self._prompters() if activity.kind == "turn" else None,
            start_time=activity.start,
        )

    def _prompters(self) -> list[Link]:
        prompters, self._prompted_by = self._prompted_by, []
        return [Link(context) for context in prompters]

    def _close(self, activity: Activity) -> None:
        span = self._spans.pop(activity, None)
        if span is None:
            return
        told = self._told.pop(activity, _NOTHING).items()
        # The SDK looks at each anew, which costs more than all the rest here.
        news = {k: v for k, v in activity.attributes.items() if (k, v) not in told}
        attributes: Attributes = {**news, **self._results(activity)}
        if activity.error is not None:
            attributes[semconv.ERROR_TYPE] = activity.error
            span.set_status(Status(StatusCode.ERROR, activity.reason or activity.error))
        if attributes:
            span.set_attributes(attributes)
        span.end(activity.end)
        if self._state.followed:
            self._remember(activity, span)

    def _remember(self, activity: Activity, span: Span) -> None:
        """Keep the ids of a subagent's span that is over: its own files may tell more of it."""
        above = activity.parent
        if activity.kind == "agent" and above in self._spans:
            self._remember_ids(above, self._spans[above])
        if activity.kind == "agent" or semconv.SUBAGENT_NAME in activity.attributes:
            self._remember_ids(activity, span)

    def _remember_ids(self, activity: Activity, span: Span) -> None:
        self._past[activity] = trace.NonRecordingSpan(span.get_span_context())
        if len(self._past) > _REMEMBERED:
            del self._past[next(iter(self._past))]

    def _results(self, activity: Activity) -> Attributes:
        results: Attributes = usage_attributes(activity.usage)
        if activity.kind == "agent" and activity.parent and activity.key != activity.parent.key:
            results[semconv.AGENT_ID] = activity.key
        if activity.exit_code is not None:
            results[semconv.PROCESS_EXIT_CODE] = activity.exit_code
        if activity.finish_reason is not None:
            results[semconv.FINISH_REASONS] = (activity.finish_reason,)
        if activity.reason is not None:
            results[semconv.REASON] = activity.reason
        return results | self.content(semconv.TOOL_RESULT, activity.result)

    def content(self, name: str, raw: bytes | None) -> Attributes:
        """Return an attribute of content, or nothing where nobody asked for content.

        :param name: the attribute's name.
        :param raw: the content as the engine printed it, JSON or text; None where there is none.
        """
        captured = self._capture.text(raw)
        if captured is None:
            return {}
        text, cut = captured
        return {name: text, semconv.CONTENT_TRUNCATED: True} if cut else {name: text}

    def _conversation(self) -> Attributes:
        session_id = self._state.session_id
        return {} if session_id is None else {semconv.CONVERSATION_ID: session_id}

    def _enclosing(self, activity: Activity) -> Span:
        node = activity.parent
        while node is not None:
            span = self._spans.get(node) or self._past.get(node)
            if span is not None:
                return span
            node = node.parent
        return self.root

    def _below(self, span: Span) -> Context:
        nearest = self._nearest
        if nearest is None or nearest[0] is not span:
            nearest = self._nearest = span, trace.set_span_in_context(span, self._parent)
        return nearest[1]


def finding_attributes(finding: Finding) -> Facts:
    """Return everything about a finding that telemetry may say.

    :param finding: what the detector reported.
    """
    facts: Facts = {
        **finding.attributes,
        semconv.STALL_IDLE: round(finding.idle_s, 3),
        semconv.STALL_NUMBER: finding.number,
    }
    if finding.cause:
        facts[semconv.STALL_CAUSE] = finding.cause
        facts[semconv.STALL_EVIDENCE] = tuple(finding.evidence)
    if finding.expected is not None:
        facts[semconv.WAIT_KIND] = finding.expected
    decision = finding.decision
    if decision is not None:
        facts |= {
            semconv.KILL_ACTION: decision.action,
            semconv.KILL_VETOES: decision.vetoes,
            semconv.KILL_REASONS: decision.reasons,
            semconv.KILL_CONFIRMATIONS: decision.confirmations,
            semconv.KILL_WINDOW: decision.window,
        }
    return facts


def _chat(chat: Activity, tracer: SessionTracer) -> tuple[str, SpanKind, Attributes]:
    attributes: Attributes = {semconv.OPERATION_NAME: semconv.SPAN_CHAT}
    if tracer.provider is not None:
        attributes[semconv.PROVIDER_NAME] = tracer.provider
    if chat.name:
        attributes[semconv.REQUEST_MODEL] = chat.name
        attributes[semconv.RESPONSE_MODEL] = chat.name
    if chat.key:
        attributes[semconv.RESPONSE_ID] = chat.key
    return f"{semconv.SPAN_CHAT} {chat.name}".rstrip(), SpanKind.CLIENT, attributes


def _tool(tool: Activity, tracer: SessionTracer) -> tuple[str, SpanKind, Attributes]:
    attributes: Attributes = {
        semconv.OPERATION_NAME: semconv.SPAN_EXECUTE_TOOL,
        semconv.TOOL_NAME: tool.name,
        semconv.TOOL_CALL_ID: tool.key,
        **tool.attributes,
        **tracer.content(semconv.TOOL_ARGUMENTS, tool.arguments),
    }
    return f"{semconv.SPAN_EXECUTE_TOOL} {tool.name}", SpanKind.INTERNAL, attributes


def _agent(agent: Activity, _tracer: SessionTracer) -> tuple[str, SpanKind, Attributes]:
    attributes: Attributes = {
        semconv.OPERATION_NAME: semconv.SPAN_INVOKE_AGENT,
        semconv.AGENT_NAME: agent.name,
    }
    return f"{semconv.SPAN_INVOKE_AGENT} {agent.name}", SpanKind.INTERNAL, attributes


def _turn(turn: Activity, _tracer: SessionTracer) -> tuple[str, SpanKind, Attributes]:
    return f"{semconv.SPAN_TURN} {turn.key}", SpanKind.INTERNAL, {}


def _wait(wait: Activity, _tracer: SessionTracer) -> tuple[str, SpanKind, Attributes]:
    return (
        f"{semconv.SPAN_WAIT} {wait.name}",
        SpanKind.INTERNAL,
        {semconv.WAIT_KIND: wait.name},
    )


_DESCRIBED: Final[
    dict[str, Callable[[Activity, SessionTracer], tuple[str, SpanKind, Attributes]]]
] = {"chat": _chat, "tool": _tool, "agent": _agent, "turn": _turn, "wait": _wait}
