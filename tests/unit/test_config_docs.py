"""The page about settings is what the table of settings says."""

from __future__ import annotations

from pathlib import Path

from otel_untether.config.settings import KEYS
from scripts.config_docs import document

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_page_is_up_to_date() -> None:
    """If not: `python -m scripts.config_docs > docs/configuration.md`."""
    assert PAGE.read_text() == document()


def test_every_setting_is_on_the_page_with_its_variable() -> None:
    page = document()
    for key in KEYS:
        assert f"| `{key.name}` |" in page
        assert f"`{key.variable}`" in page
