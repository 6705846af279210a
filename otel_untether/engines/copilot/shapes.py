"""The lines of ``copilot -p --output-format json``, as far as we read them.

After recordings of 1.0.102 and the events of ``@github/copilot-sdk``. All members are optional:
a missing one must not cost the rest.
"""

from msgspec import Raw

from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Code, Count, Plain


class Failure(Plain):
    message: str | None = None
    code: str | None = None


class Server(Plain):
    name: str | None = None
    status: str | None = None


class Shell(Plain, rename="camel"):
    exit_code: Code | None = None


class Telemetry(Plain):
    properties: Raw = ABSENT


class Data(Plain, rename="camel"):
    """The data of all lines laid over each other; no member means different things in two.

    `parent_tool_call_id` is the call whose subagent the line is about.
    """

    parent_tool_call_id: str | None = None
    model: str | None = None
    message: str | None = None
    reason: str | None = None
    # assistant.message and its deltas
    message_id: str | None = None
    # model.call_failure
    status_code: Code | None = None
    failure_kind: str | None = None
    error_message: str | None = None
    # tool.execution_*
    tool_call_id: str | None = None
    tool_name: str | None = None
    mcp_server_name: str | None = None
    mcp_tool_name: str | None = None
    arguments: Raw = ABSENT
    success: bool | None = None
    result: Raw = ABSENT
    error: Failure | str | None = None
    shell_execution: Shell | None = None
    tool_telemetry: Telemetry | None = None
    # subagent.*
    agent_name: str | None = None
    execution_mode: str | None = None
    total_tool_calls: Count | None = None
    total_tokens: Count | None = None
    # session.*
    session_id: str | None = None
    copilot_version: str | None = None
    selected_model: str | None = None
    servers: list[Server] | None = None
    pre_compaction_tokens: Count | None = None
    post_compaction_tokens: Count | None = None
    # permission.*
    request_id: str | None = None


class Line(Plain, rename="camel"):
    """What all lines have in common; `agent_id` names the subagent that is at work."""

    data: Data | None = None
    timestamp: str | None = None
    agent_id: str | None = None


class SessionStart(Line, tag="session.start"):
    pass


class ServersLoaded(Line, tag="session.mcp_servers_loaded"):
    pass


class UserMessage(Line, tag="user.message"):
    pass


class CallStart(Line, tag="model.call_start"):
    pass


class CallFailure(Line, tag="model.call_failure"):
    pass


class TurnRetry(Line, tag="assistant.turn_retry"):
    pass


class MessageStart(Line, tag="assistant.message_start"):
    pass


class MessageDelta(Line, tag="assistant.message_delta"):
    pass


class AssistantMessage(Line, tag="assistant.message"):
    pass


class ToolStart(Line, tag="tool.execution_start"):
    pass


class PartialResult(Line, tag="tool.execution_partial_result"):
    pass


class ToolComplete(Line, tag="tool.execution_complete"):
    pass


class SubagentStarted(Line, tag="subagent.started"):
    pass


class SubagentCompleted(Line, tag="subagent.completed"):
    pass


class SubagentFailed(Line, tag="subagent.failed"):
    pass


class PermissionRequested(Line, tag="permission.requested"):
    pass


class PermissionCompleted(Line, tag="permission.completed"):
    pass


class CompactionStart(Line, tag="session.compaction_start"):
    pass


class CompactionComplete(Line, tag="session.compaction_complete"):
    pass


class SessionError(Line, tag="session.error"):
    pass


class Abort(Line, tag="abort"):
    pass


class Result(Line, tag="result"):
    """The last line, and the only one that names the session."""

    session_id: str | None = None
    exit_code: Code | None = None


class Arguments(Plain):
    """What the model gives to ``task``."""

    agent_type: str | None = None


class Properties(Plain):
    execution_mode: str | None = None
