"""What an agent may rightly be waiting for, and what it says while it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_untether import semconv
from otel_untether.session import events as ev
from otel_untether.session.activity import Noted, Opened, Wait, close
from otel_untether.session.fold.tasks import lane_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_untether.session.activity import AttributeValue, Change
    from otel_untether.session.conversation import Lane
    from otel_untether.session.state import SessionState

_WITH_SPAN = frozenset({"approval", "question", "host", "hook"})  # that somebody else must end
_NEXT_ACT = frozenset({"approval", "question", "host", "hook"})  # that the lane's next act ends


def wait_began(state: SessionState, event: ev.WaitBegan, at: int) -> list[Change]:
    """Someone was asked. The registry of waits, not the last event, says who is waiting."""
    if event.id not in state.waits and state.full(state.waits, what="waits"):
        return []
    tool_id = event.tool_id or _call_named(state, event.detail)
    state.waits[event.id] = Wait(event.id, event.kind, at, event.until, tool_id, event.detail)
    if event.kind not in _WITH_SPAN or event.id in state.wait_activities:
        return []
    owner = state.open.get(tool_id or "") or lane_of(state, event.parent_task).owner
    wait = state.child(owner, "wait", event.id, at, event.kind)
    if event.detail is not None:
        wait.attributes[semconv.WAIT_ABOUT] = event.detail
    state.wait_activities[event.id] = wait
    return [Opened(wait)]


def _call_named(state: SessionState, name: str | None) -> str | None:
    """Return the one open call of that name: some requests name the tool and not the call."""
    calls = [call.key for call in state.open.values() if call.name == name and not call.left]
    return calls[0] if len(calls) == 1 else None


def wait_ended(state: SessionState, event: ev.WaitEnded, at: int) -> list[Change]:
    """The answer came, or the question was withdrawn."""
    state.waits.pop(event.id, None)
    wait = state.wait_activities.pop(event.id, None)
    if wait is None or wait.end is not None:
        return []
    if event.answer is not None:
        wait.attributes[semconv.WAIT_ANSWER] = event.answer
    return close(wait, at)


def answered(state: SessionState, call: str, at: int, *, failed: bool) -> list[Change]:
    """A call has its result, so nobody waits for leave to run it; some engines never say.

    What it scheduled goes on, unless the call failed.
    """
    changes: list[Change] = []
    for wait in list(state.waits.values()):
        if wait.kind in _NEXT_ACT and wait.tool_id == call:
            changes += wait_ended(state, ev.WaitEnded(at=at, id=wait.key), at)
    if failed:
        state.waits.pop(call, None)
    return changes


def superseded(state: SessionState, lane: Lane, at: int) -> list[Change]:
    """The lane acts again, so that whatever it waited for is over; some answers leave no line.

    What a host answers goes to the CLI's stdin, and not every CLI echoes it.
    """
    changes: list[Change] = []
    for wait in list(state.waits.values()):
        if wait.kind in _NEXT_ACT and wait.since < at and _lane_waits(state, wait, lane):
            changes += wait_ended(state, ev.WaitEnded(at=at, id=wait.key), at)
    return changes


def begun_anew(state: SessionState, at: int) -> list[Change]:
    """It introduces itself: what it asked its host to begin with was answered, and not echoed."""
    changes: list[Change] = []
    for wait in list(state.waits.values()):
        if wait.kind == "host" and wait.tool_id is None and wait.since < at:
            changes += wait_ended(state, ev.WaitEnded(at=at, id=wait.key), at)
    return changes


def _lane_waits(state: SessionState, wait: Wait, lane: Lane) -> bool:
    """Whether a wait is the lane's: by the call it is about, or by the subagent it lies under.

    Leave to start a subagent was given once that acts.
    """
    call = state.calls.get(wait.tool_id or "")
    if call is not None and lane.owner.kind == "agent" and lane.owner.parent is call:
        return True
    above = call or state.wait_activities.get(wait.key)
    if above is not None and above.parent is not None and above.parent.kind == "agent":
        return above.parent is lane.owner
    return lane is state.main if call is None else call.parent is lane.owner


def over(state: SessionState, keys: tuple[str, ...]) -> None:
    """The session's own waits of these keys are over: it went on."""
    if state.waits:
        for key in keys:
            state.waits.pop(key, None)


def _since(state: SessionState, key: str, at: int) -> tuple[int, int]:
    """Return since when it has waited like this, and how often it has said so, now included."""
    before = state.waits.get(key)
    return (at, 1) if before is None else (before.since, before.notices + 1)


def retry(state: SessionState, event: ev.Retry, at: int) -> list[Change]:
    """The agent backs off: silent on purpose until the delay is over."""
    state.retries += 1
    until = None if event.delay is None else at + int(event.delay * 1e9)
    since, notices = _since(state, "retry", at)
    state.waits["retry"] = Wait(
        "retry",
        "retry",
        since,
        until,
        detail=event.error,
        notices=notices,
        answers=event.status is not None,
        renewed=at,
    )
    attributes = {
        semconv.RETRY_ATTEMPT: event.attempt,
        semconv.RETRY_MAX: event.max_attempts,
        semconv.RETRY_DELAY: event.delay,
        semconv.HTTP_STATUS: event.status,
        semconv.ERROR_TYPE: event.error,
    }
    return [_noted(semconv.EVENT_RETRY, at, attributes)]


def rate_limited(state: SessionState, event: ev.RateLimited, at: int) -> list[Change]:
    """Rate limits come as snapshots: only a rejection makes anybody wait."""
    if event.status == "rejected" and not event.overage:
        until = None if event.resets_at is None else event.resets_at * 10**9
        since, notices = _since(state, "rate_limit", at)
        state.waits["rate_limit"] = Wait(
            "rate_limit", "rate_limit", since, until, notices=notices, answers=True, renewed=at
        )
    else:
        state.waits.pop("rate_limit", None)
    if event.status == "allowed":
        return []
    attributes = {
        semconv.RATE_LIMIT_STATUS: event.status,
        semconv.RATE_LIMIT_RESETS_AT: event.resets_at,
    }
    return [_noted(semconv.EVENT_RATE_LIMITED, at, attributes)]


def compaction(state: SessionState, event: ev.Compaction, at: int) -> list[Change]:
    """The agent compacts; however often it says so, that makes its excuse no younger."""
    if event.phase != "ended":
        since, notices = _since(state, "compaction", at)
        state.waits["compaction"] = Wait(
            "compaction", "compaction", since, detail=event.trigger, notices=notices, renewed=at
        )
        return []
    state.waits.pop("compaction", None)
    attributes = {
        semconv.COMPACTION_TRIGGER: event.trigger,
        semconv.COMPACTION_TOKENS_BEFORE: event.tokens_before,
        semconv.COMPACTION_TOKENS_AFTER: event.tokens_after,
        semconv.ERROR_TYPE: event.error,
    }
    return [_noted(semconv.EVENT_COMPACTED, at, attributes)]


def _noted(name: str, at: int, attributes: Mapping[str, AttributeValue | None]) -> Noted:
    return Noted(name, at, {k: v for k, v in attributes.items() if v is not None})


HANDLERS: Final[dict[type[ev.Event], Callable[[SessionState, Any, int], list[Change]]]] = {
    ev.WaitBegan: wait_began,
    ev.WaitEnded: wait_ended,
    ev.Retry: retry,
    ev.RateLimited: rate_limited,
    ev.Compaction: compaction,
}
