"""The engine holds its contract on what the agent really printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from demo_engine import ENGINE

from otel_untether.engines.conformance import problems

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_the_engine_holds_its_contract(path: Path) -> None:
    """Hold each recording against it."""
    assert list(problems(ENGINE, path.read_bytes().splitlines())) == []
