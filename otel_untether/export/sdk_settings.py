"""Which of OTEL_* the SDK cannot use, found out before it sees them.

It raises for some of them, one as soon as it is imported, and then nothing else works that was
asked for. What is of no use is left aside, as if it were not set, and told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_untether.export.credentials import read_headers, secrets
from otel_untether.export.entry_points import entry_points
from otel_untether.export.environment import GRPC, SIGNALS, protocol
from otel_untether.export.text import hide, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_untether.export.environment import Signal

# What fits the SDK's own use of a number: the length of a queue, a time-out of a socket.
_MOST: Final = 2**31 - 1
_COMMON_HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"
_BATCH: Final = 512  # the SDK's default, which must not be more than what the queue holds


def usable(environ: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Return the environment without what the SDK cannot use; each is added to `problems`.

    What is secret in it is not shown from now on.
    """
    hide(secrets(environ))
    fine = dict(environ)
    for name, value in environ.items():
        rule = next((rule for rule in _RULES if rule[0].fullmatch(name)), None)
        if rule is None or rule[1](value.strip()):
            continue
        if not value.strip():
            # Unset, though gRPC's exporter raises for it. A limit that is empty is none to the SDK.
            if not name.endswith("_LIMIT"):
                del fine[name]
            continue
        del fine[name]
        problems.append(_told(name, value, rule[2]))
    for processor in ("BSP", "BLRP"):
        _fit_batches(fine, processor, problems)
    _check_headers(fine, problems)
    _check_compression(fine, problems)
    _check_plugins(fine, problems)
    return fine


def _told(name: str, value: str, expected: str) -> str:
    return f"{name}: {plain(value)!r} is not usable, and left aside: {expected}"


def _check_headers(fine: dict[str, str], problems: list[str]) -> None:
    """Leave aside the headers that cannot be sent, of each signal as its protocol has them."""
    found = {signal: _headers(fine, signal) for signal in SIGNALS}
    told = dict.fromkeys(problem for _, wrong in found.values() for problem in wrong)
    if not told:
        return
    problems += told
    fine.pop(_COMMON_HEADERS, None)
    for signal, (text, _) in found.items():
        fine[f"OTEL_EXPORTER_OTLP_{signal.upper()}_HEADERS"] = text


def _headers(environ: Mapping[str, str], signal: Signal) -> tuple[str, list[str]]:
    """Return what of a signal's headers can be sent, and what is wrong with the others."""
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_HEADERS"
    variable = own if environ.get(own, "").strip() else _COMMON_HEADERS
    headers = read_headers(environ.get(variable, ""), grpc=protocol(environ, signal) == GRPC)
    wrong = [f"{variable}: {it.problem}; it is left aside" for it in headers if it.problem]
    return ",".join(header.text for header in headers if not header.problem), wrong


def _check_compression(fine: dict[str, str], problems: list[str]) -> None:
    """Leave aside what a signal's protocol cannot compress with; gRPC's exporter raises for it."""
    told = dict[str, None]()
    given = {name: fine.pop(name).strip().lower() for name in [*fine] if _COMPRESSION.match(name)}
    for signal in SIGNALS:
        own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_COMPRESSION"
        name = own if given.get(own) else "OTEL_EXPORTER_OTLP_COMPRESSION"
        known = ("gzip",) if protocol(fine, signal) == GRPC else ("gzip", "deflate")
        if given.get(name, "") in known:
            fine[own] = given[name]
        elif given.get(name, "none") not in ("", "none"):
            told[_told(name, given[name], f"expected one of {', '.join(known)}, none")] = None
    problems += told


def _check_plugins(fine: dict[str, str], problems: list[str]) -> None:
    """Leave aside what names no plug-in, which costs the SDK its sampling or all exporters."""
    for name, group in _PLUGINS.items():
        value = fine.get(name, "").strip()
        if not value:
            continue
        known = {point.name for point in entry_points(group)}
        if value not in known and value.lower() not in known:
            del fine[name]
            problems.append(_told(name, value, f"expected one of {', '.join(sorted(known))}"))
        elif value not in known:
            fine[name] = value.lower()
    ratio = fine.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if ratio and fine.get("OTEL_TRACES_SAMPLER", "").endswith("traceidratio") and not _share(ratio):
        del fine["OTEL_TRACES_SAMPLER_ARG"]
        problems.append(_told("OTEL_TRACES_SAMPLER_ARG", ratio, "expected a number from 0 to 1"))


def _fit_batches(fine: dict[str, str], processor: str, problems: list[str]) -> None:
    """Have batches of no more than their queue holds, for which the SDK would raise."""
    name = f"OTEL_{processor}_MAX_EXPORT_BATCH_SIZE"
    queue = int(fine.get(f"OTEL_{processor}_MAX_QUEUE_SIZE", "").strip() or 2048)
    batch = int(fine.get(name, "").strip() or _BATCH)
    if batch <= queue:
        return
    if fine.get(name, "").strip():
        problems.append(f"{name}: {batch} is more than the queue holds: {queue} are sent at once")
    fine[name] = str(queue)


def _whole(least: int) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            return least <= int(value) <= _MOST
        except ValueError:
            return False

    return check


def _above(least: float) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            return least < float(value) <= _MOST
        except ValueError:
            return False

    return check


def _share(value: str) -> bool:
    try:
        return 0 <= float(value) <= 1
    except ValueError:
        return False


def _one_of(*words: str) -> Callable[[str], bool]:
    return lambda value: value.lower() in words


_COMPRESSION: Final = re.compile(r"OTEL_EXPORTER_OTLP_((TRACES|METRICS|LOGS)_)?COMPRESSION$")
_PLUGINS: Final = {
    "OTEL_TRACES_SAMPLER": "opentelemetry_traces_sampler",
    "OTEL_PYTHON_ID_GENERATOR": "opentelemetry_id_generator",
}
_TEMPORALITY: Final = ("cumulative", "delta", "lowmemory")
_HISTOGRAMS: Final = ("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
_FILTERS: Final = ("trace_based", "always_on", "always_off")
_RULES: Final[tuple[tuple[re.Pattern[str], Callable[[str], bool], str], ...]] = (
    (
        re.compile(r"OTEL_(?!UNTETHER_)\w*(COUNT|LENGTH)_LIMIT"),
        _whole(0),
        "expected a whole number, 0 or more",
    ),
    (
        re.compile("OTEL_(BSP|BLRP)_(SCHEDULE_DELAY|MAX_QUEUE_SIZE|MAX_EXPORT_BATCH_SIZE)"),
        _whole(1),
        "expected a whole number, 1 or more",
    ),
    (
        re.compile("OTEL_(BSP|BLRP)_EXPORT_TIMEOUT"),
        _whole(0),
        "expected a whole number, 0 or more",
    ),
    (
        re.compile("OTEL_METRIC_EXPORT_(INTERVAL|TIMEOUT)"),
        _above(0),
        "expected milliseconds, more than 0",
    ),
    (
        re.compile("OTEL_EXPORTER_OTLP_((TRACES|METRICS|LOGS)_)?TIMEOUT"),
        _above(0),
        "expected seconds, more than 0",
    ),
    (
        re.compile("OTEL_METRICS_EXEMPLAR_FILTER"),
        _FILTERS.__contains__,
        f"expected one of {', '.join(_FILTERS)}",
    ),
    (
        re.compile("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"),
        _one_of(*_TEMPORALITY),
        f"expected one of {', '.join(_TEMPORALITY)}",
    ),
    (
        re.compile("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"),
        _one_of(*_HISTOGRAMS),
        f"expected one of {', '.join(_HISTOGRAMS)}",
    ),
)
