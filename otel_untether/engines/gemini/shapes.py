"""The lines of ``gemini --output-format stream-json``, as far as we read them.

After ``packages/core/src/output/types.ts`` of https://github.com/google-gemini/gemini-cli and
recordings of 0.61.0. All members are optional: a missing one must not cost the rest.
"""

from msgspec import Raw

from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Count, Plain


class Printed(Plain):
    """What all lines have in common."""

    timestamp: str | None = None


class Init(Printed, tag="init"):
    session_id: str | None = None
    model: str | None = None


class Message(Printed, tag="message"):
    """A prompt, or the next words of an answer."""

    role: str | None = None


class ToolUse(Printed, tag="tool_use"):
    tool_name: str | None = None
    tool_id: str | None = None
    parameters: Raw = ABSENT


class Failure(Plain):
    type: str | None = None
    message: str | None = None


class ToolResult(Printed, tag="tool_result"):
    tool_id: str | None = None
    status: str | None = None
    output: Raw = ABSENT
    error: Failure | None = None


class ErrorLine(Printed, tag="error"):
    """A warning, or an error that may yet be survived: the ``result`` tells."""

    severity: str | None = None


class Stats(Plain):
    """Of the whole process, subagents included; `input_tokens` has the cached ones in it."""

    total_tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cached: Count | None = None


class Result(Printed, tag="result"):
    status: str | None = None
    error: Failure | None = None
    stats: Stats | None = None


class Arguments(Plain):
    """What the model gives to ``invoke_agent``."""

    agent_name: str | None = None
