"""Log records that go nowhere but into a run's folder, without the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from opentelemetry import _logs
from opentelemetry._logs import LogRecord
from opentelemetry.context import get_current

from otel_untether.export.kept_resource import Scope

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.util.types import Attributes

    from otel_untether.export.keeping import LogKeeper
    from otel_untether.export.kept_resource import KeptResource


class KeptRecord:
    """A log record with what is read of the SDK's `ReadableLogRecord`."""

    dropped_attributes = 0
    __slots__ = ("instrumentation_scope", "log_record", "resource")

    def __init__(self, log_record: LogRecord, resource: KeptResource, scope: Scope) -> None:
        self.log_record = log_record
        self.resource = resource
        self.instrumentation_scope = scope


class KeptLogger(_logs.Logger):
    """Makes log records of one scope."""

    def __init__(self, provider: KeptLoggerProvider, scope: Scope) -> None:
        super().__init__(scope.name, scope.version, scope.schema_url, scope.attributes)
        self._provider = provider
        self._scope = scope

    def emit(self, record: LogRecord | None = None, **fields: Any) -> None:
        """Keep a record, or one of these fields, those of `LogRecord`."""
        made = record or LogRecord(**{"context": get_current(), **fields})
        self._provider.keep(KeptRecord(made, self._provider.resource, self._scope))

    def enabled(self, **_about: Any) -> bool:
        """Say that all is kept."""
        return True


class KeptLoggerProvider(_logs.LoggerProvider):
    """Has log records kept by a keeper, the moment they are made."""

    def __init__(self, resource: KeptResource, keeper: LogKeeper) -> None:
        self.resource = resource
        self._keeper = keeper

    def get_logger(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> KeptLogger:
        """Return a logger of a scope."""
        return KeptLogger(self, Scope(name, version, schema_url, attributes))

    def keep(self, record: KeptRecord) -> None:
        """Keep a record."""
        self._keeper.export([cast("ReadableLogRecord", record)])

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Nothing is buffered."""
        return True

    def shutdown(self) -> None:
        """Close the file."""
        self._keeper.shutdown()
