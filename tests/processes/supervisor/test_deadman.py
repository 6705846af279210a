"""An observer of ours that hangs does not stay for ever."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

HANGING = """
    import sys, time
    from otel_untether.supervisor import observer_process
    observer_process._SILENT, observer_process._MOMENT = {silent}, {moment}
    deadman = observer_process.Deadman()
    deadman.alive()
    {then}
"""


def run(then: str, silent: float = 0.2, moment: float = 0.2) -> int:
    code = textwrap.dedent(HANGING).format(silent=silent, moment=moment, then=then)
    return subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode


def test_one_that_hangs_is_ended_by_the_kernel() -> None:
    assert run("import threading; threading.Event().wait()") == -signal.SIGALRM


def test_one_that_hangs_and_catches_everything_is_ended_too() -> None:
    code = "exec('while True:\\n try: time.sleep(9)\\n except BaseException: pass')"
    assert run(code) == -signal.SIGALRM


def test_one_that_shows_that_it_lives_goes_on() -> None:
    """Late once, as after having been stopped: it has a moment more."""
    assert run("time.sleep(0.3); deadman.alive(); time.sleep(0.3); deadman.alive()", 0.2, 30) == 0


def test_one_that_has_nothing_to_do_may_rest() -> None:
    assert run("deadman.rest(); time.sleep(0.6)") == 0
