from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.stack.scaled import FleetStack
from tests.support.backends import obtained

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = {"OTELCOL_BIN", "JAEGER_BIN", "PROMETHEUS_BIN", "ALERTMANAGER_BIN", "COMPOSE_BIN"}
WANTED |= {"NODE_EXPORTER_BIN", "KAFKA_LIB", "OPENSEARCH_LIB"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the first test wait for the builds."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session")
def fleet(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FleetStack]:
    """Kafka, OpenSearch, two gateways: one for all tests, each leaves it running."""
    binaries = obtained(pytestconfig, WANTED)
    with FleetStack(binaries, tmp_path_factory.mktemp("fleet")) as running:
        yield running
