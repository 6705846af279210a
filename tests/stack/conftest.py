from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.stack.backends import Stack
from tests.stack.agents import Runner
from tests.support.backends import obtained

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = {"OTELCOL_BIN", "JAEGER_BIN", "PROMETHEUS_BIN", "PROMTOOL_BIN", "COMPOSE_BIN"}
WANTED |= {"ALERTMANAGER_BIN", "AMTOOL_BIN", "GITLEAKS_BIN", "KUSTOMIZE_BIN", "NODE_EXPORTER_BIN"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the first test wait for the builds."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(2400))


@pytest.fixture(scope="session")
def binaries(pytestconfig: pytest.Config) -> dict[str, str]:
    """The real binaries by variable name."""
    return obtained(pytestconfig, WANTED)


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
