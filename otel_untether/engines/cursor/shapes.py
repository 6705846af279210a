"""The lines of ``cursor-agent -p --output-format stream-json``, as far as we read them.

After https://cursor.com/docs/cli/reference/output-format and sessions that others published.
All members are optional: a missing one must not cost the rest.
"""

from msgspec import Raw

from otel_untether.engines.parsing.salvage import ABSENT
from otel_untether.engines.parsing.values import Code, Count, EpochMilliseconds, Plain


class Tokens(Plain, rename="camel"):
    """Of the whole turn; `input_tokens` is without cached ones."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class Stamped(Plain):
    timestamp_ms: EpochMilliseconds | None = None


class SystemLine(Stamped, tag="system"):
    subtype: str | None = None
    session_id: str | None = None
    model: str | None = None


class UserLine(Stamped, tag="user"):
    pass


class ThinkingLine(Stamped, tag="thinking"):
    pass


class AssistantLine(Stamped, tag="assistant"):
    pass


class Call(Plain):
    """A call of any kind; `result` has one member for how it went, such as ``error``.

    One of no kind of its own has a `name` and `arguments`.
    """

    name: str | None = None
    arguments: Raw = ABSENT
    args: Raw = ABSENT
    result: Raw = ABSENT


class ToolLine(Stamped, tag="tool_call"):
    """`tool_call` has one member that is named after its kind, as ``shellToolCall`` is.

    Of tools of no kind of their own it is ``function``. Others are its id and its times.
    """

    subtype: str | None = None
    call_id: str | None = None
    tool_call: dict[str, Call | str | float | bool | None] | None = None


class ResultLine(Stamped, tag="result"):
    subtype: str | None = None
    is_error: bool | None = None
    result: str | None = None
    usage: Tokens | None = None


class Arguments(Plain, rename="camel"):
    """What some kinds of calls say of themselves, laid over each other."""

    tool_name: str | None = None
    provider_identifier: str | None = None
    subagent_type: Raw = ABSENT


class Exited(Plain, rename="camel"):
    exit_code: Code | None = None
