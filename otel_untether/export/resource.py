"""Whose telemetry this is: the attributes of the Resource."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_untether import semconv
from otel_untether.export.entry_points import entry_points

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.store.runs import RunIdentity

SERVICE_NAME: Final = "otel-untether"

_DETECTORS: Final = ("host", "os", "process")
# Of what the detectors find. Not the process's command, its arguments or executable path:
# our own command line holds the agent's, and with it the prompt.
DETECTED: Final = frozenset(
    {
        "host.name", "host.arch", "os.type", "os.version", "process.pid",
        "process.runtime.name", "process.runtime.version",
    }
)  # fmt: skip


def resource_attributes(identity: RunIdentity, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what is to be added to the Resource.

    The SDK prefers attributes given in code to `OTEL_RESOURCE_ATTRIBUTES` and
    `OTEL_SERVICE_NAME`, so what those set is left out here.
    """
    attributes = {
        **_detected(),
        # SDKs before 1.40 put the path here.
        "process.executable.name": Path(sys.executable).name,
        "service.name": SERVICE_NAME,
        "service.instance.id": identity.run_id,
        semconv.RUN_ID: identity.run_id,
    }
    set_by_user = _keys(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    if environ.get("OTEL_SERVICE_NAME"):
        set_by_user.add("service.name")
    return {key: value for key, value in attributes.items() if key not in set_by_user}


def _keys(value: str) -> set[str]:
    return {item.partition("=")[0].strip() for item in value.split(",") if "=" in item}


def _detected() -> dict[str, Any]:
    found: dict[str, Any] = {}
    detectors = entry_points("opentelemetry_resource_detector")
    for name in _DETECTORS:
        # A host name that cannot be read is no reason to have no telemetry.
        with contextlib.suppress(Exception):
            (point,) = (point for point in detectors if point.name == name)
            found.update(point.load()().detect().attributes)
    return {key: value for key, value in found.items() if key in DETECTED}
