"""Sessions, turns and the model's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from otel_untether import semconv
from otel_untether.session import events as ev
from otel_untether.session.activity import Opened, close
from otel_untether.session.fold.tasks import conclude, lane_of, show_agent
from otel_untether.session.fold.tools import leave
from otel_untether.session.fold.waits import begun_anew, over, superseded

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.session.activity import Activity, Change
    from otel_untether.session.state import SessionState


def session_started(state: SessionState, event: ev.SessionStarted, at: int) -> list[Change]:
    """Learn who is talking; the model's turn begins. Repeated by some engines every turn."""
    state.session_id = event.session_id or state.session_id
    state.model = event.model or state.model
    state.version = event.version or state.version
    state.mcp_servers = event.mcp_servers or state.mcp_servers
    if event.multi_prompt:
        state.multi_prompt = True
    if event.asks and state.last_result_at is None:
        state.main.ask(at)
    return begun_anew(state, at) if event.asks else []


def ready(state: SessionState, _event: ev.Ready, at: int) -> list[Change]:
    """It waits for a prompt, as after a result: nobody owes anything."""
    if not state.turn_open:
        state.main.asked_at, state.last_result_at = None, at
    return []


def turn_started(state: SessionState, event: ev.TurnStarted, at: int) -> list[Change]:
    """The agent works again. Turns are activities only where one process serves several."""
    changes = _learn_of_prompts(state)
    state.main.ask(at)
    state.turn_open, state.last_result_at = True, None
    if not state.multi_prompt or state.turn is not None:
        return changes
    state.turn = _turn(state, at)
    if event.branched_from is not None:
        state.turn.attributes[semconv.BRANCHED_FROM] = event.branched_from
    state.turn_cost_base = state.cost_usd
    state.main.owner = state.turn
    return [*changes, Opened(state.turn)]


def _turn(state: SessionState, at: int) -> Activity:
    state.turns_begun += 1
    return state.child(state.root, "turn", str(state.turns_begun), at)


def _learn_of_prompts(state: SessionState) -> list[Change]:
    """A turn after a result that nothing in the background can have begun is a second prompt's.

    So the process takes several, whatever its command line said. The turn that is over, of which
    nobody knew that it was one, is shown as it was: without what is under it.
    """
    done, first = state.last_result_at, state.only_turn
    if state.multi_prompt or done is None or first is None or state.may_wake:
        return []
    state.multi_prompt = True
    turn = _turn(state, state.root.start)
    turn.usage, turn.error = first.usage, first.error
    return [Opened(turn), *close(turn, done)]


def turn_finished(state: SessionState, event: ev.TurnFinished, at: int) -> list[Change]:
    """A result. The session goes on: background work may wake it, another prompt may come."""
    if event.as_answered and state.answer_error is not None:
        error = state.answer_error
        event = replace(event, error=error, interrupted=error == "interrupted")
    changes = state.main.settle()
    state.main.asked_at = None
    if state.turn_open or event.woken or not state.turns:
        state.turns += 1  # else it was counted when it failed, and this is its end
    _account(state, event)
    if state.turn_open or event.error is None or state.last_error is None:
        state.last_error = event.error  # else it was said before, and better
    state.only_turn = event if state.turns == 1 else None
    state.may_wake = bool(state.background or state.tasks or "scheduled" in _kinds(state))
    state.turn_open, state.last_result_at = False, at
    state.last_tool_result_at = None
    state.interrupted = event.interrupted
    over(state, ("retry", "rate_limit", "compaction"))
    changes += superseded(state, state.main, at)
    return changes + _close_turn(state, event, at)


def _kinds(state: SessionState) -> set[str]:
    return {wait.kind for wait in state.waits.values()}


def _account(state: SessionState, event: ev.TurnFinished) -> None:
    """Totals replace, a turn's own figures add: engines that print totals print them each turn."""
    _learn_past(state, event)
    if event.session_usage is not None:
        state.usage, state.usage_runs_on = event.session_usage, True
    elif event.usage is not None:
        state.usage += event.usage
    if event.session_cost_usd is not None:
        state.cost_usd, state.cost_runs_on = event.session_cost_usd, True
    elif event.cost_usd is not None:
        state.cost_usd = (state.cost_usd or 0.0) + event.cost_usd


def _learn_past(state: SessionState, event: ev.TurnFinished) -> None:
    """What the first totals hold beyond what is new was used before this process began."""
    if state.usage_runs_on or event.session_usage is None or event.new_usage is None:
        return
    total, new = event.session_cost_usd or 0.0, event.new_cost_usd or 0.0
    state.usage_before = event.session_usage - event.new_usage
    state.cost_before = max(0.0, total - new)
    state.resumed = state.resumed or bool(state.usage_before.output)


def _close_turn(state: SessionState, event: ev.TurnFinished, at: int) -> list[Change]:
    turn, state.turn = state.turn, None
    if turn is None:
        return []
    state.main.owner = state.root
    turn.usage, turn.error = event.usage, event.error
    if state.cost_usd is not None:
        past = state.cost_before if state.cost_runs_on else 0.0
        base = past if state.turn_cost_base is None else state.turn_cost_base
        turn.attributes[semconv.COST_USD] = max(0.0, state.cost_usd - base)
    return conclude(state, turn, at)


def model_asked(state: SessionState, event: ev.ModelAsked, at: int) -> list[Change]:
    """The model's turn begins."""
    lane_of(state, event.parent).ask(at)
    return []


def model_message(state: SessionState, event: ev.ModelMessage, at: int) -> list[Change]:
    """The model speaks, in the main agent's lane or a subagent's."""
    state.request_id = event.request_id or state.request_id
    changes = show_agent(state, event.parent, at)
    lane = lane_of(state, event.parent)
    if event.parent is not None and lane is state.main:
        return changes  # a subagent we cannot place must not take the main agent's turn
    if state.recalling and event.id and event.usage is not None:
        # A file may first be read between an answer and what it took, and the next answer be
        # heard before it is read again: then this one is over.
        state.message_usage += lane.learn(event.id, event.usage)
    spoken = lane.speak(event, at, state.model)
    changes += spoken
    over(state, ("retry",))
    if event.cost_usd is not None:
        state.cost_usd = (state.cost_usd or 0.0) + event.cost_usd
    if spoken and event.error is None and not event.late and _begins(spoken):
        leave(state, lane, at)
        changes += superseded(state, lane, at)
    if lane is state.main and not event.late:
        state.answer_error = event.error
        state.last_tool_result_at = state.last_result_at = None
        if event.error is None:
            over(state, ("compaction", "rate_limit"))
    return changes


def _begins(changes: list[Change]) -> bool:
    return any(type(change) is Opened for change in changes)


def message_usage(state: SessionState, event: ev.MessageUsage, _at: int) -> list[Change]:
    """Learn what a message took. One that is over is told by its session's totals alone."""
    state.message_usage += lane_of(state, event.parent).learn(event.id, event.usage)
    return []


def heartbeat(_state: SessionState, _event: ev.Heartbeat, _at: int) -> list[Change]:
    """It lives, and that is all it says."""
    return []


def stray_line(state: SessionState, event: ev.StrayLine, _at: int) -> list[Change]:
    """Count what was not understood."""
    state.stray_lines += 1
    plain = state.headless is False and (event.reason == "not_json" or state.serves is None)
    if not plain:
        state.odd(event.reason)  # else it was asked for text, or for a document at its end
    return []


HANDLERS: Final[dict[type[ev.Event], Callable[[SessionState, Any, int], list[Change]]]] = {
    ev.SessionStarted: session_started,
    ev.Ready: ready,
    ev.TurnStarted: turn_started,
    ev.TurnFinished: turn_finished,
    ev.ModelAsked: model_asked,
    ev.ModelMessage: model_message,
    ev.MessageUsage: message_usage,
    ev.StrayLine: stray_line,
    ev.Heartbeat: heartbeat,
}
