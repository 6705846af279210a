"""What each event does to a session's state: one function per event, in four files.

A function takes the state, the event and the moment it happened (ns, already held to what is
possible) and returns what changed. This is the one place that decides which activity
something belongs under, whether a call that returned is over, and whose turn the model has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_untether.session.fold import tasks, tools, turns, waits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_untether.session.activity import Change
    from otel_untether.session.events import Event
    from otel_untether.session.state import SessionState

    # Each handler takes one event type; the table below is what makes the pairing right.
    Handler: TypeAlias = Callable[[SessionState, Any, int], list[Change]]

HANDLERS: Final[Mapping[type[Event], Handler]] = {
    **turns.HANDLERS,
    **tools.HANDLERS,
    **tasks.HANDLERS,
    **waits.HANDLERS,
}
