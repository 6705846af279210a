"""The messages of the Agent Client Protocol, as far as we read them.

After schema v1.19.0 of https://github.com/agentclientprotocol/agent-client-protocol and sessions
of Gemini CLI 0.61.0, OpenCode 1.18.33 and claude-agent-acp. All members are optional: a missing
one must not cost the rest. Whatever an update or an answer may hold is laid over each other.
"""

from msgspec import Raw

from otel_untether.engines.parsing.json_rpc import RpcMessage
from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Code, Count, Dollars, Plain


class Implementation(Plain):
    name: str | None = None
    version: str | None = None


class Cost(Plain):
    """Of the whole session so far."""

    amount: Dollars | None = None
    currency: str | None = None


class Tokens(Plain, rename="camel"):
    """Of a prompt. Whether cached tokens are part of the input, only the total can tell."""

    total_tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cached_read_tokens: Count | None = None
    cached_write_tokens: Count | None = None
    thought_tokens: Count | None = None


class ClaudeExtras(Plain, rename="camel"):
    """What the adapter of Claude Code adds to a call."""

    tool_name: str | None = None
    parent_tool_use_id: str | None = None
    non_execution_kind: str | None = None


class CopilotExtras(Plain, rename="camel"):
    """What Copilot CLI adds to a call that a subagent made: which one."""

    agent_id: str | None = None


class BackgroundTask(Plain, rename="camel"):
    """Of Qwen Code: a subagent that works in the background, and how it stands."""

    task_id: str | None = None
    tool_use_id: str | None = None
    status: str | None = None
    turn_complete: bool | None = None


class Meta(Plain, rename={
    "claude_code": "claudeCode", "copilot": "github.com/copilot", "tool_name": "toolName",
    "background_task": "backgroundTask", "parent_tool_call_id": "parentToolCallId",
}):  # fmt: skip
    """What agents add; `usage` is of the answer that is over, as Qwen Code tells it."""

    claude_code: ClaudeExtras | None = None
    copilot: CopilotExtras | None = None
    tool_name: str | None = None
    parent_tool_call_id: str | None = None
    usage: Tokens | None = None
    source: str | None = None
    background_task: BackgroundTask | None = None


class Update(Plain, rename={
    "session_update": "sessionUpdate", "tool_call_id": "toolCallId", "raw_input": "rawInput",
    "raw_output": "rawOutput", "current_model_id": "currentModelId", "meta": "_meta",
    "message_id": "messageId",
}):  # fmt: skip
    """Any ``session/update``, and the call that a permission is asked for."""

    session_update: str | None = None
    # agent_message_chunk
    message_id: str | None = None
    content: Raw = ABSENT
    # tool_call, tool_call_update
    tool_call_id: str | None = None
    name: str | None = None
    title: str | None = None
    kind: str | None = None
    status: str | None = None
    raw_input: Raw = ABSENT
    raw_output: Raw = ABSENT
    meta: Meta | None = None
    # usage_update
    cost: Cost | None = None
    # current_model_update
    current_model_id: str | None = None


class Option(Plain, rename="camel"):
    """One of the answers to a request for permission; `kind` as in ``reject_once``."""

    option_id: str | None = None
    kind: str | None = None


class Params(Plain, rename="camel"):
    session_id: str | None = None
    turn_id: str | None = None
    reason: str | None = None
    update: Update | None = None
    tool_call: Update | None = None
    options: list[Option] | None = None


class QuotaTokens(Plain):
    input_tokens: Count | None = None
    output_tokens: Count | None = None


class Quota(Plain):
    token_count: QuotaTokens | None = None


class ResultMeta(Plain):
    """Where Gemini CLI says what a prompt took."""

    quota: Quota | None = None


class Models(Plain, rename="camel"):
    current_model_id: str | None = None


class ConfigOption(Plain, rename="camel"):
    id: str | None = None
    current_value: Raw = ABSENT


class Outcome(Plain, rename="camel"):
    """How a person answered: ``selected`` one of the options, or ``cancelled``."""

    outcome: str | None = None
    option_id: str | None = None


class Result(Plain, rename={
    "session_id": "sessionId", "stop_reason": "stopReason", "agent_info": "agentInfo",
    "protocol_version": "protocolVersion", "config_options": "configOptions", "meta": "_meta",
}):  # fmt: skip
    """Any answer of either side."""

    protocol_version: Code | None = None
    agent_info: Implementation | None = None
    session_id: str | None = None
    models: Models | None = None
    config_options: list[ConfigOption] | None = None
    stop_reason: str | None = None
    usage: Tokens | None = None
    meta: ResultMeta | None = None
    outcome: Outcome | None = None
    action: str | None = None


class Failure(Plain):
    code: Code | None = None
    message: str | None = None


class Message(RpcMessage):
    """A request has a method and an id, a notice no id, an answer no method."""

    params: Params | None = None
    result: Result | None = None
    error: Failure | None = None


class Exited(Plain):
    exit: Code | None = None


class ShellExit(Plain, rename="camel"):
    exit_code: Code | None = None


class RawOutput(Plain, rename={"exited": "exitCode", "execution_mode": "executionMode"}):
    """What a call's result tells: of a shell how it ended, of a subagent how it works.

    Codex says the first at once, OpenCode in `metadata`, Copilot CLI in `contents`, Qwen Code
    under the other spelling, and the second, too.
    """

    exit_code: Code | None = None
    exited: Code | None = None
    metadata: Exited | None = None
    contents: list[ShellExit] | None = None
    execution_mode: str | None = None


class RawInput(Plain):
    """What the model gives to a tool that starts a subagent."""

    subagent_type: str | None = None
    agent_name: str | None = None
    agent_type: str | None = None
    mode: str | None = None
