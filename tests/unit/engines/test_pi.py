"""The traps of Pi's stream, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines.pi import stream as pi
from otel_untether.session import events as ev
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState

AT = 1_000


def decode(type_: str, **members: Any) -> tuple[ev.Event, ...]:
    return pi.decode(json.dumps({"type": type_, **members}).encode(), AT)


def ended(**message: Any) -> ev.ModelMessage:
    (event,) = decode("message_end", message={"role": "assistant", **message})
    assert isinstance(event, ev.ModelMessage)
    return event


def test_a_turn_of_pis_is_a_request_and_an_agents_run_a_turn() -> None:
    assert decode("turn_start") == (ev.ModelAsked(at=AT),)
    assert decode("agent_start") == (ev.TurnStarted(at=AT),)
    assert decode("turn_end", message={}) == decode("agent_settled") == ()


@pytest.mark.parametrize("role", ["user", "system", "toolResult"])
def test_other_peoples_messages_are_not_the_models(role: str) -> None:
    assert decode("message_start", message={"role": role}) == ()
    assert decode("message_end", message={"role": role}) == ()


def test_tokens_and_cost_come_with_the_end_of_a_message() -> None:
    usage = {"input": 900, "output": 31, "cacheRead": 150, "cacheWrite": 50, "reasoning": 3}
    message = ended(stopReason="toolUse", usage={**usage, "cost": {"total": 0.25}}, model="m")
    assert message == ev.ModelMessage(
        at=AT,
        model="m",
        usage=ev.Usage(1100, 31, 150, 50, 3),
        cost_usd=0.25,
        finish_reason="toolUse",
        complete=True,
    )


def test_zeros_are_not_yet_known() -> None:
    usage = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "cost": {"total": 0}}
    message = ended(stopReason="error", errorMessage="503: busy", usage=usage)
    assert (message.usage, message.cost_usd, message.error) == (None, None, "overloaded")


def test_an_aborted_message_is_an_interruption() -> None:
    assert ended(stopReason="aborted").error == "interrupted"


def test_a_run_that_will_be_repeated_has_not_ended() -> None:
    last = {"role": "assistant", "stopReason": "error", "errorMessage": "400: no"}
    assert decode("agent_end", messages=[last], willRetry=True) == ()
    assert decode("agent_end", messages=[{}, last], willRetry=False) == (
        ev.TurnFinished(at=AT, error="invalid_request"),
    )


@pytest.mark.parametrize("messages", [None, [], [7], ["x"], [{"stopReason": 7}], {}])
def test_a_run_ends_whatever_its_messages_are(messages: Any) -> None:
    events = decode("agent_end", messages=messages)
    assert ev.TurnFinished(at=AT, as_answered=True) in events


@pytest.mark.parametrize(("stop", "error"), [("error", "error"), ("stop", None)])
def test_a_run_without_messages_failed_if_its_last_answer_did(stop: str, error: str | None) -> None:
    state = SessionState("run", started=1)
    message = {"role": "assistant", "stopReason": stop}
    lines = [("agent_start", {}), ("message_end", {"message": message}), ("agent_end", {})]
    for kind, told in lines:
        for event in decode(kind, **told):
            apply(state, event)
    assert (state.last_error, state.turn_open) == (error, False)


@pytest.mark.parametrize(
    ("tool", "text", "failed", "error", "code"),
    [
        ("bash", "x\n\nCommand exited with code 3", True, "3", 3),
        ("bash", "Command exited with code 3", False, None, None),
        ("read", "Command exited with code 3", True, "tool_error", None),
        ("bash", "Command aborted", True, "tool_error", None),
    ],
)
def test_a_commands_status_is_in_its_text(
    tool: str, text: str, error: str | None, code: int | None, *, failed: bool
) -> None:
    result = {"content": [{"type": "text", "text": text}]}
    (event,) = decode(
        "tool_execution_end", toolCallId="t", toolName=tool, result=result, isError=failed
    )
    assert isinstance(event, ev.ToolFinished)
    assert (event.error, event.exit_code) == (error, code)


def test_a_retry_says_which_when_and_why() -> None:
    (event,) = decode(
        "auto_retry_start", attempt=1, maxAttempts=3, delayMs=2000, errorMessage="503: x"
    )
    assert event == ev.Retry(
        at=AT, attempt=1, max_attempts=3, delay=2.0, status=503, error="overloaded"
    )


def test_compaction_begins_and_ends() -> None:
    assert decode("compaction_start", reason="threshold") == (
        ev.Compaction(at=AT, phase="began", trigger="threshold"),
    )
    (event,) = decode("compaction_end", reason="threshold", result={"tokensBefore": 9})
    assert event == ev.Compaction(at=AT, phase="ended", trigger="threshold", tokens_before=9)


@pytest.mark.parametrize("phase", ["start", "update", "end"])
def test_a_tool_without_a_call_is_a_bad_line(phase: str) -> None:
    (event,) = decode(f"tool_execution_{phase}", toolName="bash")
    assert event == ev.StrayLine(at=AT, reason="bad_shape", detail=f"tool_execution_{phase}")
