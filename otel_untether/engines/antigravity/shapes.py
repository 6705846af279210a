"""The lines of ``agy -p --output-format stream-json``, as far as we read them.

After sessions of agy 1.1 and 1.2 that others published. All members are optional: a missing one
must not cost the rest.
"""

from msgspec import Raw

from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Count, Plain, Seconds


class Tokens(Plain):
    """`output_tokens` has the thinking ones in it, `input_tokens` the cached ones."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    thinking_tokens: Count | None = None
    cache_read_tokens: Count | None = None


class Failure(Plain):
    message: str | None = None


class ToolInfo(Plain):
    name: str | None = None
    parameters: Raw = ABSENT
    output: Raw = ABSENT
    error: Failure | None = None


class Subagent(Plain):
    type_name: str | None = None


class SubagentInfo(Plain):
    subagents: list[Subagent] | None = None


class Step(Plain):
    """One of a conversation's steps, told again whenever its state changes."""

    step_index: Count | None = None
    state: str | None = None
    step_type: str | None = None
    tool_name: str | None = None
    tool_info: ToolInfo | None = None
    subagent_info: SubagentInfo | None = None
    duration_seconds: Seconds | None = None
    usage: Tokens | None = None


class Opening(Plain):
    model: str | None = None
    tools: list[str] | None = None


class Ending(Plain):
    status: str | None = None
    error: str | None = None
    usage: Tokens | None = None


class InitLine(Plain, tag_field="event", tag="init"):
    conversation_id: str | None = None
    init: Opening | None = None


class StepLine(Plain, tag_field="event", tag="step_update"):
    step_update: Step | None = None


class ResultLine(Plain, tag_field="event", tag="result"):
    result: Ending | None = None
