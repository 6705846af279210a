"""How hard a test tries: a little in `make test`, much in `make soak`."""

from __future__ import annotations

import os
from typing import Final

SOAK: Final = bool(os.environ.get("SOAK"))


def effort(usual: int, soak: int) -> int:
    """Return how many times, or for how many seconds, to try; mark the test `soak`."""
    return soak if SOAK else usual
