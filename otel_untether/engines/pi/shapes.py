"""The lines of ``pi -p --mode json`` and ``--mode rpc``, as far as we read them.

After ``docs/json.md`` of the package and recordings of 0.87.1. All members are optional: a
missing one must not cost the rest.
"""

from msgspec import Raw

from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Count, Dollars, Milliseconds, Plain


class Cost(Plain):
    total: Dollars | None = None


class Tokens(Plain, rename="camel"):
    """`input` is without cached tokens, `output` with reasoning; zeros while nothing is known."""

    input: Count | None = None
    output: Count | None = None
    cache_read: Count | None = None
    cache_write: Count | None = None
    reasoning: Count | None = None
    cost: Cost | None = None


class Message(Plain, rename="camel"):
    role: str | None = None
    model: str | None = None
    usage: Tokens | None = None
    stop_reason: str | None = None
    error_message: str | None = None


class Session(Plain, tag="session"):
    id: str | None = None
    timestamp: str | None = None


class AgentStart(Plain, tag="agent_start"):
    pass


class TurnStart(Plain, tag="turn_start"):
    """A request to the model; what others call a turn is `AgentStart` to `AgentEnd`."""


class MessageStart(Plain, tag="message_start"):
    message: Message | None = None


class MessageUpdate(Plain, tag="message_update"):
    """The next piece of an answer; older versions repeat the whole answer, which is not read."""


class MessageEnd(Plain, tag="message_end"):
    message: Message | None = None


class ToolStart(Plain, tag="tool_execution_start", rename="camel"):
    tool_call_id: str | None = None
    tool_name: str | None = None
    args: Raw = ABSENT


class ToolUpdate(Plain, tag="tool_execution_update", rename="camel"):
    tool_call_id: str | None = None


class ToolEnd(Plain, tag="tool_execution_end", rename="camel"):
    tool_call_id: str | None = None
    tool_name: str | None = None
    result: Raw = ABSENT
    is_error: bool | None = None


class AgentEnd(Plain, tag="agent_end", rename="camel"):
    """`messages` has the system prompt in it: but for the last one nothing of it is read."""

    messages: list[Raw] | None = None
    will_retry: bool | None = None


class RetryStart(Plain, tag="auto_retry_start", rename="camel"):
    attempt: Count | None = None
    max_attempts: Count | None = None
    delay_ms: Milliseconds | None = None
    error_message: str | None = None


class CompactionStart(Plain, tag="compaction_start"):
    reason: str | None = None


class Compacted(Plain, rename="camel"):
    tokens_before: Count | None = None


class CompactionEnd(Plain, tag="compaction_end", rename="camel"):
    reason: str | None = None
    result: Compacted | None = None
    aborted: bool | None = None
    error_message: str | None = None
