"""The lines of ``qwen --output-format stream-json``, as far as we read them.

After ``packages/cli/src/nonInteractive/types.ts`` of https://github.com/QwenLM/qwen-code and
recordings of 0.24.4. They look like Claude Code's and differ in most of what matters. All
members are optional: a missing one must not cost the rest.
"""

from msgspec import Raw

from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Count, Plain


class Tokens(Plain):
    """`input_tokens` has the cached ones in it; zeros where nothing is known."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None


class Block(Plain):
    """All content blocks laid over each other."""

    type: str | None = None
    # text
    text: str | None = None
    # tool_use
    id: str | None = None
    name: str | None = None
    input: Raw = ABSENT
    # tool_result
    tool_use_id: str | None = None
    is_error: bool | None = None
    content: Raw = ABSENT


class Message(Plain):
    """`id` is another one in every line, also in those of one answer."""

    model: str | None = None
    content: list[Block] | str | None = None
    stop_reason: str | None = None
    usage: Tokens | None = None


class Spent(Plain):
    total_tokens: Count | None = None
    tool_uses: Count | None = None


class Data(Plain):
    """What ``system`` lines other than ``init`` say."""

    task_id: str | None = None
    tool_use_id: str | None = None
    subagent_type: str | None = None
    status: str | None = None
    usage: Spent | None = None


class Server(Plain):
    name: str | None = None
    status: str | None = None


class SystemLine(Plain, tag="system"):
    subtype: str | None = None
    session_id: str | None = None
    model: str | None = None
    qwen_code_version: str | None = None
    tools: list[str] | None = None
    mcp_servers: list[Server] | None = None
    data: Data | None = None


class AssistantLine(Plain, tag="assistant"):
    message: Message | None = None
    parent_tool_use_id: str | None = None


class UserLine(Plain, tag="user"):
    message: Message | None = None
    parent_tool_use_id: str | None = None


class StreamEvent(Plain):
    type: str | None = None


class StreamLine(Plain, tag="stream_event"):
    event: StreamEvent | None = None
    parent_tool_use_id: str | None = None


class Failure(Plain):
    message: str | None = None


class ResultLine(Plain, tag="result"):
    subtype: str | None = None
    is_error: bool | None = None
    usage: Tokens | None = None
    error: Failure | None = None


class Request(Plain):
    subtype: str | None = None
    tool_use_id: str | None = None


class ControlRequest(Plain, tag="control_request"):
    request_id: str | None = None
    request: Request | None = None


class Answer(Plain):
    request_id: str | None = None


class ControlResponse(Plain, tag="control_response"):
    response: Answer | None = None


class ControlCancel(Plain, tag="control_cancel_request"):
    request_id: str | None = None


class Arguments(Plain):
    """What the model gives to ``agent``."""

    subagent_type: str | None = None
