"""What an agent may rightly be waiting for, and what it says while it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_untether import semconv
from otel_untether.session import events as ev
from otel_untether.session.activity import Noted, Opened, Wait, close

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_untether.session.activity import AttributeValue, Change
    from otel_untether.session.state import SessionState

_COMPACTION_LATCH = 120 * 10**9  # CLIs compact in silence, with a heartbeat every 30 s at best
_WITH_SPAN = frozenset({"approval", "question", "hook"})  # those that somebody else must end


def wait_began(state: SessionState, event: ev.WaitBegan, at: int) -> list[Change]:
    """Someone was asked. The registry of waits, not the last event, says who is waiting."""
    state.waits[event.id] = Wait(event.id, event.kind, at, event.until, event.tool_id, event.detail)
    if event.kind not in _WITH_SPAN or event.id in state.wait_activities:
        return []
    owner = state.open.get(event.tool_id or "") or state.main.owner
    wait = state.child(owner, "wait", event.id, at, event.kind)
    state.wait_activities[event.id] = wait
    return [Opened(wait)]


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
        if wait.kind in ("approval", "question") and wait.tool_id == call:
            changes += wait_ended(state, ev.WaitEnded(at=at, id=wait.key), at)
    if failed:
        state.waits.pop(call, None)
    return changes


def retry(state: SessionState, event: ev.Retry, at: int) -> list[Change]:
    """The agent backs off: silent on purpose until the delay is over."""
    state.retries += 1
    until = None if event.delay is None else at + int(event.delay * 1e9)
    state.waits["retry"] = Wait("retry", "retry", at, until, detail=event.error)
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
    if event.status == "rejected":
        until = None if event.resets_at is None else event.resets_at * 10**9
        state.waits["rate_limit"] = Wait("rate_limit", "rate_limit", at, until)
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
    """The agent compacts; each beat renews the excuse, none lasts for ever."""
    if event.phase != "ended":
        until = at + _COMPACTION_LATCH
        state.waits["compaction"] = Wait(
            "compaction", "compaction", at, until, detail=event.trigger
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
