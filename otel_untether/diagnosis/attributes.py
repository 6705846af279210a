"""The facts behind a finding, as attributes for telemetry: numbers and names, no content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_untether import semconv
from otel_untether.diagnosis.advice import action, runbook

if TYPE_CHECKING:
    from otel_untether.diagnosis.facts import Facts
    from otel_untether.session.activity import AttributeValue


def attributes(facts: Facts, cause: str) -> dict[str, AttributeValue]:
    """Return what is known; what is not known is left out. `cause` is that of the silence."""
    values = {
        semconv.STALL_THRESHOLD: facts.clock.name,
        semconv.STALL_THRESHOLD_S: facts.clock.seconds,
        semconv.STALL_ADVICE: action(cause),
        semconv.STALL_RUNBOOK: runbook(cause, facts.config.runbooks),
        **_session(facts),
        **_tree(facts),
    }
    return {name: value for name, value in values.items() if value is not None}


def _session(facts: Facts) -> dict[str, AttributeValue | None]:
    last = facts.state.recent[-1] if facts.state.recent else None
    calls = (*facts.tools, *facts.subagents)
    return {
        semconv.STALL_LAST_EVENT: last.type if last else None,
        semconv.STALL_LAST_TOOL: last.tool if last else None,
        semconv.ENGINE_VERSION: facts.state.version,
        semconv.STALL_REQUEST_ID: facts.state.request_id,
        semconv.STALL_OPEN_CALLS: tuple(call.name for call in calls),
        semconv.STALL_PROGRESS: round(facts.quiet, 3),
    }


def _tree(facts: Facts) -> dict[str, AttributeValue | None]:
    agent, newest, model = facts.agent, facts.newest, facts.model
    return {
        semconv.STALL_ALIVE: facts.alive,
        semconv.STALL_PID: agent.identity.pid if agent else None,
        semconv.STALL_STATE: agent.state if agent else None,
        semconv.STALL_WCHAN: agent.wchan if agent else None,
        semconv.STALL_CPU: facts.cpu,
        semconv.STALL_CONNECTIONS: None if facts.sockets is None else len(facts.sockets),
        semconv.STALL_PEER: model.remote if model else None,
        semconv.STALL_RECEIVE_AGE: facts.receive_age,
        semconv.STALL_CHILDREN: len(facts.children) if newest else None,
        semconv.STALL_TRANSCRIPT_AGE: facts.transcript_age,
        semconv.STALL_CHILD_NAMES: tuple(child.name or "?" for child in facts.children[:10]),
    }
