"""The lines of ``codex exec --json``, as far as we read them.

After ``codex-rs/exec/src/exec_events.rs`` of https://github.com/openai/codex and recordings of
codex-cli 0.169.0. All members are optional: a missing one must not cost the rest.
"""

from msgspec import Raw

from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Code, Count, Plain


class Tokens(Plain):
    input_tokens: Count | None = None
    cached_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    output_tokens: Count | None = None
    reasoning_output_tokens: Count | None = None


class Failure(Plain):
    message: str | None = None


class AgentState(Plain):
    status: str | None = None


class Item(Plain):
    """All item types laid over each other; no member means different things in two of them.

    A ``web_search`` item has two members named ``id``; of such the last counts.
    """

    id: str | None = None
    type: str | None = None
    status: str | None = None
    # command_execution
    command: Raw = ABSENT
    aggregated_output: Raw = ABSENT
    exit_code: Code | None = None
    # mcp_tool_call, collab_tool_call
    server: str | None = None
    tool: str | None = None
    arguments: Raw = ABSENT
    result: Raw = ABSENT
    error: Failure | None = None
    sender_thread_id: str | None = None
    receiver_thread_ids: list[str] | None = None
    agents_states: dict[str, AgentState] | None = None
    # collab_tool_call, file_change, web_search
    prompt: Raw = ABSENT
    changes: Raw = ABSENT
    query: Raw = ABSENT


class ThreadStarted(Plain, tag="thread.started"):
    thread_id: str | None = None


class TurnStartedLine(Plain, tag="turn.started"):
    pass


class TurnCompleted(Plain, tag="turn.completed"):
    usage: Tokens | None = None


class TurnFailed(Plain, tag="turn.failed"):
    error: Failure | None = None


class ItemStarted(Plain, tag="item.started"):
    item: Item | None = None


class ItemUpdated(Plain, tag="item.updated"):
    item: Item | None = None


class ItemCompleted(Plain, tag="item.completed"):
    item: Item | None = None


class RequestUserInput(Plain, tag="request_user_input"):
    """A question to whoever started the turn; `call_id` is the model's call that asks."""

    id: str | None = None
    call_id: str | None = None


class ErrorLine(Plain, tag="error"):
    message: str | None = None
