"""What sets one agent CLI apart where its silence is judged."""

# Without annotations from __future__: named tuples are made of real ones in half the time.
from typing import NamedTuple


class Traits(NamedTuple):
    """How a CLI behaves while it works, whatever its output looks like.

    The defaults are those of a CLI that nobody knows: they claim nothing from which it could be
    concluded that it is idle.

    :ivar names_tools_late: it says nothing of a tool call before the call is over, so that only
        the process tree shows one at work.
    :ivar tools_leave_session: a tool's processes are in a session (``setsid``) of their own, so
        that those which share the CLI's are none.
    :ivar announces_answers: it says of every answer of the model that it is one, so that a call
        alone shows none.
    :ivar hides_subagents: it says nothing of what a subagent does before the subagent is done.
    :ivar leaves_calls_open: it may go on without saying that a call has returned, so that a
        later call shows an earlier one to be over, or left to itself.
    :ivar idles_awake: its runtime wakes by itself, some times a second, also when there is
        nothing to do, so that waking is no sign of an attempt at anything.
    :ivar silent_until_done: what it was asked to print comes in one piece at its end.
    :ivar asks_again_after: seconds of a model's silence after which it gives up the request and
        sends it once more; None where that is not known.
    """

    names_tools_late: bool = True
    tools_leave_session: bool = False
    announces_answers: bool = False
    hides_subagents: bool = True
    silent_until_done: bool = False
    leaves_calls_open: bool = False
    idles_awake: bool = False
    asks_again_after: float | None = None


UNKNOWN = Traits()
"""Of a CLI that nobody knows."""
