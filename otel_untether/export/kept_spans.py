"""Spans that go nowhere but into a run's folder, without the SDK.

A replay makes a hundred thousand of them, and where no exporter, sampler or limit is asked for,
all that the SDK does for each (sampling, cleaning every attribute, copies for exporters) was a
quarter of the time. Here a span is what `spans` says and what is written, nothing else:
attributes are taken as they are, as they are ours. What the SDK's defaults bound is bounded as
there, so that a session looks the same whether it has an exporter or not.

Any thread may tell a span something, or read it: its provider's lock is held for each change,
and what is read of it, `dict` and `tuple` copy in one step.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_untether.export.kept_resource import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.util.types import Attributes, AttributeValue

    from otel_untether.export.ids import IdGenerator
    from otel_untether.export.keeping import Processor
    from otel_untether.export.kept_resource import KeptResource

MOST: Final = 128
"""Attributes of a span or an event, events and links of a span: the SDK's defaults."""

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)
_UNSET: Final = Status()


class KeptEvent(NamedTuple):
    """An event of a span, as `store.otlp_spans` reads it; `timestamp` in ns since the epoch."""

    name: str
    attributes: dict[str, AttributeValue]
    timestamp: int
    dropped_attributes: int


class KeptSpan(trace.Span):
    """A span with the fields that the SDK's `ReadableSpan` has, as far as they are written.

    :param provider: whose processors are told of its end, and whose resource it has.
    :param scope: of the tracer that made it.
    :param name: its name.
    :param context: its own ids.
    :param parent: its parent's, None for a root.
    :param kind: its kind.
    :param attributes: what it starts with; they are its own from now on.
    :param links: of other spans.
    :param start_time: in ns since the epoch.
    """

    def __init__(
        self,
        provider: KeptTracerProvider,
        scope: Scope,
        *,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, AttributeValue],
        links: Sequence[Link],
        start_time: int,
    ) -> None:
        self._provider = provider
        self.instrumentation_scope = scope
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.links = links[-MOST:]
        self.dropped_links = len(links) - len(self.links)
        self.attributes = attributes
        self.dropped_attributes = _bounded(attributes)
        self.events: Sequence[KeptEvent] = ()
        self.dropped_events = 0
        self.status = _UNSET
        self.start_time = start_time
        self.end_time: int | None = None

    @property
    def resource(self) -> KeptResource:
        """What made it."""
        return self._provider.resource

    def get_span_context(self) -> SpanContext:
        """Return its own ids."""
        return self.context

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self.end_time is None

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set some of its attributes; not of one that has ended."""
        with self._provider.lock:
            if self.end_time is None:
                self.attributes.update(attributes)
                self.dropped_attributes += _bounded(self.attributes)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set one of its attributes."""
        self.set_attributes({key: value})

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        """Note that something happened, now or at `timestamp` (ns since the epoch)."""
        own = dict(attributes or {})
        event = KeptEvent(name, own, timestamp or time.time_ns(), _bounded(own))
        with self._provider.lock:
            if self.end_time is not None:
                return
            events = self.events
            if not isinstance(events, deque):  # most spans have none, and share one that is empty
                events = self.events = deque(maxlen=MOST)
            self.dropped_events += len(events) == MOST
            events.append(event)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Link it to another span; not to one that is none."""
        if not (context.is_valid or attributes or context.trace_state):
            return
        with self._provider.lock:
            if self.end_time is None:
                links = (*self.links, Link(context, dict(attributes or {})))
                self.links = links[-MOST:]
                self.dropped_links += len(links) - len(self.links)

    def update_name(self, name: str) -> None:
        """Call it something else."""
        with self._provider.lock:
            if self.end_time is None:
                self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how it went; that all went well is final."""
        told = status if isinstance(status, Status) else Status(status, description)
        with self._provider.lock:
            final = self.end_time is not None or self.status.status_code is StatusCode.OK
            if not final and told.status_code is not StatusCode.UNSET:
                self.status = told

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002  the API's signature
    ) -> None:
        """Note an exception, by its type and text."""
        told = {
            "exception.type": type(exception).__qualname__,
            "exception.message": str(exception),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**told, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End it, now or at `end_time` (ns since the epoch), once."""
        with self._provider.lock:
            if self.end_time is not None:
                return
            self.end_time = end_time or time.time_ns()
        self._provider.ended(self)


class KeptTracer(trace.Tracer):
    """Makes spans of one scope."""

    def __init__(self, provider: KeptTracerProvider, scope: Scope) -> None:
        self._provider = provider
        self._scope = scope

    def start_span(  # noqa: PLR0917  the API's signature
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002, ARG002
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002, ARG002
    ) -> trace.Span:
        """Start a span below the one in `context`; one that records nothing below such a one."""
        above = trace.get_current_span(context).get_span_context()
        parent = above if above.is_valid else None
        own = self._context(parent)
        if not own.trace_flags.sampled:
            return trace.NonRecordingSpan(own)
        span = KeptSpan(
            self._provider,
            self._scope,
            name=name,
            context=own,
            parent=parent,
            kind=kind,
            attributes=dict(attributes or {}),
            links=tuple(links or ()),
            start_time=start_time or time.time_ns(),
        )
        self._provider.started(span)
        return span

    def _context(self, parent: SpanContext | None) -> SpanContext:
        """Return the ids of a new span; whether it is sampled is for the first of a trace."""
        ids = self._provider.id_generator
        if parent is None:
            return SpanContext(
                ids.generate_trace_id(),
                ids.generate_span_id(),
                is_remote=False,
                trace_flags=_SAMPLED,
            )
        return SpanContext(
            parent.trace_id,
            ids.generate_span_id(),
            is_remote=False,
            trace_flags=_SAMPLED if parent.trace_flags.sampled else _NOT_SAMPLED,
            trace_state=parent.trace_state,
        )

    def start_as_current_span(self, *_arguments: Any, **_keywords: Any) -> Any:
        """Not here: what is recorded has no current span."""
        raise NotImplementedError


class KeptTracerProvider(trace.TracerProvider):
    """Has its spans kept by the span processors that are added.

    Those are told of each start and end; `resource` and `id_generator` are as in the SDK's
    provider, and `lock` is held while one of its spans changes.
    """

    def __init__(self, resource: KeptResource, id_generator: IdGenerator) -> None:
        self.resource = resource
        self.id_generator = id_generator
        self.lock = threading.Lock()
        self._processors: list[Processor] = []

    def add_span_processor(self, processor: Processor) -> None:
        """Tell it of spans from now on, after those that were added before."""
        self._processors.append(processor)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> KeptTracer:
        """Return a tracer of a scope."""
        scope = Scope(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )
        return KeptTracer(self, scope)

    def started(self, span: Any) -> None:
        """Tell of a start."""
        for processor in self._processors:
            processor.on_start(span)

    def ended(self, span: Any) -> None:
        """Tell of an end."""
        for processor in self._processors:
            processor.on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have all that ended kept."""
        flushed = [each.force_flush(timeout_millis) for each in self._processors]
        return all(flushed)

    def shutdown(self) -> None:
        """Have all that ended kept, and the files closed."""
        for processor in self._processors:
            processor.shutdown()


def _bounded(attributes: dict[str, AttributeValue]) -> int:
    """Drop the oldest of too many attributes, as the SDK does; return how many."""
    dropped = max(0, len(attributes) - MOST)
    for _ in range(dropped):
        del attributes[next(iter(attributes))]
    return dropped
