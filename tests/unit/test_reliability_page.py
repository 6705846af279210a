"""docs/reliability.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()


def test_every_promise_names_a_test_or_a_benchmark_that_exists() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 31))
    for number, shown in rows:
        paths = re.findall(r"`((?:tests|benchmarks)/[^`]*)`", shown)
        assert paths, number
        assert [path for path in paths if not (ROOT / path).is_file()] == []
