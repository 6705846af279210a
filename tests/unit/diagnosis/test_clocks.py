"""The second clock: what owes something is overdue by its own progress, whatever others say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from otel_untether.proc_diag.deep_look import StdinLook, ThreadLook
from otel_untether.session import events as ev
from otel_untether.session.state import SessionState
from otel_untether.stall import Finding, StallDetector, describe
from tests.unit.diagnosis.worlds import (
    CONFIG,
    T0,
    S,
    at_time,
    child,
    deep,
    sample,
    session,
    socket,
    tell,
    tool,
)

if TYPE_CHECKING:
    from otel_untether.proc_diag.deep_look import DeepLook

QUIET = CONFIG._replace(stall_auto_kill=False)
MODEL = sample(sockets=(socket(),))


def at(seconds: float) -> int:
    return T0 + round(seconds * S)


class Story:
    """A session that lives second by second: events at given times, a tick every 5 s."""

    def __init__(self, state: SessionState, look: Any = MODEL, config: Any = QUIET) -> None:
        self.state, self.look = state, look
        self.seen: DeepLook | None = None
        self.detector = StallDetector(config)
        self.found: list[tuple[int, Finding]] = []

    def until(self, seconds: int, **lines: Any) -> list[tuple[int, str, str]]:
        """Live on; `lines` maps an interval ("every_30") to a function of time giving an event."""
        begun = len(self.found)
        start = getattr(self, "_now", 0)
        for second in range(start + 1, seconds + 1):
            for name, make in lines.items():
                if second % int(name.removeprefix("every_")) == 0:
                    tell(self.state, make(second))
            if second % 5 == 0:
                self._tick(second)
        self._now = seconds
        return [(s, f.kind, f.cause) for s, f in self.found[begun:]]

    def _tick(self, second: int) -> None:
        look = at_time(self.look, float(second))
        seen = self.seen or deep(look)
        finding = self.detector.tick(
            self.state, [look], at(second), look=lambda: replace(seen, at=float(second))
        )
        if finding is not None:
            self.found.append((second, finding))


def beat(call: str) -> Any:
    return lambda second: ev.ToolUpdated(at=at(second), id=call, heartbeat=True)


@pytest.mark.parametrize(
    ("call", "limit", "cause"),
    [
        (tool(), 600, "tool_hung"),
        (tool("q", mcp_server="db"), 900, "mcp_hung"),
        (tool("Agent", subagent="Explore"), 900, "subagent_hung"),
    ],
)
def test_heartbeats_do_not_hide_what_hangs(call: ev.ToolStarted, limit: int, cause: str) -> None:
    story = Story(tell(session(), call), sample(child("sleep"), sockets=(socket(),)))
    assert story.until(limit + 100, every_30=beat(call.id)) == [(limit, "stall", cause)]
    line = describe(story.found[0][1])
    assert line.startswith(f"no progress for {limit // 60} min: ")
    assert "but no progress" in line


def test_what_only_beats_is_killed_if_the_operator_asked_for_it_and_not_otherwise() -> None:
    for causes, killed in (("wedged",), False), (("tool_hung",), True):
        config = CONFIG._replace(kill_causes=causes)
        story = Story(tell(session(), tool()), sample(child("sleep"), sockets=(socket(),)), config)
        kinds = [kind for _, kind, _ in story.until(900, every_30=beat("call-Bash"))]
        assert ("kill" in kinds) is killed


def test_progress_of_the_call_ends_it_and_a_heartbeat_does_not() -> None:
    story = Story(tell(session(), tool()), sample(child("sleep")))
    story.until(630, every_30=beat("call-Bash"))
    tell(story.state, ev.ToolUpdated(at=at(632), id="call-Bash"))
    assert story.until(635) == [(635, "recovered", "")]


def test_keep_alives_do_not_hide_a_frozen_session() -> None:
    story = Story(session(), MODEL)
    found = story.until(320, every_10=lambda second: ev.Heartbeat(at=at(second)))
    assert found == [(300, "stall", "model_silent")]


def test_a_compaction_that_never_ends_is_reported() -> None:
    story = Story(session(), MODEL)
    found = story.until(310, every_30=lambda s: ev.Compaction(at=at(s), phase="beat"))
    assert found == []
    found = story.until(340, every_30=lambda s: ev.Compaction(at=at(s), phase="beat"))
    assert found == [(330, "stall", "compaction_hung")]


def agents(*names: str) -> SessionState:
    state = session()
    for name in names:
        tell(state, ev.ToolStarted(at=T0, id=name, name="Agent", subagent=name))
        tell(state, ev.TaskStarted(at=T0, id=f"t-{name}", kind="agent", tool_id=name))
    return state


def test_one_subagent_hangs_while_its_sibling_talks() -> None:
    story = Story(agents("dead", "lively"), MODEL)

    def chatter(second: int) -> ev.ModelMessage:
        return ev.ModelMessage(at=at(second), id=str(second), parent="lively")

    assert story.until(905, every_20=chatter) == [(900, "stall", "subagent_hung")]
    assert "one subagent of 2 (dead)" in story.found[0][1].evidence[0]


def test_subagents_that_cannot_be_at_work_are_reported_as_silence() -> None:
    """Two subagents, no connection, no child, 81 % CPU: told after 5 min, not after 15."""
    story = Story(agents("a", "b"), sample(cpu=0.81))
    assert story.until(310) == [(300, "stall", "spinning")]


def outage(status: int | None) -> Any:
    return lambda second: ev.Retry(at=at(second), delay=20.0, status=status)


def test_an_outage_for_hours_is_told_although_lines_keep_coming() -> None:
    story = Story(session(), sample())
    found = story.until(400, every_60=outage(None))
    assert found[0] == (360, "stall", "model_unreachable")
    assert "6 tries in 5 min" in story.found[0][1].evidence[0]


def test_a_server_that_turns_it_away_is_no_stall() -> None:
    found = Story(session(), sample()).until(400, every_60=outage(529))
    assert found[0] == (360, "waiting", "retrying")


def test_a_server_item_left_open_does_not_hide_a_silent_model() -> None:
    """Codex leaves the item of what it runs in the background open."""
    state = tell(session("codex"), tool("server"), ev.ModelMessage(at=at(1), id="m"))
    story = Story(state, sample(child("vite"), sockets=(socket(),)))
    assert story.until(305) == [(305, "stall", "model_silent")]


def test_a_limit_that_a_call_claims_for_itself_is_believed_for_an_hour() -> None:
    story = Story(tell(session(), tool(timeout=86400.0)), sample(child("sleep")))
    assert story.until(3600) == [(3600, "stall", "tool_hung")]


def between_prompts(unread: int, wchan: str = "do_epoll_wait") -> Story:
    state = tell(session(multi_prompt=True), ev.TurnFinished(at=T0))
    story = Story(state, sample(), CONFIG)
    (one,) = deep(sample()).processes
    stdin = StdinLook("pipe", "pipe:[3]", unread, "outside", open_ended=True)
    main = ThreadLook(one.identity.pid, "claude", "S", wchan, runs=1)
    story.seen = replace(deep(sample()), processes=(replace(one, stdin=stdin, threads=(main,)),))
    return story


def test_between_two_prompts_silence_is_right() -> None:
    assert between_prompts(0).until(4000) == []


def test_a_prompt_that_is_not_taken_is_told() -> None:
    story = between_prompts(61)
    found = story.until(320)
    assert found[0] == (305, "stall", "prompt_unanswered")
    assert "61 bytes" in story.found[0][1].evidence[0]


def test_a_prompt_that_was_taken_and_not_answered_is_told() -> None:
    """No thread waits for input any more: it has something to do, and does not."""
    found = between_prompts(0, "futex_do_wait").until(320)
    assert found[0][1] == "stall"


def test_an_answer_ends_that() -> None:
    story = between_prompts(61)
    story.until(310)
    tell(story.state, ev.TurnStarted(at=at(312)), ev.ModelMessage(at=at(313), id="m"))
    assert story.until(315) == [(315, "recovered", "")]


def text_mode(**changes: Any) -> SessionState:
    """A known CLI that was not asked for JSON: it prints its answer at the end."""
    return SessionState("r", T0, engine="codex", headless=False, **changes)


def test_text_mode_is_not_expected_to_speak() -> None:
    story = Story(text_mode(), sample(child("make"), sockets=(socket(receive_age=1.0),), cpu=0.4))
    assert story.until(2000) == []


def test_text_mode_in_which_nothing_moves_is_told_and_spared() -> None:
    story = Story(text_mode(), sample(child("sleep")), CONFIG)
    found = story.until(2000)
    assert found[0] == (600, "stall", "tool_hung")
    assert "kill" not in [kind for _, kind, _ in found]


def test_a_tool_that_runs_shows_that_its_approval_was_given() -> None:
    """The answer went to the CLI's stdin, and left no line."""
    asked = ev.WaitBegan(at=T0, id="w", kind="approval", tool_id="call-Bash")
    story = Story(tell(session(), tool(), asked), sample())
    assert story.until(100) == []
    story.look = sample(child("sleep"))
    assert story.until(750)[0][1:] == ("stall", "tool_hung")


def test_a_tool_beside_it_shows_nothing_of_an_approval() -> None:
    asked = ev.WaitBegan(at=T0, id="w", kind="approval", tool_id="call-Edit")
    story = Story(tell(session(), tool(), tool("Edit"), asked), sample())
    story.until(100)
    story.look = sample(child("sleep"))
    assert story.until(1700) == []


def test_a_heartbeat_of_its_own_is_no_writing_elsewhere() -> None:
    config = CONFIG._replace(kill_causes=("tool_hung",), sample_interval=5)
    story = Story(tell(session(), tool()), sample(child("sleep")), config)
    kinds = [kind for _, kind, _ in story.until(700, every_2=beat("call-Bash"))]
    assert "kill" in kinds
