"""Writes `docs/telemetry.md` from `semconv`.

    python -m scripts.semconv_docs > docs/telemetry.md

A test compares the file with what this would write.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.export.resource import resource_attributes
from otel_untether.store.runs import RunIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_INTRODUCTION: Final = """\
# Telemetry

Every span, event, attribute and metric this package emits. Generated from
`otel_untether/semconv.py` by `python -m scripts.semconv_docs > docs/telemetry.md`; edit
the registry, not this file.

`gen_ai.*` names follow OpenTelemetry's
[GenAI conventions](https://github.com/open-telemetry/semantic-conventions-genai), which are in
Development and still change; `process.*`, `error.type`, `http.*` and `network.*` the
[core conventions](https://opentelemetry.io/docs/specs/semconv/). `untether.*` names are ours.
What is not known is left out: no value stands for it.
"""
_LEAVES: Final = """\
## What leaves, and what does not

Without an exporter of yours nothing leaves the machine: telemetry lies in the run's folder. With
one, what is on this page leaves, and by default nothing that anybody wrote: no prompt, no answer,
no thought, no argument, no result, no command line, no path, no environment, no prose of an
error. Names do, of tools, models, subagents, MCP servers, hooks and errors: cut to 128
characters, cleaned of what steers a terminal, and of secrets.

With `capture.content`, or `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true`, the
arguments and results of tools leave, too: redacted (see [security](security.md)), then cut.

The Resource says whose telemetry it is. It carries what `OTEL_RESOURCE_ATTRIBUTES` and
`OTEL_SERVICE_NAME` say, and

{resource}

`telemetry.sdk.*` says who made it: OpenTelemetry's SDK, or `otel_untether` where no `OTEL_*`
variable asks for more than files.

On disk only, in the folder of the run: the last hundred lines of the agent's stderr, redacted,
and the names of processes and of their options, in `stall-*.json`.
"""
_METRICS: Final = """\
The first table is of all sessions together, through the configured MeterProvider. The second
is of one live session: its Resource carries `service.instance.id` and `untether.run.id`, the
run's id, and `process.pid`, the agent's. Its series end with the session, after a last sample
in which the tree has nothing left and `untether.session.state` is `ended`.

The last column is the name in Prometheus, with its default translation.
"""
_UNITS: Final = {"s": "seconds", "By": "bytes", "1": "ratio", "USD": "USD"}


def document() -> str:
    """Return the page."""
    return "\n".join([_INTRODUCTION, _leaves(), *_spans(), *_metrics(), *_attributes()]) + "\n"


def _leaves() -> str:
    names = resource_attributes(RunIdentity("a-run"), {})
    listed = ", ".join(f"`{name}`" for name in sorted(names))
    return _LEAVES.format(resource=f"{listed}.")


def prometheus_name(metric: semconv.Metric) -> str:
    """Return what a metric is called in Prometheus after the default translation of OTLP.

    Dots become underscores, the unit is appended unless the name ends in it or it is an
    annotation in braces, and counters end in `_total`.
    """
    name = re.sub(r"[^a-zA-Z0-9:]+", "_", metric.name)
    unit = _UNITS.get(metric.unit, "")
    counter = metric.instrument in ("counter", "observable_counter")
    if unit == "ratio" and metric.instrument != "observable_gauge":
        unit = ""
    if unit and unit not in name.split("_"):
        name = f"{name}_{unit}"
    return f"{name}_total" if counter else name


def _spans() -> Iterator[str]:
    yield from _table("Spans", ("Span", "When"), _code_first(semconv.SPANS.items()))
    yield from _table(
        "Events",
        ("Event", "When"),
        _code_first(semconv.EVENTS.items()),
        "Each is an event of the span it concerns and a log record with the trace's context.",
    )


def _metrics() -> Iterator[str]:
    metrics = semconv.METRICS.values()
    columns = ("Metric", "Instrument", "Unit", "What", "Attributes", "In Prometheus")
    yield f"## Metrics\n\n{_METRICS}"
    for title, own in (("All sessions", False), ("One session", True)):
        rows = (_metric(each) for each in metrics if each.instrument.startswith("obs") is own)
        yield from _table(title, columns, rows, level=3)
    bounds = ", ".join(f"{bound:g}" for bound in semconv.SECONDS)
    yield f"Buckets of the histograms, in seconds: {bounds}.\n"


def _metric(metric: semconv.Metric) -> tuple[str, ...]:
    attributes = ", ".join(f"`{name}`" for name in metric.attributes)
    instrument = metric.instrument.replace("observable_", "observable ")
    return (
        f"`{metric.name}`",
        instrument,
        f"`{metric.unit}`",
        metric.brief,
        attributes,
        f"`{prometheus_name(metric)}`",
    )


def _attributes() -> Iterator[str]:
    rows = (
        (f"`{name}`", attribute.type, attribute.brief)
        for name, attribute in sorted(semconv.ATTRIBUTES.items())
    )
    yield from _table("Attributes", ("Attribute", "Type", "What"), rows)


def _code_first(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((f"`{name}`", brief) for name, brief in rows)


def _table(
    title: str,
    columns: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    introduction: str = "",
    level: int = 2,
) -> Iterator[str]:
    yield f"{'#' * level} {title}\n"
    if introduction:
        yield f"{introduction}\n"
    yield _row(columns)
    yield _row(("---",) * len(columns))
    yield from map(_row, rows)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(document())
