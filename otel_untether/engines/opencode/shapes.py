"""The lines of ``opencode run --format json``, as far as we read them.

After ``packages/opencode/src/cli/cmd/run.ts`` of https://github.com/sst/opencode and recordings
of 1.18.33. All members are optional: a missing one must not cost the rest.
"""

from msgspec import Raw

from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Code, Count, Dollars, EpochMilliseconds, Plain


class Period(Plain):
    start: EpochMilliseconds | None = None
    end: EpochMilliseconds | None = None


class Cached(Plain):
    read: Count | None = None
    write: Count | None = None


class Tokens(Plain):
    """`input` is without cached tokens; `output` with or without `reasoning`, as `total` tells."""

    total: Count | None = None
    input: Count | None = None
    output: Count | None = None
    reasoning: Count | None = None
    cache: Cached | None = None


class ToolState(Plain):
    status: str | None = None
    input: Raw = ABSENT
    output: Raw = ABSENT
    error: str | None = None
    metadata: Raw = ABSENT
    time: Period | None = None


class Part(Plain, rename={"message_id": "messageID", "call_id": "callID"}):
    """All parts laid over each other; no member means different things in two of them."""

    message_id: str | None = None
    # text, reasoning
    time: Period | None = None
    # tool
    tool: str | None = None
    call_id: str | None = None
    state: ToolState | None = None
    # step-finish
    reason: str | None = None
    cost: Dollars | None = None
    tokens: Tokens | None = None


class Metadata(Plain, rename={"session_id": "sessionId"}):
    """What a tool adds to its result: bash its exit code, task its subagent's session."""

    exit: Code | None = None
    session_id: str | None = None


class Arguments(Plain):
    """What the model gives to ``task``."""

    subagent_type: str | None = None


class FailureData(Plain, rename={"status_code": "statusCode"}):
    message: str | None = None
    status_code: Code | None = None


class Failure(Plain):
    name: str | None = None
    data: FailureData | None = None


class Printed(Plain, rename={"session_id": "sessionID"}):
    """What all lines have in common."""

    timestamp: EpochMilliseconds | None = None
    session_id: str | None = None
    part: Part | None = None


class StepStart(Printed, tag="step_start"):
    pass


class Text(Printed, tag="text"):
    pass


class Reasoning(Printed, tag="reasoning"):
    pass


class ToolUse(Printed, tag="tool_use"):
    pass


class StepFinish(Printed, tag="step_finish"):
    pass


class ErrorLine(Printed, tag="error"):
    error: Failure | None = None
