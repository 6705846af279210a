"""A victim for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.processes.trust.commands import Victim

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    """Somebody with a home and a freshly cloned repository."""
    found = Victim(tmp_path / "home", tmp_path / "repository")
    found.home.mkdir(mode=0o700)
    found.folder.mkdir()
    return found
