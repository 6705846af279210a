"""Whose telemetry this is: the attributes of the Resource."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from otel_untether import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.store.runs import RunIdentity

SERVICE_NAME: Final = "otel-untether"

_SERVICE: Final = "OTEL_SERVICE_NAME"
_ATTRIBUTES: Final = "OTEL_RESOURCE_ATTRIBUTES"
RESOURCE_VARIABLES: Final = frozenset({_SERVICE, _ATTRIBUTES})
"""The variables by which a user says whose telemetry it is."""


def resource_attributes(identity: RunIdentity, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what is to be added to the Resource.

    The SDK prefers attributes given in code to `OTEL_RESOURCE_ATTRIBUTES` and
    `OTEL_SERVICE_NAME`, so what those set is left out here.
    """
    attributes = {
        **_detected(),
        "service.name": SERVICE_NAME,
        "service.instance.id": identity.run_id,
        semconv.RUN_ID: identity.run_id,
    }
    set_by_user = given_attributes(environ).keys()
    return {key: value for key, value in attributes.items() if key not in set_by_user}


def given_attributes(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the user says in variables, read as the SDK does: `key=value,key=%20value`.

    What has no name is nothing, and a service without one is not named.
    """
    pairs = (item.partition("=") for item in environ.get(_ATTRIBUTES, "").split(","))
    given = {key.strip(): unquote(value.strip()) for key, sign, value in pairs if sign}
    given["service.name"] = environ.get(_SERVICE) or given.get("service.name", "")
    return {key: value for key, value in given.items() if key and (value or key != "service.name")}


def _detected() -> dict[str, Any]:
    """Return what OpenTelemetry's detectors of the host, the system and the process find.

    Not the process's command, its arguments or executable path: our own command line holds the
    agent's, and with it the prompt.
    """
    system, version = platform.uname(), sys.version_info
    final = version.releaselevel == "final" and not version.serial
    return {
        "host.name": system.node,
        "host.arch": system.machine,
        "os.type": system.system.lower(),
        "os.version": system.release,
        "process.pid": os.getpid(),
        "process.executable.name": Path(sys.executable).name,
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": ".".join(map(str, version[:3] if final else version)),
    }
