from __future__ import annotations

import pytest

from otel_untether.session import events as ev
from otel_untether.session.fold.apply import apply
from otel_untether.session.outcome import Outcome, judge
from otel_untether.session.state import SessionState


def ended(**turn: object) -> SessionState:
    state = SessionState("run", started=0)
    apply(state, ev.TurnStarted(at=1))
    apply(state, ev.TurnFinished(at=2, **turn))  # type: ignore[arg-type]
    return state


def midway() -> SessionState:
    state = SessionState("run", started=0)
    apply(state, ev.TurnStarted(at=1))
    return state


def missed() -> SessionState:
    state = midway()
    state.missed = True
    return state


@pytest.mark.parametrize(
    ("state", "exit_code", "signal", "expected"),
    [
        pytest.param(ended(), 0, None, Outcome("completed"), id="result-and-exit-0"),
        pytest.param(ended(), None, None, Outcome("completed"), id="recording-with-a-result"),
        pytest.param(
            ended(error="max_turns"), 1, None, Outcome("failed", "max_turns"), id="result-says-why"
        ),
        pytest.param(ended(), 7, None, Outcome("failed", "7"), id="exit-code-alone"),
        pytest.param(
            ended(error="aborted_tools", interrupted=True),
            0,
            None,
            Outcome("interrupted", "aborted_tools"),
            id="claude-exits-0-after-sigint",
        ),
        pytest.param(midway(), 143, None, Outcome("terminated", "SIGTERM"), id="caught-sigterm"),
        pytest.param(midway(), None, 9, Outcome("terminated", "SIGKILL"), id="killed-by-others"),
        pytest.param(midway(), None, 2, Outcome("interrupted", "SIGINT"), id="died-of-sigint"),
        pytest.param(midway(), 144, None, Outcome("failed", "144"), id="gemini-bad-request"),
        pytest.param(midway(), 0, None, Outcome("failed", "no_result"), id="lost-its-thread"),
        pytest.param(missed(), 0, None, Outcome("unknown"), id="its-result-passed-us-by"),
        pytest.param(midway(), None, None, Outcome("unknown"), id="recording-cut-off"),
        pytest.param(SessionState("r", 0), 0, None, Outcome("completed"), id="nothing-known"),
    ],
)
def test_how_a_session_ended(
    state: SessionState, exit_code: int | None, signal: int | None, expected: Outcome
) -> None:
    assert judge(state, exit_code, signal) == expected


def test_a_server_whose_files_are_followed_tells_itself_whether_it_is_done() -> None:
    """Its command line asks for no lines, as that of a text mode, and it prints a protocol's."""
    server = midway()
    server.followed, server.headless, server.serves = True, False, "acp"
    assert not server.lags
    assert judge(server, 0, None) == Outcome("failed", "no_result")


def test_a_kill_of_ours_is_named_by_its_cause() -> None:
    assert judge(midway(), None, 15, killed_for="wedged") == Outcome("killed", "wedged")


def sent_sigint(state: SessionState) -> SessionState:
    state.interrupted_at = 9
    return state


@pytest.mark.parametrize("exit_code", [0, 1])
@pytest.mark.parametrize("state", [midway(), ended(error="error"), SessionState("run", started=0)])
def test_who_was_sent_sigint_at_work_was_interrupted_whatever_it_makes_of_that(
    state: SessionState, exit_code: int
) -> None:
    """Claude may exit 0 without a result, Codex exits 1, text modes say nothing."""
    assert judge(sent_sigint(state), exit_code, None) == Outcome("interrupted", "SIGINT")


def test_who_was_done_when_it_was_sent_sigint_completed() -> None:
    assert judge(sent_sigint(ended()), 0, None) == Outcome("completed")


def test_who_was_killed_after_sigint_was_killed() -> None:
    assert judge(sent_sigint(midway()), None, 9) == Outcome("terminated", "SIGKILL")


def told(state: SessionState) -> SessionState:
    state.host_error = "stream_end"
    return state


@pytest.mark.parametrize(
    ("state", "exit_code", "expected"),
    [
        pytest.param(SessionState("r", 0), 0, "stream_end", id="it-said-nothing"),
        pytest.param(midway(), None, "stream_end", id="nobody-knows-its-status"),
        pytest.param(midway(), 0, "no_result", id="it-lost-its-thread"),
        pytest.param(midway(), 3, "3", id="its-status-says-more"),
        pytest.param(ended(error="max_turns"), 1, "max_turns", id="it-said-why"),
    ],
)
def test_what_its_program_calls_an_error_counts_where_nothing_else_tells_of_one(
    state: SessionState, exit_code: int | None, expected: str
) -> None:
    assert judge(told(state), exit_code, None) == Outcome("failed", expected)
