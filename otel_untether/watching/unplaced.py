"""Calls of subagents that wait until the agent's own files have told whose they are.

Of several subagents at once, Copilot CLI's protocol names on each call the one that made it, and
nowhere by which call that was started; its file does, and has it first, but is read later. A span
that has begun stays where it is, so such a call is told when its place is known, with its own
times, or below the turn if nobody has told it within a few seconds::

    output  calls 2 and 3 start subagents
    output  call 6 begins, made by e62766c8…    whose is that? it is kept
    file    e62766c8… was started by call 3     now call 6 is told, below 3
    output  call 6 ends                         told at once, as any other
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.session import events as ev

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.session.state import SessionState

_PATIENCE: Final = 5 * 10**9  # ns
_MOST: Final = 512  # events kept at once
_ENDS: Final = (ev.TurnFinished, ev.TurnStarted)


class Unplaced:
    """What is kept of a session, in the order in which it came.

    Once its turn has ended, that and whatever follows waits as well.

    :param state: the session.
    """

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._kept: list[tuple[ev.ToolStarted | None, ev.Event]] = []
        self._of: dict[str, ev.ToolStarted] = {}
        self._ended = False
        self._asked: dict[str, int] = {}  # when each subagent was first waited for

    def asks_anew(self, event: ev.Event) -> bool:
        """Tell whether a kept event is of a subagent of which no other was; once for each.

        :param event: what was kept.
        """
        agent = getattr(event, "made_by", None)
        if agent is None or agent in self._asked or len(self._asked) >= _MOST:
            return False
        self._asked[agent] = event.at
        return True

    def is_urgent(self, now: int) -> bool:
        """Tell whether one of them waits whose subagent was not waited for in vain before.

        The next look at the files is for it, however long the last took. A subagent of which
        they never tell is asked for as long as one call waits, and its later calls hurry nobody.

        :param now: in ns since the epoch.
        """
        agents = {call.made_by for call, _ in self._kept if call is not None}
        return any(now - self._asked[a] < _PATIENCE for a in agents if a in self._asked)

    def keeps(self, event: ev.Event) -> bool:
        """Tell whether an event is to wait, and keep it.

        :param event: what the output told.
        """
        call = self._call(event)
        self._ended |= bool(self._kept) and isinstance(event, _ENDS)
        if (call is None and not self._ended) or self.is_full:
            return False
        self._kept.append((call, event))
        self._know(event, call)
        return True

    @property
    def is_full(self) -> bool:
        """Whether all that is kept must be told before anything else is."""
        return len(self._kept) >= _MOST

    def placed(self, now: int | None) -> Iterator[ev.Event]:
        """Yield what need not wait any longer, and forget it.

        :param now: in ns since the epoch; None for all of it.
        """
        kept, self._kept = self._kept, []
        self._of, self._ended = {}, False
        for call, event in kept:
            self._ended |= bool(self._kept) and isinstance(event, _ENDS)
            if now is None or not (self._ended or (call and self._waits(call, now))):
                yield event
            else:
                self._kept.append((call, event))
                self._know(event, call)

    def _know(self, event: ev.Event, call: ev.ToolStarted | None) -> None:
        if call is not None and isinstance(event, ev.ToolStarted | ev.WaitBegan):
            self._of[event.id] = call

    def is_past(self, event: ev.Event) -> bool:
        """Tell whether the subagent that an event is of has ended meanwhile.

        :param event: what was kept.
        """
        agent = getattr(event, "made_by", None) or getattr(event, "parent", None)
        return agent not in self._state.lanes and agent in self._state.past_lanes

    def _call(self, event: ev.Event) -> ev.ToolStarted | None:
        """Return the call without a place that an event is of."""
        if isinstance(event, ev.ToolStarted) and event.made_by is not None:
            return None if self._is_known(event.made_by) else event
        if not self._of:
            return None
        return next((self._of[key] for key in _keys(event) if key in self._of), None)

    def _waits(self, call: ev.ToolStarted, now: int) -> bool:
        return not self._is_known(call.made_by) and now - call.at < _PATIENCE

    def _is_known(self, agent: str | None) -> bool:
        return agent in self._state.lanes or agent in self._state.past_lanes


def _keys(event: ev.Event) -> Iterator[str]:
    """Yield the calls and waits that an event is about."""
    for name in ("id", "tool_id", "parent"):
        key = getattr(event, name, None)
        if isinstance(key, str):
            yield key
