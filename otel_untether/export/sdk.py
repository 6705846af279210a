"""The places where we rely on the inside of the OpenTelemetry SDK; `hearing` has the others.

It has no public way to its configurator, nor from a provider to its exporters. The tests run
at the oldest and at the newest supported version, so that a move is noticed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import _logs, metrics, trace

from otel_untether.export import environment as otlp_config
from otel_untether.export.entry_points import entry_points
from otel_untether.export.environment import SIGNALS, Plan, Signal
from otel_untether.export.otlp_json import FILES
from otel_untether.export.resource import resource_attributes
from otel_untether.export.text import describe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from otel_untether.store.runs import RunIdentity

_CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
# What is kept of OTEL_* when the whole of it made the SDK fail.
_HARMLESS: Final = ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES")
_HOLDERS: Final[tuple[tuple[int, str, Signal], ...]] = (
    (0, "_active_span_processor._span_processors", "traces"),
    (1, "_metric_readers", "metrics"),
    (1, "_sdk_config.metric_readers", "metrics"),  # until 1.42
    (2, "_multi_log_record_processor._log_record_processors", "logs"),
)
_EXPORTERS: Final = ("_batch_processor._exporter", "_exporter", "span_exporter")


class Providers(NamedTuple):
    """The three providers of this process, typed by the API: they may be anybody's."""

    tracer: trace.TracerProvider
    meter: metrics.MeterProvider
    logger: _logs.LoggerProvider


def global_providers() -> Providers:
    """Return the providers this process has now."""
    return Providers(
        trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()
    )


def configure(
    identity: RunIdentity, run_dir: Path | None, environ: Mapping[str, str], problems: list[str]
) -> Plan:
    """Have the SDK's configurator set the global providers; where it fails, without exporters.

    Return what was asked for.
    """
    files = run_dir is not None
    by_file = _has_config_file(environ, problems)
    plan = Plan() if by_file else otlp_config.plan(environ, _installed(), files=files)
    problems += plan.problems
    try:
        arguments = {} if by_file else _arguments(identity, run_dir, environ)
        _run_configurator({**environ, **plan.variables}, arguments)
    # Exporters raise what they like about their settings.
    except Exception as error:  # noqa: BLE001
        settings = _CONFIG_FILE if by_file else "OTEL_* variables"
        problems.append(f"{settings}: not usable, and left aside: {describe(error)}")
        harmless = {key: environ[key] for key in _HARMLESS if key in environ}
        fallback = otlp_config.plan(harmless, _installed(), files=files)
        arguments = _arguments(identity, run_dir, harmless)
        _run_configurator({**harmless, **fallback.variables}, arguments)
    for provider in global_providers():
        _forget_at_exit(provider)
    return plan


def _has_config_file(environ: Mapping[str, str], problems: list[str]) -> bool:
    if not environ.get(_CONFIG_FILE):
        return False
    if hasattr(_configuration(), _CONFIG_FILE):
        return True
    problems.append(f"{_CONFIG_FILE} is ignored: this OpenTelemetry SDK cannot read it")
    return False


def _installed() -> dict[Signal, set[str]]:
    return {
        signal: {point.name for point in entry_points(f"opentelemetry_{signal}_exporter")}
        for signal in SIGNALS
    }


def _arguments(
    identity: RunIdentity, run_dir: Path | None, environ: Mapping[str, str]
) -> dict[str, Any]:
    arguments: dict[str, Any] = {"resource_attributes": resource_attributes(identity, environ)}
    if run_dir is not None:
        from otel_untether.export.file_metric_exporter import FileMetricExporter  # noqa: PLC0415

        path = run_dir / FILES["metrics"]
        arguments["exporter_args_map"] = {FileMetricExporter: {"path": path}}
    return arguments


def _run_configurator(environ: Mapping[str, str], arguments: Mapping[str, Any]) -> None:
    with environment(environ), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _configuration()._OTelSDKConfigurator().configure(**arguments)  # noqa: SLF001


def _configuration() -> Any:
    """Import the SDK's configurator, which in 1.39 warns about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module("opentelemetry.sdk._configuration")


@contextlib.contextmanager
def environment(environ: Mapping[str, str]) -> Iterator[None]:
    """Make OTEL_* of this process what `environ` says, for as long as the SDK reads them."""
    # gRPC's core prints to stderr past Python's logging.
    wanted = {"GRPC_VERBOSITY": "NONE"} | _telling(environ)
    before = _telling(os.environ)
    _swap(before, wanted)
    try:
        yield
    finally:
        _swap(wanted, before)


def _telling(environ: Mapping[str, str]) -> dict[str, str]:
    names = (name for name in environ if name.startswith("OTEL_") or name == "GRPC_VERBOSITY")
    return {name: environ[name] for name in names}


def _swap(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    for name in old.keys() - new.keys():
        os.environ.pop(name, None)
    os.environ.update(new)


def _forget_at_exit(provider: Any) -> None:
    """Undo the SDK's atexit hook: it would wait for exporters past our deadline."""
    if hasattr(provider, "shutdown"):
        atexit.unregister(provider.shutdown)


def exporters(providers: Providers) -> list[tuple[Signal, Any]]:
    """Return the exporters behind the providers, as far as they can be seen."""
    found: dict[int, tuple[Signal, Any]] = {}
    for index, path, signal in _HOLDERS:
        for holder in get(providers[index], path) or ():
            candidates = (get(holder, name) for name in _EXPORTERS)
            exporter = next((found for found in candidates if found is not None), None)
            if exporter is not None:
                found[id(exporter)] = (signal, exporter)
    return list(found.values())


def get(holder: Any, path: str) -> Any:
    """Follow a path of attributes like "_client._transport"; None where it ends early."""
    for name in path.split("."):
        holder = getattr(holder, name, None)
    return holder


def forget_attribute_sets(
    provider: Any, instruments: Iterable[Any], name: str, values: Collection[str]
) -> bool:
    """Drop what the SDK keeps of asynchronous instruments for these values of an attribute.

    It keeps every attribute set for ever, and counts it against its cardinality limit. Return
    whether nothing of them is kept any more; False for a provider that is not the SDK's.
    """
    real = getattr(provider, "_real_meter_provider", provider)
    if real is None or isinstance(real, metrics.NoOpMeterProvider):
        return True
    storages = get(real, "_measurement_consumer._reader_storages")
    if not hasattr(storages, "values"):
        return False
    matches = [
        match
        for storage in tuple(storages.values())
        for instrument in instruments
        for match in _matches(storage, getattr(instrument, "_real_instrument", instrument))
    ]
    forgotten = [_forget(match, name, values) for match in matches]
    return all(forgotten)


def _matches(storage: Any, instrument: Any) -> Iterable[Any]:
    by_instrument = getattr(storage, "_instrument_view_instrument_matches", None) or {}
    return tuple(by_instrument.get(instrument, ()))


def _forget(match: Any, name: str, values: Collection[str]) -> bool:
    lock, kept = getattr(match, "_lock", None), getattr(match, "_attributes_aggregation", None)
    if lock is None or not isinstance(kept, dict):
        return False
    with lock:
        for key, aggregation in tuple(kept.items()):
            if (getattr(aggregation, "_attributes", None) or {}).get(name) in values:
                del kept[key]
    return True


def is_otlp(exporter: Any) -> bool:
    """Whether an exporter sends to a collector."""
    return type(exporter).__module__.startswith("opentelemetry.exporter.otlp.proto.")


def keep_off_stdout(exporter: Any) -> None:
    """Send a console exporter to stderr: stdout is the agent's, byte for byte."""
    # Which stream it holds cannot be compared: it took the stdout of when it was imported.
    if type(exporter).__module__.startswith("opentelemetry.sdk.") and hasattr(exporter, "out"):
        exporter.out = sys.stderr


def failure(result: Any) -> Any:
    """Return the failure that goes with a result of an exporter."""
    return getattr(type(result), "FAILURE", result)
