"""The operator's lines: on stderr where the process is ours, else in Python's logging."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.watching.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_untether.kill.killer import KillReport
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.summary import Summary
    from otel_untether.stall import Finding

_log: Final = logging.getLogger("otel_untether")
_NAMED: Final = 5  # of those left behind


def warn(line: str) -> None:
    """Say a line in Python's logging, as the logger `otel_untether`."""
    _log.warning("%s", line)


class Operator(Listener):
    """Says what is found in one line each, by `say`, and where more lies, which `dump_of` tells."""

    def __init__(
        self,
        say: Callable[[str], object],
        dump_of: Callable[[Finding], Path | None] = lambda _finding: None,
    ) -> None:
        self._say = say
        self._dump_of = dump_of

    def found(self, finding: Finding) -> None:
        """Say what was found, and the first time where there is more."""
        from otel_untether.watching.judge import describe  # noqa: PLC0415  who found it is there

        line, dump = describe(finding), self._dump_of(finding)
        more = (*finding.leads, *((f"dump: {dump}",) if dump else ()))
        first = finding.kind == "stall" and finding.number == 1
        self._say(f"{line} ({'; '.join(more)})" if first and more else line)

    def killed(self, cause: str, report: KillReport) -> None:
        """Say why nothing was killed, or who is still there."""
        del cause
        if report.refused is not None:
            self._say(f"not killed: {report.refused}")
        for survivor in report.survivors:
            self._say(f"survived the kill: process {survivor.pid} ({survivor.name})")

    def ended(self, outcome: Outcome, summary: Summary, at: int) -> None:
        """Say who outlived the agent."""
        del outcome, at
        left = summary.extra.get(semconv.LEFT_BEHIND)
        if isinstance(left, tuple):
            more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            self._say(f"left behind by the agent: {', '.join(left[:_NAMED])}{more}")
