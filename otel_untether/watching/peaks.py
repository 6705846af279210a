"""The most a process tree ever used, over all its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_untether import semconv

if TYPE_CHECKING:
    from otel_untether.proc_diag import TreeSnapshot
    from otel_untether.session.activity import AttributeValue


class Peaks:
    """Keeps maxima; what was never known stays unknown."""

    def __init__(self) -> None:
        self._most: dict[str, float] = {}

    def add(self, diag: TreeSnapshot) -> None:
        """Take one sample; where nobody lived any more there was nothing to measure."""
        if diag.alive is False and not diag.children:
            return
        values = {
            semconv.PEAK_RSS: diag.rss,
            semconv.PEAK_CPU: diag.cpu_rate,
            semconv.PEAK_FDS: diag.fds,
            semconv.PEAK_PROCESSES: len(diag.processes) or None,
            semconv.PEAK_TCP: None if diag.sockets is None else len(diag.sockets),
        }
        for name, value in values.items():
            if value is not None:
                self._most[name] = max(value, self._most.get(name, value))

    def attributes(self) -> dict[str, AttributeValue]:
        """As attributes of the root span and of the summary."""
        return {
            name: round(value, 4) if name == semconv.PEAK_CPU else int(value)
            for name, value in self._most.items()
        }
