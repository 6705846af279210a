"""The messages of ``codex app-server``, as far as we read them.

After the models that openai-codex 0.163.0 was generated with, and sessions of codex-cli 0.169.0.
All members are optional: a missing one must not cost the rest. Whatever parameters or an answer
may hold is laid over each other.
"""

from msgspec import Raw

from otel_untether.engines.codex.shapes import AgentState, Failure
from otel_untether.engines.parsing.json_rpc import RpcMessage
from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Code, Count, Plain


class Tokens(Plain, rename="camel"):
    """As the Responses API counts: cached ones are part of the input."""

    input_tokens: Count | None = None
    cached_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    output_tokens: Count | None = None
    reasoning_output_tokens: Count | None = None


class TokenUsage(Plain):
    """`last` is of the last request; there is a total of the thread as well."""

    last: Tokens | None = None


class AppItem(Plain, rename="camel"):
    """All item types laid over each other, as `shapes.Item` has those of ``codex exec``."""

    id: str | None = None
    type: str | None = None
    status: str | None = None
    command: Raw = ABSENT
    aggregated_output: Raw = ABSENT
    exit_code: Code | None = None
    server: str | None = None
    tool: str | None = None
    arguments: Raw = ABSENT
    result: Raw = ABSENT
    error: Failure | None = None
    sender_thread_id: str | None = None
    receiver_thread_ids: list[str] | None = None
    agents_states: dict[str, AgentState] | None = None
    prompt: Raw = ABSENT
    changes: Raw = ABSENT
    query: Raw = ABSENT


class Turn(Plain):
    """A turn; `error` is why it failed."""

    status: str | None = None
    error: Failure | None = None


class Thread(Plain, rename="camel"):
    """A conversation; that of a subagent has a parent."""

    id: str | None = None
    parent_thread_id: str | None = None


class Params(Plain, rename="camel"):
    """Of a request or a notification."""

    thread: Thread | None = None
    thread_id: str | None = None
    item_id: str | None = None
    item: AppItem | None = None
    turn: Turn | None = None
    token_usage: TokenUsage | None = None
    error: Failure | None = None
    will_retry: bool | None = None
    started_at_ms: Count | None = None
    completed_at_ms: Count | None = None


class Result(Plain, rename="camel"):
    """An answer of the server, or of the client."""

    user_agent: str | None = None
    thread: Thread | None = None
    model: str | None = None
    decision: str | None = None


class Message(RpcMessage):
    """A request, a notification or an answer: which, `id` and `method` tell."""

    params: Params | None = None
    result: Result | None = None
    error: Failure | None = None
