"""What installed packages offer OpenTelemetry: exporters, resource detectors."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def entry_points(group: str) -> tuple[metadata.EntryPoint, ...]:
    """Return the entry points of a group: every package is looked through once for all groups."""
    return tuple(_all().select(group=group))


# importlib does it anew at each call, which takes 8 ms where 80 packages are installed.
_all = cache(metadata.entry_points)
