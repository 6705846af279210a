"""Activities become spans: names, kinds, nesting, times, status, attributes."""

from __future__ import annotations

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from otel_untether import semconv
from otel_untether.session import events as ev
from otel_untether.session.content import Capture
from otel_untether.session.fold.apply import apply, finish
from otel_untether.session.outcome import Outcome
from otel_untether.session.state import SessionState
from otel_untether.spans import SessionTracer
from otel_untether.stall import Finding


class Traced:
    """A session whose spans and log records are kept in memory."""

    def __init__(self, capture: Capture | None = None, *, chats: bool = True) -> None:
        self._spans, self._logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
        tracers, loggers = TracerProvider(), LoggerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        loggers.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.state = SessionState("run-1", started=1_000, engine="claude", model="opus")
        self.tracer = SessionTracer(
            self.state,
            tracer_provider=tracers,
            logger_provider=loggers,
            provider="anthropic",
            capture=capture,
            chats=chats,
        )
        self.tracer.start({})
        self.tracer.started({semconv.PROCESS_PID: 42})

    def tell(self, *events: ev.Event) -> Traced:
        for event in events:
            self.tracer.changed(apply(self.state, event))
        return self

    def end(self, outcome: Outcome, at: int = 10_000) -> Traced:
        self.tracer.changed(finish(self.state, at, outcome.word, clean=outcome.error is None))
        self.tracer.end(outcome, {}, at)
        return self

    def span(self, name: str) -> ReadableSpan:
        (found,) = (s for s in self._spans.get_finished_spans() if s.name == name)
        return found

    def named(self, name: str) -> list[ReadableSpan]:
        return [s for s in self._spans.get_finished_spans() if s.name == name]

    def names(self) -> list[str]:
        return [s.name for s in self._spans.get_finished_spans()]

    def log_names(self) -> list[str | None]:
        return [r.log_record.event_name for r in self._logs.get_finished_logs()]


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def own_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


BASH = ev.ToolStarted(at=2_000, id="t1", name="Bash", arguments=b'{"command":"env"}')


def test_a_marker_is_exported_while_the_session_still_runs() -> None:
    """A span leaves only at its end; without a marker a frozen session could not be found."""
    marker = Traced().span("untether.session.started")
    assert attributes(marker)[semconv.RUN_ID] == "run-1"
    assert attributes(marker)[semconv.PROCESS_PID] == 42
    assert not [name for name in attributes(marker) if name.startswith("gen_ai.")]


def test_the_root_carries_what_identifies_the_run() -> None:
    root = Traced().end(Outcome("completed")).span("invoke_agent claude")
    assert root.kind is SpanKind.INTERNAL
    assert (root.start_time, root.end_time) == (1_000, 10_000)
    assert attributes(root)[semconv.OPERATION_NAME] == "invoke_agent"
    assert attributes(root)[semconv.OUTCOME] == "completed"
    assert root.status.status_code is StatusCode.UNSET


def test_the_root_of_a_failed_session_is_an_error_with_its_type() -> None:
    root = Traced().end(Outcome("failed", "max_turns")).span("invoke_agent claude")
    assert root.status.status_code is StatusCode.ERROR
    assert attributes(root)[semconv.ERROR_TYPE] == "max_turns"


def test_a_tool_span_has_the_calls_id_name_and_exit_code() -> None:
    done = ev.ToolFinished(at=3_000, id="t1", error="3", exit_code=3)
    span = Traced().tell(BASH, done).end(Outcome("completed")).span("execute_tool Bash")
    assert attributes(span)[semconv.TOOL_CALL_ID] == "t1"
    assert attributes(span)[semconv.PROCESS_EXIT_CODE] == 3
    assert attributes(span)[semconv.ERROR_TYPE] == "3"
    assert span.status.status_code is StatusCode.ERROR


def test_a_subagents_tool_lies_under_its_agent_and_that_under_the_call() -> None:
    traced = Traced().tell(
        ev.ToolStarted(at=2_000, id="call", name="Agent", subagent="explorer"),
        ev.TaskStarted(at=2_100, id="task", kind="agent", tool_id="call", name="explorer"),
        ev.ToolStarted(at=2_200, id="t2", name="Read", parent="call"),
        ev.ToolFinished(at=2_300, id="t2", parent="call"),
        ev.ToolFinished(at=2_400, id="call"),
    )
    traced.end(Outcome("completed"))
    call, agent = traced.span("execute_tool Agent"), traced.span("invoke_agent explorer")
    assert parent_of(traced.span("execute_tool Read")) == own_id(agent)
    assert parent_of(agent) == own_id(call)
    assert parent_of(call) == own_id(traced.span("invoke_agent claude"))
    assert attributes(agent)[semconv.AGENT_ID] == "task"


def test_a_chat_is_a_client_span_with_the_messages_id_and_usage() -> None:
    said = ev.ModelMessage(at=3_000, id="m1", model="opus-2", usage=ev.Usage(input=9))
    chat = Traced().tell(said, ev.TurnFinished(at=4_000)).span("chat opus-2")
    assert chat.kind is SpanKind.CLIENT
    assert attributes(chat)[semconv.PROVIDER_NAME] == "anthropic"
    assert attributes(chat)[semconv.RESPONSE_ID] == "m1"
    assert attributes(chat)[semconv.INPUT_TOKENS] == 9
    assert semconv.OUTPUT_TOKENS not in attributes(chat)


def test_chats_can_be_switched_off() -> None:
    said = ev.ModelMessage(at=3_000, id="m1", model="opus")
    traced = Traced(chats=False).tell(said, ev.TurnFinished(at=4_000)).end(Outcome("completed"))
    assert not [name for name in traced.names() if name.startswith("chat")]


def test_what_was_cut_off_says_why() -> None:
    span = Traced().tell(BASH).end(Outcome("terminated", "SIGTERM")).span("execute_tool Bash")
    assert attributes(span)[semconv.REASON] == "terminated"
    assert span.status.status_code is StatusCode.ERROR
    assert span.end_time == 10_000


def test_content_is_absent_by_default() -> None:
    span = Traced().tell(BASH).end(Outcome("completed")).span("execute_tool Bash")
    assert semconv.TOOL_ARGUMENTS not in attributes(span)


def test_content_is_there_on_request() -> None:
    result = ev.ToolFinished(at=3_000, id="t1", result=b'"PATH=/bin"')
    traced = Traced(Capture(enabled=True)).tell(BASH, result).end(Outcome("completed"))
    span = traced.span("execute_tool Bash")
    assert attributes(span)[semconv.TOOL_ARGUMENTS] == '{"command":"env"}'
    assert attributes(span)[semconv.TOOL_RESULT] == '"PATH=/bin"'


def test_an_event_is_a_span_event_and_a_log_record() -> None:
    traced = Traced().tell(ev.Retry(at=2_000, attempt=2, delay=0.5, status=529))
    traced.end(Outcome("completed"))
    (event,) = traced.span("invoke_agent claude").events
    assert event.name == "untether.agent.retry"
    assert dict(event.attributes or {})[semconv.RETRY_ATTEMPT] == 2
    assert traced.log_names() == ["untether.agent.retry"]


@pytest.mark.parametrize("tools", [200])
def test_no_span_ever_comes_near_the_limit_of_attributes(tools: int) -> None:
    """Past 128 the SDK drops the oldest, `gen_ai.operation.name` first."""
    traced = Traced(Capture(enabled=True))
    for n in range(tools):
        started = ev.ToolStarted(at=2_000 + n, id=f"t{n}", name="Bash", arguments=b"{}")
        traced.tell(started, ev.ToolFinished(at=2_000 + n, id=f"t{n}"))
    traced.end(Outcome("completed"))
    spans = traced._spans.get_finished_spans()
    assert max(len(attributes(span)) for span in spans) < 40
    assert all(span.dropped_attributes == 0 for span in spans)


def test_warnings_of_one_silence_stand_one_after_the_other() -> None:
    """An hour's silence is twenty tiles and not twenty bars on top of each other."""
    traced = Traced()
    for number, at in enumerate((3_000, 4_000, 6_000), 1):
        traced.tracer.found(Finding("stall", "wedged", at, since=2_000, number=number))
    traced.tracer.found(Finding("stall", "wedged", 9_000, since=8_000, number=1))
    assert [(s.start_time, s.end_time) for s in traced.named("untether.stall")] == [
        (2_000, 3_000),
        (3_000, 4_000),
        (4_000, 6_000),
        (8_000, 9_000),
    ]
