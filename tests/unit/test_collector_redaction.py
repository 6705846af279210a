"""What the collectors redact is what the package redacts."""

from __future__ import annotations

import json
import re

import pytest

from otel_untether.session import secret_patterns as table
from scripts.collector_redaction import CONFIG, FILES, made
from tests.unit.session.test_redaction import made as filled_in


@pytest.mark.parametrize("name", FILES)
def test_the_configuration_is_what_the_table_makes_of_it(name: str) -> None:
    """If not: `python -m scripts.collector_redaction`."""
    text = (CONFIG / name).read_text()
    assert made(text) == text


@pytest.mark.parametrize(
    "shape", [*table.SHAPES, *table.COMMANDS, *table.DOCUMENTS], ids=lambda shape: shape.vendor
)
def test_a_shape_finds_its_own_example_without_the_packages_other_means(
    shape: table.Shape,
) -> None:
    """The collector has the expressions and nothing else."""
    assert re.search(shape.expression, filled_in(shape.secret))
    assert not re.search(shape.expression, shape.innocent)


def test_a_config_map_can_hold_each() -> None:
    """`kubectl apply` writes all of it into an annotation, too, which may have 256 KiB."""
    for name in FILES:
        assert len(json.dumps((CONFIG / name).read_text())) < 200_000, name
