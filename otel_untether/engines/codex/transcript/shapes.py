"""The entries of a Codex rollout, as far as we read them.

After rollouts of codex-cli 0.169.0 and ``codex-rs/protocol`` of https://github.com/openai/codex.
All members are optional: a missing one must not cost the rest.
"""

from __future__ import annotations

from msgspec import Raw

from otel_untether.engines.codex.shapes import AgentState, Failure, Tokens
from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Code, EpochMilliseconds, Plain


class Item(Plain):
    """What was done, once it is over; all kinds laid over each other."""

    type: str | None = None
    id: str | None = None
    status: str | None = None
    exit_code: Code | None = None
    tool: str | None = None
    server: str | None = None
    error: Failure | None = None
    receiver_thread_ids: list[str] | None = None
    agents_states: dict[str, AgentState] | None = None


class Totals(Plain):
    """Of the thread so far, what it was forked from included, and of its last request."""

    total_token_usage: Tokens | None = None
    last_token_usage: Tokens | None = None


class Spawned(Plain):
    agent_role: str | None = None
    depth: Code | None = None


class Subagent(Plain):
    thread_spawn: Spawned | None = None


class Source(Plain):
    subagent: Subagent | str | None = None


class Payload(Plain):
    """All payloads laid over each other."""

    type: str | None = None
    # session_meta
    id: str | None = None
    parent_thread_id: str | None = None
    forked_from_id: str | None = None
    cli_version: str | None = None
    source: Source | str | None = None
    # turn_context
    model: str | None = None
    # response_item
    role: str | None = None
    name: str | None = None
    namespace: str | None = None
    call_id: str | None = None
    arguments: Raw = ABSENT
    input: Raw = ABSENT
    output: Raw = ABSENT
    # event_msg
    item: Item | None = None
    started_at_ms: EpochMilliseconds | None = None
    completed_at_ms: EpochMilliseconds | None = None
    info: Totals | None = None
    message: str | None = None
    reason: str | None = None
    # token_usage_record
    response_id: str | None = None
    usage: Tokens | None = None


class Entry(Plain):
    timestamp: str | None = None
    type: str | None = None
    payload: Payload | None = None
