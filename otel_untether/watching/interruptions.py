"""What a program's own signal handlers raise while code of ours runs, told from our mistakes.

Python runs a handler between any two instructions of the main thread, and what it raises is meant
for the program, wherever that is at the time::

    main()                    the program
      stdout.readline()       ours, about to decode what was read
        on_alarm()            the program's handler of SIGALRM: raise TooLate
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    from types import CodeType
else:
    import _signal as signal  # what `signal` wraps in enums, for 2 ms of each run


def is_the_programs(error: BaseException | None) -> bool:
    """Tell whether an error that was caught in code of ours comes from a signal handler."""
    handlers = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    step = None if error is None else error.__traceback__
    while step is not None:
        if step.tb_frame.f_code in handlers:
            return True
        step = step.tb_next
    return False


def let_through() -> None:
    """Raise the error that is being handled, if it is the program's."""
    error = sys.exception()
    if error is not None and is_the_programs(error):
        raise error


def _code(handler: Any) -> CodeType | None:
    """Return what runs first when a handler is called, None where that is no Python."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not hasattr(handler, "__code__"):  # a method has its function's
        handler = vars(type(handler)).get("__call__")
    return getattr(handler, "__code__", None)
