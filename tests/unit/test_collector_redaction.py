"""What the collectors redact is what the package redacts."""

from __future__ import annotations

import pytest

from scripts.collector_redaction import CONFIG, FILES, made


@pytest.mark.parametrize("name", FILES)
def test_the_configuration_is_what_the_table_makes_of_it(name: str) -> None:
    """If not: `python -m scripts.collector_redaction`."""
    text = (CONFIG / name).read_text()
    assert made(text) == text
