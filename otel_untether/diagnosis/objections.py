"""What in one sample of a process tree speaks against killing it: a code, and words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.diagnosis.facts import live_sockets
from otel_untether.diagnosis.words import count, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.proc_diag.snapshot import ProcDiag

_STATES: Final = {
    "T": ("stopped", "a process was stopped by somebody"),
    "t": ("stopped", "a process is being traced"),
    "D": ("disk_wait", "it waits for a disk, no signal would reach it"),
    "Z": ("dead", "it is dead already"),
    "X": ("dead", "it is dead already"),
}


def objections(sample: ProcDiag, config: WatchdogConfig) -> Iterator[tuple[str, str]]:
    """Yield what in one sample speaks against a wedge: a code, and words."""
    yield from hard_objections(sample)
    sockets = live_sockets(sample)
    if sockets:
        yield "connections", f"it has {count(len(sockets), 'connection')}"
    if sample.cpu_rate is not None and sample.cpu_rate >= config.cpu_idle_bound:
        yield "cpu", f"it works ({percent(sample.cpu_rate)})"


def hard_objections(sample: ProcDiag) -> Iterator[tuple[str, str]]:
    """Yield what speaks against a kill whatever the cause."""
    if unknown := [name for name, value in _needed(sample).items() if value is None]:
        yield "unknown", f"unknown: {', '.join(unknown)}"
    if sample.alive is False:
        yield "dead", "it is dead already"
    if sample.leader is not None and sample.leader.state in _STATES:
        yield _STATES[sample.leader.state]
    elif any(process.state in ("T", "t") for process in sample.processes):
        yield _STATES["T"]


def _needed(sample: ProcDiag) -> dict[str, object]:
    return {
        "whether it lives": sample.alive,
        "its state": sample.leader.state if sample.leader else None,
        "its connections": sample.sockets,
        "its CPU use": sample.cpu_rate,
    }
