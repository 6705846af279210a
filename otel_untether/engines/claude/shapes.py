"""The lines of Claude Code's ``--output-format stream-json``, as far as we read them.

After the ``StdoutMessage`` union in the type declarations of ``@anthropic-ai/claude-agent-sdk``
0.3.330 and recordings of Claude Code 2.1.330. Members not named here are skipped unparsed;
all are optional, because versions differ and a missing one must not cost the rest.
"""

from msgspec import Raw, field

from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import (
    Code,
    Count,
    Dollars,
    EpochMilliseconds,
    EpochSeconds,
    Milliseconds,
    Plain,
    Seconds,
)


class TokenDetails(Plain):
    thinking_tokens: Count | None = None


class Tokens(Plain):
    """The Messages API's ``usage``: `input_tokens` leaves out what came from or went to a cache."""

    input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    output_tokens: Count | None = None
    output_tokens_details: TokenDetails | None = None


class Block(Plain):
    """A content block: text, thinking, a tool's use or its result."""

    type: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = ABSENT
    text: Raw = ABSENT
    tool_use_id: str | None = None
    content: Raw = ABSENT
    is_error: bool | None = None


class Message(Plain):
    id: str | None = None
    model: str | None = None
    content: list[Block] | str | None = None
    stop_reason: str | None = None
    usage: Tokens | None = None


class AssistantLine(Plain, tag="assistant"):
    message: Message | None = None
    parent_tool_use_id: str | None = None
    timestamp: str | None = None
    request_id: str | None = None
    error: str | None = None
    api_error_type: str | None = None
    is_api_error_message: bool | None = None


class Permission(Plain):
    decision: str | None = None


class ResultMeta(Plain):
    """What the CLI itself decided about a call; `non_execution_kind` says that it never ran."""

    id: str | None = None
    non_execution_kind: str | None = None
    permission_decision: Permission | None = None


class UserLine(Plain, tag="user"):
    message: Message | None = None
    parent_tool_use_id: str | None = None
    timestamp: str | None = None
    tool_use_result: Raw = ABSENT
    tool_result_meta: list[ResultMeta] | None = None


class ToolInput(Plain):
    """The members of tools' inputs that say how long a call may take and who does the work."""

    timeout: Milliseconds | None = None
    timeout_ms: Milliseconds | None = None
    delay_seconds: Seconds | None = field(default=None, name="delaySeconds")
    persistent: bool | None = None
    stop: bool | None = None
    run_in_background: bool | None = None
    subagent_type: str | None = None


class ToolOutcome(Plain, rename="camel"):
    """The results of Bash, Agent, Workflow, Monitor and ScheduleWakeup laid over each other."""

    status: str | None = None
    is_async: bool | None = None
    agent_id: str | None = None
    background_task_id: str | None = None
    task_id: str | None = None
    timeout_ms: Milliseconds | None = None
    stdout: Raw = ABSENT
    interrupted: bool | None = None
    timed_out_after_ms: Milliseconds | None = None
    return_code_interpretation: str | None = None
    scheduled_for: EpochMilliseconds | None = None
    total_tokens: Count | None = None
    total_tool_use_count: Count | None = None


class Delta(Plain):
    stop_reason: str | None = None


class StreamEvent(Plain):
    type: str | None = None
    message: Message | None = None
    delta: Delta | None = None
    usage: Tokens | None = None


class StreamLine(Plain, tag="stream_event"):
    event: StreamEvent | None = None
    parent_tool_use_id: str | None = None
    api_message_id: str | None = None


class ModelTotals(Plain, rename="camel"):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    thinking_tokens: Count | None = None
    cost_usd: Dollars | None = field(default=None, name="costUSD")


class Origin(Plain):
    kind: str | None = None


class ResultLine(Plain, tag="result"):
    subtype: str | None = None
    is_error: bool | None = None
    terminal_reason: str | None = None
    api_error_type: str | None = None
    total_cost_usd: Dollars | None = None
    usage: Tokens | None = None
    model_usage: dict[str, ModelTotals] | None = field(default=None, name="modelUsage")
    model_usage_since_last_result: dict[str, ModelTotals] | None = None
    origin: Origin | None = None


class ToolProgressLine(Plain, tag="tool_progress"):
    tool_use_id: str | None = None
    parent_tool_use_id: str | None = None
    elapsed_time_seconds: Seconds | None = None
    heartbeat: bool | None = None


class Limit(Plain):
    status: str | None = None
    resets_at: EpochSeconds | None = field(default=None, name="resetsAt")
    is_using_overage: bool | None = field(default=None, name="isUsingOverage")


class RateLimitLine(Plain, tag="rate_limit_event"):
    rate_limit_info: Limit | None = None


class HookInput(Plain):
    hook_event_name: str | None = None
    agent_id: str | None = None


class McpMeta(Plain):
    tool_use_id: str | None = field(default=None, name="claudecode/toolUseId")


class McpParams(Plain):
    meta: McpMeta | None = field(default=None, name="_meta")


class McpMessage(Plain):
    params: McpParams | None = None


class Request(Plain):
    subtype: str | None = None
    tool_name: str | None = None
    tool_use_id: str | None = None
    agent_id: str | None = None
    server_name: str | None = None
    message: McpMessage | None = None
    input: HookInput | None = None


class ControlRequestLine(Plain, tag="control_request"):
    request_id: str | None = None
    request: Request | None = None


class Response(Plain):
    subtype: str | None = None
    request_id: str | None = None
    response: Raw = ABSENT


class Answer(Plain):
    behavior: str | None = None


class ControlResponseLine(Plain, tag="control_response"):
    response: Response | None = None


class ControlCancelLine(Plain, tag="control_cancel_request"):
    request_id: str | None = None


class KeepAliveLine(Plain, tag="keep_alive"):
    pass


class Server(Plain):
    name: str | None = None
    status: str | None = None


class TaskUsage(Plain):
    total_tokens: Count | None = None
    tool_uses: Count | None = None


class CompactMetadata(Plain):
    trigger: str | None = None
    pre_tokens: Count | None = None
    post_tokens: Count | None = None


class SystemLine(Plain, tag="system"):
    """All subtypes laid over each other; no member means different things in two of them."""

    subtype: str | None = None
    # init
    session_id: str | None = None
    model: str | None = None
    claude_code_version: str | None = None
    tools: list[str] | None = None
    mcp_servers: list[Server] | None = None
    # status, task_notification
    status: str | None = None
    compact_result: str | None = None
    compact_metadata: CompactMetadata | None = None
    # api_retry
    attempt: Count | None = None
    max_retries: Count | None = None
    retry_delay_ms: Milliseconds | None = None
    error_status: Code | None = None
    error: str | None = None
    # task_*
    task_id: str | None = None
    task_type: str | None = None
    tool_use_id: str | None = None
    parent_task_id: str | None = None
    subagent_type: str | None = None
    is_backgrounded: bool | None = None
    spawn_depth: Count | None = None
    last_tool_name: str | None = None
    usage: TaskUsage | None = None
    summary: str | None = None
    summary_is_report: bool | None = None
    # hook_*
    hook_id: str | None = None
    hook_name: str | None = None
    outcome: str | None = None
