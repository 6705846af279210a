"""The real backends, for the tests that need them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.stack.backends import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable


def obtained(config: pytest.Config, wanted: Iterable[str]) -> dict[str, str]:
    """Return the real binaries by variable name, built or found by `scripts.stack.obtain`.

    The first build takes minutes, so its progress goes straight to the terminal. What is missing
    in CI is a failure, elsewhere a reason to skip.
    """
    capture = config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        ran = subprocess.run(
            [sys.executable, "-m", "scripts.stack.obtain"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    found = dict(line.split("=", 1) for line in ran.stdout.splitlines())
    if missing := sorted(set(wanted) - found.keys()):
        reason = f"no {', '.join(missing)}: see what scripts.stack.obtain says above"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    return found
