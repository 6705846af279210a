from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from backends import ROOT, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def binaries(request: pytest.FixtureRequest) -> dict[str, str]:
    """The real binaries by variable name, built or found by `scripts.stack.obtain`.

    The first build takes minutes, so its progress goes straight to the terminal.
    """
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        obtained = subprocess.run(
            [sys.executable, "-m", "scripts.stack.obtain"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found = dict(line.split("=", 1) for line in obtained.stdout.splitlines())
    wanted = {"OTELCOL_BIN", "JAEGER_BIN", "PROMETHEUS_BIN", "PROMTOOL_BIN", "COMPOSE_BIN"}
    if missing := sorted(wanted - found.keys()):
        reason = f"no {', '.join(missing)}: see what scripts.stack.obtain says above"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def stack(binaries: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests that do not break it."""
    with Stack(binaries, tmp_path_factory.mktemp("stack")) as running:
        yield running
