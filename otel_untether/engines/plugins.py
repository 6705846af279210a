"""Engines of other packages, found by their entry points.

A package offers an `Engine` under its name in the group ``otel_untether.engines``::

    [project.entry-points."otel_untether.engines"]
    demo = "demo_engine:ENGINE"

What cannot be loaded, or is no engine, costs a warning and nothing else: a package that somebody
else installed must not keep a run from its telemetry.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Final

from otel_untether.config.installed import may_offer
from otel_untether.engines import NAMES
from otel_untether.engines.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

GROUP: Final = "otel_untether.engines"

_log: Final = logging.getLogger(__name__)


@cache
def engines() -> Mapping[str, Engine]:
    """Return the engines that installed packages offer, by name; looked for once."""
    if not may_offer(GROUP):
        return {}
    # OpenTelemetry's own look at all packages, which it keeps: another takes 8 ms for 80 of them.
    from opentelemetry.util._importlib_metadata import entry_points  # noqa: PLC0415  where nobody asks

    found: dict[str, Engine] = {}
    for point in entry_points(group=GROUP):
        try:
            found.setdefault(point.name, _load(point))
        except Exception as error:  # noqa: BLE001  whatever a package does when it is imported
            package = point.dist.name if point.dist else "unknown package"
            _log.warning("engine plug-in %r of %s is not used: %s", point.name, package, error)
    return found


def _load(point: EntryPoint) -> Engine:
    if point.name in NAMES:
        raise ValueError("an engine of that name comes with otel-untether")
    engine = point.load()
    if not isinstance(engine, Engine):
        raise TypeError(f"expected an otel_untether Engine at {point.value}, found {engine!r}")
    if engine.name != point.name:
        raise ValueError(f"its entry point's name differs from the engine's, {engine.name!r}")
    return engine
