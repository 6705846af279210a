"""The page about threats names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", PAGE))))
def test_a_test_that_the_page_names_is_there(name: str) -> None:
    found = [path for path in ROOT.glob("tests/**/*.py") if f"def {name}(" in path.read_text()]
    assert len(found) == 1


@pytest.mark.parametrize("place", sorted(set(re.findall(r"`(tests/[\w/.]+)`", PAGE))))
def test_a_folder_or_file_of_tests_that_the_page_names_is_there(place: str) -> None:
    assert (ROOT / place).exists()


def test_every_test_of_a_hostile_place_is_on_the_page() -> None:
    """A promise that nobody reads is half a promise."""
    named = {
        name
        for path in ROOT.glob("tests/processes/trust/test_hostile_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert sorted(name for name in named if name not in PAGE) == []
