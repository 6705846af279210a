"""One session told twice, by its output and by its own files: what of the second is news.

Neither account is complete, and either may come first: the output hides what subagents do, a
file is looked at once a second and read anew from its beginning. So the calls and tasks of each
account are counted by id, and what is the n-th with its id is news to whom has heard of fewer::

    output  call 7 begins                  first of it: news
    file    call 7 begins                  the output told that one
    file    call 8 begins, in a subagent   news
    file    call 7, call 8 begin           the same reading again: nothing new
    output  call 8 begins                  the file told that one
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from otel_untether.session import events as ev

if TYPE_CHECKING:
    from otel_untether.session.state import SessionState

_Key: TypeAlias = tuple[object, ...]

# Calls and tasks of the output that are remembered; both accounts tell of one within seconds.
_REMEMBERED: Final = 16_384
_IN_BOTH: Final = (ev.ToolStarted, ev.ToolFinished, ev.TaskStarted, ev.TaskFinished)


class Merger:
    """Tells news from what the other account of a session has told before."""

    def __init__(self) -> None:
        self._streamed: dict[_Key, int] = {}
        self._written: dict[_Key, int] = {}
        self._reading: dict[_Key, int] = {}

    def streamed(self, event: ev.Event) -> bool:
        """Tell whether an event of the output is news."""
        if not isinstance(event, _IN_BOTH):
            return True
        number = self._heard(_key(event), 1)
        if isinstance(event, ev.ToolFinished):
            self._heard(("ToolStarted", event.id), 0, number)
        return number > self._written.get(_key(event), 0)

    def _heard(self, key: _Key, more: int, least: int = 0) -> int:
        number = max(self._streamed.pop(key, 0) + more, least)
        self._streamed[key] = number
        if len(self._streamed) > _REMEMBERED:
            del self._streamed[next(iter(self._streamed))]
        return number

    def reread(self) -> None:
        """The file is read from its beginning."""
        self._reading.clear()

    def written(self, event: ev.Event, *, now: bool) -> bool:
        """Tell whether an event of the file is news.

        :param event: the event.
        :param now: whether it is taken, if it is news; else it will be as new at the next reading.
        """
        key = _key(event)
        number = self._reading[key] = self._reading.get(key, 0) + 1
        if number <= self._written.get(key, 0):
            return False
        if now:
            self._written[key] = number
        return number > self._streamed.get(key, 0)


def _key(event: ev.Event) -> _Key:
    if isinstance(event, _IN_BOTH):
        return type(event).__name__, event.id
    if isinstance(event, ev.ModelMessage):
        told = event.usage, event.complete, event.finish_reason, event.error
        return "ModelMessage", event.id, event.id or event.at, *told
    return type(event).__name__, event.at


def is_below(event: ev.Event) -> bool:
    """Tell whether an event is of a subagent, its beginning and its end included."""
    if isinstance(event, ev.TaskStarted | ev.TaskFinished):
        return True
    return getattr(event, "parent", None) is not None


def is_placeable(state: SessionState, event: ev.Event) -> bool:
    """Tell whether it is known where an event of a subagent belongs."""
    if isinstance(event, ev.TaskFinished):
        return event.id in state.tasks
    if isinstance(event, ev.TaskStarted):
        return event.tool_id in state.calls or _has_lane(state, event.parent_task)
    parent: str | None = getattr(event, "parent", None)
    return parent is None or parent in state.calls or _has_lane(state, parent)


def is_lacking(state: SessionState, event: ev.MessageUsage) -> bool:
    """Tell whether a message was heard of, and what it took was not, or not all of it."""
    key = event.parent
    lane = state.lanes.get(key) or state.past_lanes.get(key)
    return lane is not None and lane.lacks(event.id, event.usage)


def _has_lane(state: SessionState, key: str | None) -> bool:
    return key is not None and (key in state.lanes or key in state.past_lanes)
