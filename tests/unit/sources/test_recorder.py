"""Bytes in, trace out: what holds whatever the bytes are."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_untether import Recorder, RunInfo
from otel_untether.session.activity import Change
from otel_untether.spans import SessionTracer

S = 10**9
INIT = {
    "type": "system",
    "subtype": "init",
    "session_id": "s-1",
    "model": "m",
    "tools": ["Bash"],
    "claude_code_version": "2.1.330",
    "apiKeySource": "none",
}


def claude(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def said(*blocks: dict[str, object]) -> dict[str, object]:
    message = {"id": "msg_1", "model": "m", "content": list(blocks)}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None}


def used(key: object = "t1") -> dict[str, object]:
    return {"type": "tool_use", "id": key, "name": "Bash", "input": {}}


def came_back(key: str = "t1") -> dict[str, object]:
    block = {"type": "tool_result", "tool_use_id": key, "content": "ok"}
    return {"type": "user", "message": {"role": "user", "content": [block]}}


class Recorded:
    def __init__(self, engine: str | None = None, **more: object) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        run = RunInfo("run", started=0, engine=engine)
        self.recorder = Recorder(run, tracer_provider=provider, **more)  # type: ignore[arg-type]

    def feed(self, data: bytes, at: int = S) -> Recorded:
        self.recorder.feed(data, at)
        return self

    def names(self) -> list[str]:
        return [span.name for span in self.spans()]

    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


@given(st.lists(st.binary(max_size=200)), st.sampled_from([None, "claude", "codex", "generic"]))
def test_no_bytes_raise_and_every_line_counts(chunks: list[bytes], engine: str | None) -> None:
    recorded = Recorded(engine)
    for chunk in chunks:
        recorded.feed(chunk)
    recorded.recorder.finish(0, at=2 * S)
    data = b"".join(chunks)
    unfinished = not data.endswith(b"\n") and data != b""
    assert recorded.recorder.state.lines == data.count(b"\n") + unfinished
    assert recorded.names()[-1].startswith("invoke_agent")


def test_the_engine_shows_itself_and_the_lines_before_are_not_lost() -> None:
    recorded = Recorded().feed(b"Loading ...\n" + claude(INIT, said(used()), came_back()))
    summary = recorded.recorder.finish(0, at=2 * S)
    assert summary.engine == "claude"
    assert summary.tools == 1
    assert recorded.recorder.state.oddities == {"not_json": 1}


def test_an_engine_nobody_knows_is_still_watched() -> None:
    recorded = Recorded().feed(b'{"hello": 1}\n' * 100)
    summary = recorded.recorder.finish(0, at=2 * S)
    assert (summary.engine, summary.lines, summary.outcome.word) == ("unknown", 100, "completed")


def test_what_an_unknown_engine_says_need_not_be_read_any_more() -> None:
    recorded = Recorded()
    assert recorded.recorder.reads
    recorded.feed(b'{"hello": 1}\n' * 100)
    assert not recorded.recorder.reads
    recorded.recorder.passed(5000, 3 * S)
    assert recorded.recorder.state.last_sign == 3 * S
    assert recorded.recorder.state.output == 6300
    assert recorded.recorder.finish(0, at=4 * S).lines is None


def test_half_a_line_is_a_sign_of_life() -> None:
    recorded = Recorded("claude").feed(b'{"type":"assis')
    assert not recorded.recorder.state.silent


def test_a_line_of_fifty_megabytes_is_read() -> None:
    huge = {"type": "tool_result", "tool_use_id": "t1", "content": "x" * 50_000_000}
    result = {"type": "user", "message": {"role": "user", "content": [huge]}}
    recorded = Recorded("claude").feed(claude(INIT, said(used())))
    recorded.feed(claude(result))
    assert recorded.recorder.state.open == {}


def test_the_last_line_needs_no_newline() -> None:
    recorded = Recorded("claude").feed(claude(INIT, said(used())) + claude(came_back())[:-1])
    recorded.recorder.finish(0, at=2 * S)
    assert "execute_tool Bash" in recorded.names()
    assert recorded.recorder.state.tool_errors == 0


def test_one_bad_block_does_not_cost_the_others() -> None:
    recorded = Recorded("claude").feed(claude(INIT, said(used(7), used("good"))))
    assert list(recorded.recorder.state.open) == ["good"]


def test_duplicate_keys_are_survived() -> None:
    recorded = Recorded("claude").feed(claude(INIT) + b'{"type":"user","type":"assistant"}\n')
    assert recorded.recorder.state.lines == 2


def test_a_gap_costs_the_broken_line_only() -> None:
    recorded = Recorded("claude").feed(claude(INIT) + b'{"type":"assis')
    recorded.recorder.gap()
    recorded.feed(b'x"}\n' + claude(said(used())))
    assert recorded.recorder.state.oddities == {"output_missed": 1}
    assert list(recorded.recorder.state.open) == ["t1"]


def test_a_session_whose_result_may_be_in_a_gap_is_not_said_to_have_none() -> None:
    recorded = Recorded("claude").feed(claude(INIT, said(used())))
    recorded.recorder.gap()
    assert recorded.recorder.finish(0, at=2 * S).outcome.word == "unknown"


def test_a_mistake_of_ours_is_counted_logged_and_goes_no_further(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_tracer: SessionTracer, changes: list[Change]) -> None:
        raise RuntimeError(f"ours, over {len(changes)} changes")

    recorded = Recorded("claude")
    monkeypatch.setattr(SessionTracer, "changed", broken)
    with caplog.at_level(logging.ERROR):
        recorded.feed(claude(INIT, said(used())))
        summary = recorded.recorder.finish(0, at=2 * S)
    assert "was not recorded" in caplog.text
    assert recorded.recorder.state.oddities["recorder_error"] > 0
    assert summary.tools == 1


def test_the_pid_marks_the_session_as_running() -> None:
    recorded = Recorded("claude")
    assert recorded.names() == []
    recorded.recorder.spawned(42)
    assert recorded.names() == ["untether.session.started"]
    assert recorded.recorder.state.pid == 42


def test_the_tail_of_stderr_is_kept_and_is_no_sign_of_life() -> None:
    recorded = Recorded("claude")
    recorded.recorder.feed_stderr(b"a\n" * 150 + b"last", 5 * S)
    recorded.recorder.finish(0, at=6 * S)
    assert len(recorded.recorder.state.stderr_tail) == 100
    assert recorded.recorder.state.stderr_tail[-1] == "last"
    assert recorded.recorder.state.lines == 0


def test_a_killed_session_says_for_what() -> None:
    recorded = Recorded("claude").feed(claude(INIT, said(used())))
    summary = recorded.recorder.finish(None, 15, at=2 * S, killed_for="wedged")
    assert summary.outcome == ("killed", "wedged")
    tool = next(span for span in recorded.spans() if span.name == "execute_tool Bash")
    assert (tool.attributes or {})["error.type"] == "killed"
