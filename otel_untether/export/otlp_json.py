"""OTLP as JSON lines: one export request a line, the format of OTLP files.

https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/ has the format, which the
collector's `otlp_json_file` receiver reads.

`opentelemetry-exporter-otlp-json-file` writes the same. It pins the exact version of every
other OpenTelemetry package (0.66b1 needs 1.45.1), so depending on it would move a user's
OpenTelemetry. Switch to it once it accepts a range, or is released with the SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether.export import otlp_objects
from otel_untether.store import run_folder
from otel_untether.store.segments import SegmentedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otel_untether.export.environment import Signal

FILES: Final[Mapping[Signal, str]] = {
    "traces": run_folder.TRACES,
    "logs": run_folder.LOGS,
    "metrics": run_folder.METRICS,
}
_ENCODERS: Final[Mapping[Signal, Callable[[Any], dict[str, Any]]]] = {
    "traces": otlp_objects.spans,
    "logs": otlp_objects.logs,
    "metrics": otlp_objects.metrics,
}


def encode(signal: Signal, batch: Any) -> bytes:
    """Encode what an exporter of `signal` is given as one line, without its newline."""
    request = _ENCODERS[signal](batch)
    try:
        return msgspec.json.encode(request)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(request))


def _without_surrogates(node: Any) -> Any:
    """Replace what no UTF-8 can say, as in a name that was bytes of something else."""
    match node:
        case str():
            return node.encode(errors="replace").decode()
        case list():
            return [_without_surrogates(item) for item in node]
        case dict():
            return {
                _without_surrogates(key): _without_surrogates(item) for key, item in node.items()
            }
    return node


class Lines:
    """A file of export requests, and its parts, opened at the first one.

    `packed` is called, in a thread of its own, whenever what was set aside of it is safe on disk.
    """

    def __init__(
        self, signal: Signal, path: Path, packed: Callable[[], object] | None = None
    ) -> None:
        self._signal = signal
        self._file = SegmentedFile(path, packed)

    def write(self, batch: Any) -> str | None:
        """Append a batch; return why that failed, None where it is on disk. Raises nothing."""
        try:
            line = encode(self._signal, batch)
            # A collection may find nothing to report.
            if line != b"{}":
                self._file.append(line)
        # What a foreign encoder may raise is open, and none of it may reach the caller.
        except Exception as error:  # noqa: BLE001
            return getattr(error, "strerror", None) or str(error) or type(error).__name__
        return None

    def close(self, *, wait: bool = True) -> None:
        """Close the file, if it was ever opened; `wait` for what is being compressed."""
        self._file.close(wait=wait)
