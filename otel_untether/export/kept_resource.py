"""Whose telemetry it is that is only kept: its Resource and its scope, without the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_untether import semconv
from otel_untether.export.resource import given_attributes, resource_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.store.runs import RunIdentity

# https://opentelemetry.io/docs/specs/semconv/resource/#telemetry-sdk has the name of an SDK that
# is not OpenTelemetry's own be another one.
_SDK: Final = {
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": semconv.SCOPE,
    "telemetry.sdk.version": semconv.SCOPE_VERSION,
}


class KeptResource:
    """Attributes of whoever makes telemetry, with what is read of the SDK's `Resource`.

    :param attributes: its attributes.
    :param schema_url: whose names they are.
    """

    def __init__(self, attributes: Mapping[str, Any], schema_url: str = "") -> None:
        self.attributes = dict(attributes)
        self.schema_url = schema_url

    def merge(self, other: KeptResource) -> KeptResource:
        """Return one with the attributes of both.

        :param other: what is added; its values count.
        """
        merged = {**self.attributes, **other.attributes}
        return KeptResource(merged, self.schema_url or other.schema_url)


class Scope(NamedTuple):
    """Which part of the code makes telemetry, as the SDK's `InstrumentationScope`."""

    name: str
    version: str | None = None
    schema_url: str | None = None
    attributes: Mapping[str, Any] | None = None


def resource_of(identity: RunIdentity, environ: Mapping[str, str]) -> KeptResource:
    """Return the Resource of a run, as the SDK would make it but for the SDK's own name.

    :param identity: the run.
    :param environ: where the user may say whose telemetry it is.
    """
    own = resource_attributes(identity, environ)
    return KeptResource({**_SDK, **given_attributes(environ), **own})
