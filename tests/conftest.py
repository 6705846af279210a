"""What all tests stand on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, settings

# A run started in the background or by nohup has these ignored, and so have all its children;
# what the tests say of signals is about processes that have them at their defaults.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)

# How much random input: some in every run, much in `make fuzz`. How long one example takes says
# something about the machine only.
settings.register_profile(
    "quick",
    max_examples=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fuzz", settings.get_profile("quick"), max_examples=1000)
settings.load_profile("quick")

# Neither plug-ins nor settings: each would cost every such test a second.
_BARE = ("-c", os.devnull, "--rootdir", ".", "--noconftest", "-p", "no:cacheprovider")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test marked `alone` in a process of its own.

    A signal sent to a process goes to any of its threads that does not block it, and here those
    of earlier tests are: one of them would take it, and SIGTERM would end the whole run.
    """
    if pyfuncitem.get_closest_marker("alone") is None:
        return None
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *_BARE, pyfuncitem.nodeid],
        cwd=pyfuncitem.config.rootpath,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout
    return True
