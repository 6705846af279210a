"""The run's folder as the monitor's desk: journal, samples, dumps; and the way out."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether import proc_diag
from otel_untether.notice import notice
from otel_untether.session.redaction import redact
from otel_untether.stall import describe
from otel_untether.store import run_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otel_untether.export.providers import Telemetry
    from otel_untether.kill.killer import KillReport
    from otel_untether.proc_diag import ProcDiag, Tree
    from otel_untether.session.activity import AttributeValue
    from otel_untether.session.state import SessionState
    from otel_untether.stall import Finding
    from otel_untether.watching.meters import Meters

_FLUSH_MS: Final = 1_000
# Of one silence; an agent that is silent for days looks the same in each.
_DUMPS: Final = 10
_log: Final = logging.getLogger("otel_untether")


class RunDesk:
    """Writes what a finding is about into the folder of a run, `path`, None without one.

    Nothing here raises but `record`: a kill that could not be recorded must not happen.
    """

    def __init__(self, path: Path | None, telemetry: Telemetry, state: SessionState) -> None:
        self.meters: Meters | None = None
        self._path = path
        self._telemetry = telemetry
        self._state = state
        self._samples = _open(path / run_folder.SAMPLES) if path is not None else None

    def record(self, event: str, facts: Mapping[str, AttributeValue]) -> None:
        """Write an event to the journal and onto the disk; raise OSError where that fails."""
        journal = self._telemetry.journal
        if journal is not None and not journal.record(event, **facts):
            raise OSError(f"{self._path}: the journal cannot be written")

    def sampled(self, diag: ProcDiag, now: int) -> None:
        """Append one line to the run's samples, which `report` draws."""
        if self._samples is None:
            return
        line = {
            "t": now,
            "cpu": diag.cpu_rate,
            "rss": diag.rss,
            "tcp": None if diag.sockets is None else len(diag.sockets),
            "output": self._state.output,
        }
        with contextlib.suppress(OSError):
            os.write(self._samples, msgspec.json.encode(line) + b"\n")

    def keep(self, finding: Finding, tree: Tree) -> None:
        """Dump what there is to see: last events, the tail of stderr, the tree, its sockets."""
        if self._path is None or finding.number > _DUMPS:
            return
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            path = self._path / run_folder.stall_dump(finding.at)
            path.write_bytes(msgspec.json.format(_dump(finding, tree, self._state)))
            path.chmod(0o600)

    def found(self, finding: Finding) -> None:
        """Count a finding."""
        if self.meters is not None:
            self.meters.found(finding)

    def killed(self, cause: str, report: KillReport) -> None:
        """Count what became of a kill."""
        if self.meters is not None:
            self.meters.killed(cause, report)

    def flush(self) -> None:
        """Have spans, log records and metrics leave now, as far as a collector takes them.

        The SDK's flush may outlast its own timeout many times over against a dead collector,
        and a kill waits for this: it is left behind when its time is up.
        """
        thread = threading.Thread(target=self._flush, name="otel-untether-flush", daemon=True)
        thread.start()
        thread.join(_FLUSH_MS / 1000)

    def _flush(self) -> None:
        for provider in (self._telemetry.tracer_provider, self._telemetry.logger_provider):
            flush: Any = getattr(provider, "force_flush", None)
            if flush is not None:
                with contextlib.suppress(Exception):
                    flush(_FLUSH_MS)
        if self.meters is not None:
            with contextlib.suppress(Exception):
                self.meters.flush()

    def say(self, line: str) -> None:
        """Tell the operator, in one line on stderr."""
        notice(line)

    def close(self) -> None:
        """Close the run's samples."""
        if self._samples is not None:
            os.close(self._samples)
            self._samples = None


class LogDesk:
    """The desk of a host program: findings go to Python's logging, and nothing to disk."""

    def record(self, event: str, facts: Mapping[str, AttributeValue]) -> None:
        """Log an event; what it says in full is in the trace."""
        _log.debug("%s %s", event, dict(facts))

    def keep(self, finding: Finding, tree: Tree) -> None:
        """Keep nothing: where to is the host's business."""

    def sampled(self, diag: ProcDiag, now: int) -> None:
        """Keep nothing."""

    def found(self, finding: Finding) -> None:
        """Count nothing."""

    def killed(self, cause: str, report: KillReport) -> None:
        """Count nothing."""

    def flush(self) -> None:
        """Leave it to the host's own exporters."""

    def say(self, line: str) -> None:
        """Warn."""
        _log.warning("%s", line)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def _dump(finding: Finding, tree: Tree, state: SessionState) -> bytes:
    return msgspec.json.encode(
        {
            "finding": describe(finding),
            "cause": finding.cause,
            "evidence": finding.evidence,
            "attributes": finding.attributes,
            "open_tools": [tool.name for tool in state.open.values()],
            "subagents": [agent.name for agent in state.subagents],
            "waits": [wait.kind for wait in state.waits.values()],
            "last_events": list(state.recent),
            "stderr_tail": [redact(line) for line in state.stderr_tail],
            "tree": proc_diag.dump(tree),
        }
    )
