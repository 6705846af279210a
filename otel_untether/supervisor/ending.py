"""To end as the agent ended: with its exit code, or by its signal.

Who waits for us looks at the wait status. A shell's loop goes on after an exit code of 130 and
ends after a death by SIGINT; xargs, make and `subprocess` tell the two apart as well.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    import _signal as signal  # what `signal` wraps in enums, for 6 ms


def end_as(code: int) -> NoReturn:
    """Exit with `code`, or die by signal N where it is -N; without a core of ours.

    At once: an exporter's own exit handlers may wait much longer than we promise. Where the
    signal does not end us (the first process of a container is spared), exit with 128 + N.
    """
    if code < 0:
        _die_by(-code)
        os._exit(128 - code)
    os._exit(code)


def _die_by(number: int) -> None:
    import resource  # noqa: PLC0415  only here

    try:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    except (OSError, ValueError):
        return  # a signal that C keeps for itself; the status will say it
