from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.stack.backends import ROOT, Stack
from tests.stack.agents import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = {"OTELCOL_BIN", "JAEGER_BIN", "PROMETHEUS_BIN", "PROMTOOL_BIN", "COMPOSE_BIN"}
WANTED |= {"AMTOOL_BIN", "GITLEAKS_BIN"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the first test wait for the builds."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(2400))


@pytest.fixture(scope="session")
def binaries(pytestconfig: pytest.Config) -> dict[str, str]:
    """The real binaries by variable name, built or found by `scripts.stack.obtain`.

    The first build takes minutes, so its progress goes straight to the terminal.
    """
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        obtained = subprocess.run(
            [sys.executable, "-m", "scripts.stack.obtain"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found = dict(line.split("=", 1) for line in obtained.stdout.splitlines())
    if missing := sorted(WANTED - found.keys()):
        reason = f"no {', '.join(missing)}: see what scripts.stack.obtain says above"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def stack(binaries: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests that do not break it."""
    with Stack(binaries, tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def runner(stack: Stack, tmp_path: Path) -> Iterator[Runner]:
    """Start sessions against the shared stack; none outlives its test."""
    runner = Runner(stack, tmp_path)
    yield runner
    runner.end_all()
