"""What Untether says of its agents: how it counts their runs, and what its own watchdog logs.

Untether logs each verdict as a structlog event, whose names are steadier than its functions: all
of `VERDICTS` that a version has mean the same in it. The events pass us on their way, unchanged.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import SeverityNumber

from otel_untether import semconv
from otel_untether.engines.parsing.names import name as fit
from otel_untether.instrumentors.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from opentelemetry.util.types import AttributeValue

    from otel_untether.instrumentors.agent import HostedAgent

# An event, since which version it is there, and whether it says that the agent stalls.
VERDICTS: Final[dict[str, tuple[str, bool]]] = {
    "progress_edits.stall_detected": ("0.34.0", True),
    "progress_edits.stall_recovered": ("0.34.0", False),
    "progress_edits.stall_auto_cancel": ("0.34.4", True),
    "progress_edits.frozen_ring_escalation": ("0.35.4", True),
    "progress_edits.mcp_tool_hung": ("0.35.4", True),
    "progress_edits.stuck_after_tool_result": ("0.35.4", True),
    "progress_edits.cancel_escalated": ("0.35.4", False),
    "subprocess.liveness_stall": ("0.34.0", True),
    "subprocess.liveness_kill": ("0.34.0", True),
    "subprocess.approval_pending": ("0.35.4", False),
    "subprocess.died_without_completion": ("0.34.0", False),
    "subprocess.killed_orphan_group": ("0.34.0", False),
    "subprocess.orphans_reaped": ("0.35.4", False),
    "runner.limbo_detected": ("0.35.4", False),
    "runner.empty_result": ("0.35.4", False),
    "session.quarantined": ("0.35.4", False),
    "control_request.unanswerable": ("0.36.0", False),
}


class Verdicts:
    """Follows the agents of this program, and notes in their sessions what is said of them."""

    def __init__(self) -> None:
        self._agents: dict[int, HostedAgent] = {}

    def follow(self, agent: HostedAgent) -> None:
        """Note that an agent runs; those that ended are forgotten."""
        self._agents = {pid: one for pid, one in self._agents.items() if not one.ended}
        self._agents[agent.pid] = agent

    def tap(self) -> None:
        """Stand first among structlog's processors, whoever has set them up."""
        processors = _processors()
        if self.process not in processors:
            processors.insert(0, self.process)

    def untap(self) -> None:
        """Leave structlog as it was."""
        with harmless("Untether's logging is left"):
            if self.process in (processors := _processors()):
                processors.remove(self.process)

    def process(
        self, _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Hear an event of its log, as one of structlog's processors; return it as it came."""
        with harmless("a verdict of Untether"):
            name = event.get("event")
            if isinstance(name, str) and name in VERDICTS:
                self._said(name, event)
        return event

    def completed(self, *, pid: int, event: Any, source: str | None = None, **_: object) -> None:
        """Hear that it counts a run as completed, or as failed.

        :param pid: of the agent.
        :param event: its ``CompletedEvent``.
        :param source: whence it has that; None where the agent said so.
        """
        agent = self._agents.get(pid)
        if agent is None or event.ok or source is None:
            return
        _failed(agent, fit(source))

    def _said(self, name: str, event: MutableMapping[str, Any]) -> None:
        agent = self._agent(event)
        if agent is None:
            return
        facts: dict[str, AttributeValue] = {semconv.HOST_VERDICT: name}
        if isinstance(reason := event.get("reason"), str):
            facts[semconv.HOST_REASON] = fit(reason)
        _, stalls = VERDICTS[name]
        if stalls:
            silence = agent.session.silence
            facts[semconv.HOST_AGREES] = silence is not None and silence.stalled
        severity = SeverityNumber.WARN if stalls else SeverityNumber.INFO
        agent.note(semconv.EVENT_HOST_VERDICT, facts, severity)

    def _agent(self, event: MutableMapping[str, Any]) -> HostedAgent | None:
        """Return whom an event is about: by process, by session, or as there is only one."""
        for key in ("pid", "pgid"):
            if event.get(key) in self._agents:
                return self._agents[event[key]]
        live = [agent for agent in self._agents.values() if not agent.ended]
        session = event.get("session_id") or bound("session_id")
        named = [agent for agent in live if session and agent.session.state.session_id == session]
        return next(iter(named or live)) if len(named or live) == 1 else None


def broken_off(agent: HostedAgent | None, error: BaseException) -> None:
    """Note that a run is broken off, by the program or by a fault of its own.

    Of a fault its class is told, never its words.
    """
    if agent is None:
        return
    if isinstance(error, asyncio.CancelledError):
        agent.note(semconv.EVENT_HOST_INTERRUPT, {})
    else:
        _failed(agent, fit(type(error).__qualname__))


def _failed(agent: HostedAgent, why: str) -> None:
    agent.session.state.host_error = why
    agent.note(semconv.EVENT_HOST_ERROR, {semconv.HOST_ERROR: why}, SeverityNumber.ERROR)


def bound(name: str) -> Any:
    """Return what Untether has bound to its log by a name where this runs, None for nothing."""
    return _structlog().contextvars.get_contextvars().get(name)


def _processors() -> list[Any]:
    found = _structlog().get_config()["processors"]
    return found if isinstance(found, list) else []


def _structlog() -> Any:
    return import_module("structlog")  # Untether's own, which we do not depend on
