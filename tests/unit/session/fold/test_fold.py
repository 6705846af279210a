"""What events do to a session's state, told in activities."""

from __future__ import annotations

import pytest

from otel_untether import semconv
from otel_untether.session import events as ev
from otel_untether.session.activity import Activity, Change, Closed, Noted, Opened
from otel_untether.session.fold.apply import apply, finish
from otel_untether.session.state import SessionState

S = 10**9
SOON = S // 50  # what a model needs at least


class Story:
    """A session told event by event; collects what changed."""

    def __init__(self, *, multi_prompt: bool = False) -> None:
        self.state = SessionState("run", started=0, engine="claude", multi_prompt=multi_prompt)
        self.changes: list[Change] = []

    def tell(self, *events: ev.Event) -> Story:
        for event in events:
            self.state.line(event.at)
            self.changes += apply(self.state, event)
        return self

    def finish(self, at: int, reason: str = "abandoned", *, clean: bool = True) -> Story:
        self.changes += finish(self.state, at, reason, clean=clean)
        return self

    def opened(self, kind: str) -> list[Activity]:
        return [
            c.activity for c in self.changes if isinstance(c, Opened) and c.activity.kind == kind
        ]

    def closed(self, kind: str) -> list[Activity]:
        return [
            c.activity for c in self.changes if isinstance(c, Closed) and c.activity.kind == kind
        ]


def tool(at: int, key: str = "t1", name: str = "Bash", parent: str | None = None) -> ev.ToolStarted:
    return ev.ToolStarted(at=at, id=key, name=name, parent=parent)


def result(
    at: int, key: str = "t1", *, error: str | None = None, parent: str | None = None
) -> ev.ToolFinished:
    return ev.ToolFinished(at=at, id=key, error=error, parent=parent)


def receipt(at: int, key: str, task: str) -> ev.ToolFinished:
    return ev.ToolFinished(at=at, id=key, detached=True, task_id=task)


def message(at: int, key: str, parent: str | None = None, **more: object) -> ev.ModelMessage:
    return ev.ModelMessage(at=at, id=key, model="m", parent=parent, **more)  # type: ignore[arg-type]


def test_a_subagent_is_named_by_its_call_where_its_start_does_not_say() -> None:
    """The type is optional where a task is announced, and given where it is asked for."""
    call = ev.ToolStarted(at=1, id="t1", name="Task", subagent="Explore")
    story = Story().tell(call, ev.TaskStarted(at=2, id="a1", tool_id="t1", kind="agent"))
    assert [agent.name for agent in story.opened("agent")] == ["Explore"]


class TestTools:
    def test_a_call_lasts_until_its_result(self) -> None:
        story = Story().tell(tool(1 * S), result(4 * S))
        (bash,) = story.closed("tool")
        assert (bash.start, bash.end, bash.name, bash.error) == (1 * S, 4 * S, "Bash", None)

    def test_the_clis_own_times_win_over_arrival(self) -> None:
        """A line may sit in a buffer; what the CLI says is when it happened."""
        started = ev.ToolStarted(at=5 * S, happened=3 * S, id="t", name="Bash")
        story = Story().tell(started, result(6 * S, "t"))
        assert story.closed("tool")[0].start == 3 * S

    def test_a_time_in_the_future_is_held_to_the_arrival(self) -> None:
        started = ev.ToolStarted(at=5 * S, happened=90 * S, id="t", name="Bash")
        assert Story().tell(started).opened("tool")[0].start == 5 * S

    def test_times_that_run_backwards_never_make_a_negative_duration(self) -> None:
        late = ev.ToolFinished(at=6 * S, happened=1 * S, id="t1")
        (bash,) = Story().tell(tool(5 * S), late).closed("tool")
        assert (bash.start, bash.end) == (5 * S, 5 * S + 1)

    def test_a_call_within_a_millisecond_takes_a_nanosecond_and_its_parent_encloses_it(
        self,
    ) -> None:
        """Jaeger takes a span that ends when it starts for one of negative duration."""
        story = Story().tell(tool(5 * S), ev.ToolFinished(at=5 * S, id="t1"))
        (bash,) = story.closed("tool")
        assert (bash.start, bash.end) == (5 * S, 5 * S + 1)
        assert bash.parent is not None
        assert bash.parent.floor == bash.end

    def test_parallel_results_come_in_any_order(self) -> None:
        story = Story().tell(tool(1, "a"), tool(2, "b"), result(3, "b"), result(9, "a"))
        assert [t.key for t in story.closed("tool")] == ["b", "a"]

    def test_a_result_without_a_call_is_counted_and_makes_nothing(self) -> None:
        story = Story().tell(result(1, "ghost"))
        assert story.changes == []
        assert story.state.oddities == {"result_without_call": 1}

    def test_an_id_used_again_is_another_call(self) -> None:
        story = Story().tell(tool(1), result(2), tool(3), result(4))
        assert [(t.start, t.end) for t in story.closed("tool")] == [(1, 2), (3, 4)]
        assert story.state.tools == 2

    def test_a_call_announced_only_at_its_end_brings_its_start(self) -> None:
        """OpenCode prints a tool once it is over, with both times."""
        done = ev.ToolFinished(at=9 * S, id="t", name="bash", started=2 * S)
        (bash,) = Story().tell(done).closed("tool")
        assert (bash.start, bash.end) == (2 * S, 9 * S)

    def test_failures_are_counted(self) -> None:
        story = Story().tell(tool(1), result(2, error="3"))
        assert story.closed("tool")[0].error == "3"
        assert story.state.tool_errors == 1

    def test_a_call_without_a_result_ends_with_the_session_and_says_so(self) -> None:
        story = Story().tell(tool(1)).finish(9, "terminated", clean=False)
        (bash,) = story.closed("tool")
        assert (bash.end, bash.error, bash.reason) == (9, "terminated", "terminated")


class TestSubagents:
    def launch(self) -> Story:
        return Story().tell(
            ev.ToolStarted(at=1, id="call", name="Agent", subagent="explorer"),
            ev.TaskStarted(at=2, id="task", kind="agent", tool_id="call", name="explorer"),
        )

    def test_a_subagent_lies_under_the_call_that_started_it(self) -> None:
        (agent,) = self.launch().opened("agent")
        assert agent.parent is not None
        assert agent.parent.key == "call"
        assert agent.name == "explorer"

    def test_its_tools_lie_under_it(self) -> None:
        story = self.launch().tell(tool(3, "inner", parent="call"))
        assert story.opened("tool")[1].parent is story.opened("agent")[0]

    def test_a_launch_receipt_ends_nothing(self) -> None:
        """A background agent's tool_result arrives at once; its work has only begun."""
        story = self.launch().tell(receipt(3, "call", "task"))
        assert story.closed("tool") == story.closed("agent") == []
        assert story.opened("tool")[0].detached

    def test_a_background_agent_ends_at_its_notification_and_so_does_its_call(self) -> None:
        story = self.launch().tell(
            receipt(3, "call", "task"), ev.TaskFinished(at=9, id="task", tool_id="call")
        )
        assert [a.end for a in story.closed("agent")] == [9]
        assert [t.end for t in story.closed("tool")] == [9]

    def test_a_foreground_agent_ends_with_its_result(self) -> None:
        story = self.launch().tell(result(7, "call"))
        (agent,) = story.closed("agent")
        assert (agent.end, agent.error, agent.reason) == (7, None, None)

    def test_lines_from_below_a_call_show_a_subagent_nobody_announced(self) -> None:
        """Older versions print no task_started."""
        story = Story().tell(
            ev.ToolStarted(at=1, id="call", name="Task", subagent="explorer"),
            tool(2, "inner", parent="call"),
            result(3, "inner", parent="call"),
            result(4, "call"),
        )
        (agent,) = story.closed("agent")
        assert agent.name == "explorer"
        assert [t.key for t in story.closed("tool")] == ["inner", "call"]

    def test_a_nested_agent_lies_under_the_agent_that_called_it(self) -> None:
        story = self.launch().tell(
            tool(3, "deep", "Agent", parent="call"),
            ev.TaskStarted(at=4, id="task2", kind="agent", tool_id="deep", depth=2),
        )
        deep = story.opened("agent")[1]
        assert deep.within(story.opened("agent")[0])
        assert deep.attributes[semconv.DEPTH] == 2

    def test_an_unknown_parent_is_counted_and_the_call_kept(self) -> None:
        story = Story().tell(tool(1, "t", parent="nobody"), result(2, "t", parent="nobody"))
        (orphan,) = story.closed("tool")
        assert orphan.parent is story.state.root
        assert orphan.attributes[semconv.LATE_PARENT] == "nobody"

    def test_a_shell_task_is_no_subagent(self) -> None:
        """Claude prints task_started for a plain Bash that runs for some seconds."""
        story = Story().tell(
            tool(1, "call"),
            ev.TaskStarted(at=4, id="sh", kind="shell", tool_id="call"),
            ev.TaskFinished(at=8, id="sh", tool_id="call", error="stopped"),
        )
        assert story.opened("agent") == story.closed("tool") == []
        assert story.tell(result(9, "call")).closed("tool")[0].end == 9

    def test_a_background_command_ends_at_its_notification(self) -> None:
        story = Story().tell(
            tool(1, "call"),
            ev.TaskStarted(at=2, id="sh", kind="shell", tool_id="call"),
            receipt(3, "call", "sh"),
            ev.TaskFinished(at=8, id="sh", tool_id="call", exit_code=0),
        )
        (bash,) = story.closed("tool")
        assert (bash.end, bash.exit_code) == (8, 0)

    def test_an_agent_encloses_what_it_left_in_the_background(self) -> None:
        """Its own end is printed first; the last of the background work ends all three."""
        story = self.launch().tell(
            receipt(3, "call", "task"),
            tool(4, "bg", parent="call"),
            ev.TaskStarted(at=4, id="sh", kind="shell", tool_id="bg"),
            ev.ToolFinished(at=5, id="bg", detached=True, parent="call"),
            ev.TaskFinished(at=6, id="task", tool_id="call"),
        )
        assert story.closed("agent") == []
        story.tell(ev.TaskFinished(at=9, id="sh", tool_id="bg"))
        assert [a.end for a in story.closed("agent")] == [9]
        assert [(t.key, t.end) for t in story.closed("tool")] == [("bg", 9), ("call", 9)]

    def test_an_agent_woken_by_its_own_background_work_goes_on(self) -> None:
        story = self.launch().tell(
            receipt(3, "call", "task"),
            tool(4, "bg", parent="call"),
            ev.ToolFinished(at=5, id="bg", detached=True, parent="call"),
            ev.TaskFinished(at=6, id="task", tool_id="call"),
            ev.TaskStarted(at=7, id="task", kind="agent", tool_id="call"),
            ev.TaskFinished(at=8, id="x", tool_id="bg"),
        )
        assert len(story.opened("agent")) == 1
        assert story.closed("agent") == []

    def test_what_was_concluded_is_no_error_when_the_session_ends(self) -> None:
        story = self.launch().tell(
            receipt(3, "call", "task"),
            tool(4, "bg", parent="call"),
            ev.ToolFinished(at=5, id="bg", detached=True, parent="call"),
            ev.TaskFinished(at=6, id="task", tool_id="call"),
        )
        story.finish(9)
        assert [a.error for a in story.closed("agent")] == [None]
        assert {t.key: t.error for t in story.closed("tool")} == {"bg": "abandoned", "call": None}

    def test_what_a_subagent_left_open_ends_inside_it(self) -> None:
        story = self.launch().tell(tool(3, "inner", parent="call"), result(7, "call"))
        (agent,), (inner, call) = story.closed("agent"), story.closed("tool")
        assert (inner.error, inner.reason) == ("abandoned", "parent_ended")
        assert inner.end == agent.end == call.end == 7


class TestModel:
    def test_a_chat_begins_with_the_models_turn_and_ends_with_its_last_line(self) -> None:
        story = Story().tell(
            ev.SessionStarted(at=1, model="m"),
            message(5, "m1"),
            message(7, "m1"),
            tool(8),
            result(9),
            message(12, "m2"),
            ev.TurnFinished(at=13),
        )
        assert [(c.key, c.start, c.end) for c in story.closed("chat")] == [
            ("m1", 1, 7),
            ("m2", 9, 12),
        ]

    def test_the_lines_of_one_message_are_one_chat_with_one_usage(self) -> None:
        usage = ev.Usage(input=10)
        story = Story().tell(
            message(1, "m1", usage=usage), message(2, "m1", usage=usage), ev.TurnFinished(at=3)
        )
        assert len(story.closed("chat")) == 1
        assert story.state.message_usage == usage

    def test_a_late_line_of_an_old_message_makes_no_second_chat(self) -> None:
        story = Story().tell(message(1, "m1"), message(2, "m2"), message(3, "m1"))
        assert [c.key for c in story.opened("chat")] == ["m1", "m2"]

    def test_parallel_tools_give_the_turn_back_only_after_the_last_result(self) -> None:
        story = Story().tell(message(1, "m1"), tool(2, "a"), tool(3, "b"), result(4, "b"))
        assert story.state.model_asked_at is None
        assert story.tell(result(9, "a")).state.model_asked_at == 9

    def test_a_subagents_messages_are_its_own(self) -> None:
        story = Story().tell(
            ev.ToolStarted(at=1, id="call", name="Agent"),
            ev.TaskStarted(at=2 * S, id="task", kind="agent", tool_id="call"),
            message(5 * S, "sub", parent="call"),
        )
        chat = story.opened("chat")[-1]
        assert (chat.parent, chat.start) == (story.opened("agent")[0], 2 * S)

    def test_a_subagent_whose_start_came_late_with_its_call_began_with_it(self) -> None:
        """Lines held back come in one burst; what says when it happened lies before that."""
        call = ev.ToolStarted(at=9 * S, happened=7 * S, id="call", name="Agent")
        story = Story().tell(call, ev.TaskStarted(at=9 * S, id="t", kind="agent", tool_id="call"))
        story.tell(
            ev.ToolStarted(at=9 * S, happened=8 * S, id="sub", name="Read", parent="call"),
            ev.ToolFinished(at=9 * S, happened=8 * S + 5, id="sub", parent="call"),
        )
        assert story.opened("agent")[0].start == 7 * S
        (read, *_) = story.closed("tool")
        assert (read.start, read.end) == (8 * S, 8 * S + 5)

    def test_an_answer_still_owed_when_the_process_dies_is_an_error(self) -> None:
        story = Story().tell(message(1, "m1"), tool(2), result(3))
        owed = story.finish(9, "terminated", clean=False).closed("chat")[-1]
        assert (owed.start, owed.end, owed.error) == (3, 9, "terminated")

    def test_no_answer_is_owed_after_a_result(self) -> None:
        story = Story().tell(message(1, "m1"), ev.TurnFinished(at=2)).finish(3)
        assert len(story.closed("chat")) == 1

    def test_a_call_that_no_message_announced_is_the_models_answer(self) -> None:
        """Codex prints no message where the model answers with a call alone."""
        later = 9 + SOON
        story = Story().tell(ev.TurnStarted(at=1), tool(4), result(6), tool(later, "t2"))
        assert [(c.start, c.end) for c in story.closed("chat")] == [(1, 4), (6, later)]

    def test_calls_that_follow_each_other_at_once_were_made_in_one_answer(self) -> None:
        """Codex runs the calls of one answer in a row, and names each when its turn comes."""
        story = Story().tell(ev.TurnStarted(at=1), tool(4), result(6), tool(9, "t2"))
        story.tell(result(12, "t2"), tool(12 + SOON, "t3"))
        assert [(c.start, c.end) for c in story.closed("chat")] == [(1, 4), (12, 12 + SOON)]

    def test_messages_without_an_id_are_parted_by_calls(self) -> None:
        said = ev.ModelMessage(at=2)
        story = Story().tell(ev.TurnStarted(at=1), said, tool(3), result(5), ev.ModelMessage(at=8))
        story.tell(ev.TurnFinished(at=9))
        assert [(c.start, c.end) for c in story.closed("chat")] == [(1, 2), (5, 8)]

    def test_a_failed_request_is_a_failed_chat(self) -> None:
        story = Story().tell(
            ev.SessionStarted(at=0, model="m"), message(3, "x", error="invalid_request")
        )
        assert story.closed("chat")[0].error == "invalid_request"


def finished(at: int, **more: object) -> ev.TurnFinished:
    return ev.TurnFinished(at=at, **more)  # type: ignore[arg-type]


class TestPrompts:
    """Several prompts in one process, which no command line told of."""

    def test_a_turn_after_a_result_is_a_second_prompts(self) -> None:
        story = Story().tell(ev.TurnStarted(at=1), finished(4), ev.TurnStarted(at=9), finished(12))
        assert story.state.multi_prompt is True
        turns = [(turn.key, turn.start, turn.end) for turn in story.closed("turn")]
        assert turns == [("1", 0, 4), ("2", 9, 12)]

    def test_one_that_background_work_may_have_begun_is_not(self) -> None:
        story = Story().tell(tool(1), receipt(2, "t1", "task"), finished(4))
        story.tell(ev.TaskFinished(at=5, id="task", tool_id="t1"), ev.TurnStarted(at=6))
        assert story.state.multi_prompt is False

    def test_turns_are_the_same_whatever_is_known_of_the_command(self) -> None:
        """A failed prompt of which two lines tell is one turn."""
        for multi_prompt in (False, True):
            story = Story(multi_prompt=multi_prompt)
            story.tell(ev.TurnStarted(at=1), finished(2, error="x"), finished(3))
            story.tell(ev.TurnStarted(at=4), finished(5), finished(5, woken=True))
            assert story.state.turns == 3


class TestIntroduction:
    """A line that introduces the session, some CLIs' every turn, others' whenever they like."""

    def test_it_ends_what_the_host_was_asked_to_begin_with(self) -> None:
        asked = ev.WaitBegan(at=1, id="r", kind="host", detail="mcp:calc")
        assert not Story().tell(asked, ev.SessionStarted(at=2)).state.waits

    def test_it_gives_no_leave(self) -> None:
        asked = ev.WaitBegan(at=3, id="r", kind="approval", tool_id="t1")
        story = Story().tell(tool(2), asked, ev.SessionStarted(at=4, model="other"))
        assert set(story.state.waits) == {"r"}


class TestPast:
    """A resumed session whose engine prints totals."""

    def test_what_the_first_totals_hold_beyond_the_new_is_the_past(self) -> None:
        used = {"session_usage": ev.Usage(input=100, output=50), "session_cost_usd": 0.5}
        new = {"new_usage": ev.Usage(input=30, output=5), "new_cost_usd": 0.1}
        story = Story().tell(finished(4, **used, **new))
        assert story.state.tokens == ev.Usage(input=30, output=5)
        assert story.state.cost == pytest.approx(0.1)
        assert story.state.resumed

    def test_later_totals_go_on_from_there(self) -> None:
        story = Story()
        for at, total, new in ((4, 50, 5), (5, 60, 10)):
            usage, added = ev.Usage(output=total), ev.Usage(output=new)
            story.tell(finished(at, session_usage=usage, new_usage=added))
        assert story.state.tokens == ev.Usage(output=15)

    def test_a_session_without_a_past_is_not_resumed(self) -> None:
        usage = ev.Usage(output=5)
        assert not Story().tell(finished(4, session_usage=usage, new_usage=usage)).state.resumed


class TestTurns:
    def test_totals_replace_and_are_never_added(self) -> None:
        """Claude prints running totals with every result; their sum would count twice."""
        story = Story().tell(
            ev.TurnFinished(at=1, session_cost_usd=0.5, session_usage=ev.Usage(input=5)),
            ev.TurnFinished(at=2, session_cost_usd=0.7, session_usage=ev.Usage(input=8)),
        )
        assert story.state.cost_usd == 0.7
        assert story.state.usage.input == 8

    def test_a_turns_own_figures_add(self) -> None:
        turn = ev.TurnFinished(at=1, cost_usd=0.5, usage=ev.Usage(input=5))
        story = Story().tell(turn, turn)
        assert (story.state.cost_usd, story.state.usage.input) == (1.0, 10)

    def test_a_resumed_sessions_past_is_not_counted_again(self) -> None:
        """Claude goes on counting from where the session's last process stopped."""
        story = Story()
        story.state.resumes(ev.Usage(input=1000, output=20), 0.25)
        totals = ev.TurnFinished(
            at=1, session_cost_usd=0.75, session_usage=ev.Usage(input=1500, output=30)
        )
        story.tell(totals)
        assert (story.state.cost, story.state.tokens) == (0.5, ev.Usage(input=500, output=10))

    def test_a_resumed_sessions_own_turns_are_counted_in_full(self) -> None:
        """Claude Code before `modelUsage` printed each turn's tokens, and no running total."""
        story = Story()
        story.state.resumes(ev.Usage(input=1000, output=20), None)
        story.tell(ev.TurnFinished(at=1, usage=ev.Usage(input=1500, output=30)))
        assert story.state.tokens == ev.Usage(input=1500, output=30)

    def test_a_session_that_began_to_count_afresh_is_taken_as_it_is(self) -> None:
        story = Story()
        story.state.resumes(ev.Usage(input=1000), 0.25)
        story.tell(ev.TurnFinished(at=1, session_cost_usd=0.1, session_usage=ev.Usage(input=400)))
        assert (story.state.cost, story.state.tokens.input) == (0.1, 400)

    def test_the_first_result_does_not_end_the_session(self) -> None:
        story = Story().tell(ev.TurnFinished(at=1), ev.TurnStarted(at=2), message(3, "m"))
        assert story.state.last_result_at is None
        assert story.state.turn_open

    def test_turns_are_activities_only_where_one_process_serves_several_prompts(self) -> None:
        events = (ev.TurnStarted(at=1), ev.TurnFinished(at=2, session_cost_usd=0.25))
        assert Story().tell(*events).opened("turn") == []
        assert len(Story(multi_prompt=True).tell(*events).closed("turn")) == 1

    def test_a_turns_cost_is_the_difference(self) -> None:
        story = Story(multi_prompt=True).tell(
            ev.TurnStarted(at=1),
            ev.TurnFinished(at=2, session_cost_usd=0.25),
            ev.TurnStarted(at=3),
            ev.TurnFinished(at=4, session_cost_usd=1.0),
        )
        assert [t.attributes[semconv.COST_USD] for t in story.closed("turn")] == [0.25, 0.75]

    def test_a_turn_encloses_the_background_work_it_began(self) -> None:
        story = Story(multi_prompt=True).tell(
            ev.TurnStarted(at=1),
            tool(2, "call"),
            receipt(3, "call", "sh"),
            ev.TurnFinished(at=4),
            ev.TaskFinished(at=9, id="sh", tool_id="call"),
        )
        assert story.closed("turn")[0].end == 9


class TestWaits:
    def test_an_approval_is_a_wait_until_it_is_answered(self) -> None:
        story = Story().tell(tool(1), ev.WaitBegan(at=2, id="req", kind="approval", tool_id="t1"))
        assert set(story.state.waits) == {"req"}
        story.tell(ev.WaitEnded(at=8, id="req", answer="allow"))
        (wait,) = story.closed("wait")
        assert (wait.start, wait.end, wait.attributes[semconv.WAIT_ANSWER]) == (2, 8, "allow")
        assert story.state.waits == {}

    def test_the_calls_result_ends_an_approval_that_nobody_reported(self) -> None:
        story = Story().tell(
            tool(1), ev.WaitBegan(at=2, id="req", kind="approval", tool_id="t1"), result(8)
        )
        (wait,) = story.closed("wait")
        assert (wait.end, wait.error) == (8, None)
        assert story.state.waits == {}

    def test_what_a_failed_call_scheduled_is_not_waited_for(self) -> None:
        scheduled = ev.WaitBegan(at=1, id="t1", kind="scheduled", tool_id="t1", until=60 * S)
        story = Story().tell(tool(1), scheduled, result(2))
        assert set(story.state.waits) == {"t1"}
        assert Story().tell(tool(1), scheduled, result(2, error="x")).state.waits == {}

    def test_an_allowed_rate_limit_latches_nothing(self) -> None:
        assert Story().tell(ev.RateLimited(at=1, status="allowed")).state.waits == {}

    def test_a_rejected_one_waits_for_its_reset(self) -> None:
        story = Story().tell(ev.RateLimited(at=1, status="rejected", resets_at=60))
        assert story.state.waits["rate_limit"].until == 60 * S

    def test_a_retry_waits_for_its_delay_and_the_next_message_ends_it(self) -> None:
        story = Story().tell(ev.Retry(at=1 * S, attempt=1, delay=2.0, status=529))
        assert story.state.waits["retry"].until == 3 * S
        assert isinstance(story.changes[0], Noted)
        assert story.tell(message(5 * S, "m")).state.waits == {}

    def test_a_compaction_grows_no_younger_by_saying_so_again(self) -> None:
        story = Story().tell(
            ev.Compaction(at=1 * S, phase="began"), ev.Compaction(at=30 * S, phase="beat")
        )
        wait = story.state.waits["compaction"]
        assert (wait.since, wait.renewed, wait.notices) == (1 * S, 30 * S, 2)
        assert story.tell(ev.Compaction(at=40 * S, phase="ended")).state.waits == {}


def test_every_line_is_a_sign_of_life() -> None:
    """Also one that decodes to nothing."""
    state = SessionState("run", started=0)
    state.line(7)
    assert (state.last_sign, state.lines) == (7, 1)


def test_the_ring_keeps_the_last_fifty_events_with_their_tools() -> None:
    story = Story().tell(*(ev.ToolUpdated(at=i, id="t1") for i in range(60)), tool(60))
    assert len(story.state.recent) == 50
    assert story.state.recent[-1] == (60, "ToolStarted", "Bash")


class TestLateTools:
    """An engine that names a tool only once it is over, in the order in which they end."""

    def late(self, key: str, start: int, end: int) -> tuple[ev.Event, ev.Event]:
        return (
            ev.ToolStarted(at=end, happened=start, id=key, name="bash"),
            ev.ToolFinished(at=end, id=key),
        )

    def test_parallel_calls_make_no_chat_of_their_own(self) -> None:
        story = Story().tell(message(5, "m"), *self.late("b", 6, 10), *self.late("a", 6, 20))
        assert len(story.opened("chat")) == 1
        assert story.state.model_asked_at == 20

    def test_a_call_that_began_after_another_of_its_message_ended_is_still_the_messages(
        self,
    ) -> None:
        """Tools start while the model is still speaking, and a quick one is over by then."""
        story = Story().tell(message(5, "m"), *self.late("b", 6, 10), *self.late("a", 12, 20))
        assert len(story.opened("chat")) == 1
        story.tell(message(30, "n"), *self.late("c", 31, 40))
        assert [chat.start for chat in story.opened("chat")[1:]] == [20]

    def test_what_is_told_late_of_a_message_adds_no_time_to_it(self) -> None:
        end = ev.ModelMessage(at=30, id="m", usage=ev.Usage(1, 2), late=True, cost_usd=0.25)
        story = Story().tell(message(5, "m"), *self.late("a", 6, 20), end, message(40, "n"))
        first, second = story.opened("chat")
        assert (first.end, first.usage) == (5, ev.Usage(1, 2))
        assert second.start == 20
        assert story.state.cost_usd == 0.25

    def test_an_error_without_a_name_is_about_the_message_being_spoken(self) -> None:
        failed = ev.ModelMessage(at=30, error="disconnected", complete=True)
        (chat,) = Story().tell(message(5, "m"), failed).opened("chat")
        assert (chat.error, chat.end) == ("disconnected", 30)


def test_nothing_is_owed_by_a_model_that_nobody_was_seen_to_ask() -> None:
    story = Story().tell(ev.StrayLine(at=3, reason="not_json"))
    changes = finish(story.state, 9, "killed", clean=False)
    opened = [change.activity for change in changes if isinstance(change, Opened)]
    assert [activity for activity in opened if activity.kind == "chat"] == []


def test_a_reason_that_was_given_is_not_replaced_by_a_status() -> None:
    why, status = ev.TurnFinished(at=3, error="rate_limit"), ev.TurnFinished(at=4, error="1")
    assert Story().tell(why, status).state.last_error == "rate_limit"
    again = Story().tell(why, ev.TurnStarted(at=4), ev.TurnFinished(at=5, error="timeout"))
    assert again.state.last_error == "timeout"
    assert Story().tell(why, ev.TurnFinished(at=4)).state.last_error is None


def test_an_answer_that_a_call_ends_is_counted_with_the_others() -> None:
    spoken = ev.ModelMessage(at=3, usage=ev.Usage(10, 1))
    call, result = ev.ToolStarted(at=4, id="1", name="ls"), ev.ToolFinished(at=5, id="1")
    story = Story().tell(spoken, call, result, ev.ModelMessage(at=6, usage=ev.Usage(20, 2)))
    assert story.state.tokens == ev.Usage(10, 1)
    finish(story.state, 9, "abandoned", clean=True)
    assert story.state.tokens == ev.Usage(30, 3)


class TestSubagentsQuestions:
    """A subagent's question may come before the call that it is about."""

    def asked(self) -> Story:
        task = ev.TaskStarted(at=2, id="a1", tool_id="t1", kind="agent")
        hook = ev.WaitBegan(at=3, id="r", kind="host", parent_task="a1", tool_id="t9")
        return Story().tell(tool(1, "t1", "Agent"), task, hook)

    def test_it_lies_under_the_subagent(self) -> None:
        story = self.asked()
        assert [wait.parent for wait in story.opened("wait")] == story.opened("agent")

    def test_what_the_main_agent_says_does_not_end_it(self) -> None:
        story = self.asked().tell(message(5, "m1"))
        assert not story.closed("wait")
        assert "r" in story.state.waits

    def test_what_the_subagent_does_next_ends_it(self) -> None:
        story = self.asked().tell(message(5, "m2", parent="t1"))
        assert [wait.end for wait in story.closed("wait")] == [5]

    def test_one_of_a_subagent_that_nobody_knows_lies_under_the_main_agent(self) -> None:
        story = Story().tell(ev.WaitBegan(at=3, id="r", kind="host", parent_task="a9"))
        assert [wait.parent for wait in story.opened("wait")] == [story.state.root]


class TestWhatAResumedSessionCosts:
    """Its past is in totals, and nowhere else."""

    def state(self) -> SessionState:
        state = SessionState("run", started=0)
        state.resumes(ev.Usage(input=1000), 0.25)
        return state

    def test_totals_go_on_from_its_past(self) -> None:
        state = self.state()
        apply(state, ev.TurnFinished(at=1, session_cost_usd=0.75))
        assert state.cost == 0.5

    def test_an_answers_own_cost_does_not(self) -> None:
        state = self.state()
        apply(state, ev.ModelMessage(at=1, id="m", cost_usd=0.75))
        assert state.cost == 0.75

    @pytest.mark.parametrize("total", [True, False])
    def test_nor_is_it_in_its_first_turns(self, *, total: bool) -> None:
        state = self.state()
        state.multi_prompt = True
        apply(state, ev.TurnStarted(at=1))
        turn = state.turn
        assert turn is not None
        if total:
            apply(state, ev.TurnFinished(at=2, session_cost_usd=0.75))
        else:
            apply(state, ev.ModelMessage(at=2, id="m", cost_usd=0.5))
            apply(state, ev.TurnFinished(at=3))
        assert turn.attributes[semconv.COST_USD] == 0.5


class TestResultsBeforeTheirCalls:
    """Files are put in order of time, and clocks go back: the call is over when it comes."""

    def test_a_call_whose_result_was_first_is_over(self) -> None:
        story = Story().tell(result(1, "t", error="3"), tool(2, "t"))
        (call,) = story.closed("tool")
        assert (call.error, story.state.tool_errors) == ("3", 1)
        assert not story.state.open
        assert story.state.oddities == {"result_without_call": 1}

    def test_a_result_told_twice_does_not_end_the_next_call_of_its_id(self) -> None:
        story = Story().tell(tool(1, "t"), result(2, "t"), result(3, "t"), tool(4, "t"))
        assert list(story.state.open) == ["t"]

    def test_no_flood_of_results_is_kept(self) -> None:
        story = Story().tell(*(result(1, str(number)) for number in range(5_000)))
        assert len(story.state.early_results) < 2_000
