"""Antigravity CLI: ``agy -p --output-format stream-json``.

A conversation is a row of steps: what the user said, what the model answers, each tool. A step
is told when it begins, whenever it grows, and when it is over. There are no times but how long
a step took, and what a subagent does is in a file of its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_untether.engines.antigravity.shapes import (
    Ending,
    InitLine,
    Opening,
    ResultLine,
    Step,
    StepLine,
    SubagentInfo,
    Tokens,
    ToolInfo,
)
from otel_untether.engines.parsing.line_reader import line_reader
from otel_untether.engines.parsing.reasons import reason
from otel_untether.engines.parsing.salvage import Readers, decoder, given
from otel_untether.session.events import (
    Event,
    ModelMessage,
    SessionStarted,
    StrayLine,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_CALLS: Final = frozenset({"tool", "subagent"})
_WELL: Final = frozenset({"DONE", "SUCCESS", "COMPLETED"})
_BADLY: Final = frozenset({"ERROR", "FAILED", "CANCELED", "CANCELLED", "DENIED", "REJECTED"})
_OVER: Final = _WELL | _BADLY
_REFUSED: Final = frozenset({"DENIED", "REJECTED"})
_FROM_OUTSIDE: Final = frozenset({"read_url_content", "search_web"})
_DENIED: Final = re.compile(r"permission|denied|rejected", re.IGNORECASE)


def _init(line: InitLine, at: int) -> Iterator[Event]:
    about = line.init or Opening()
    yield SessionStarted(
        at=at,
        session_id=line.conversation_id,
        model=about.model,
        tools=tuple(about.tools or ()),
    )
    yield TurnStarted(at=at)


def _step(line: StepLine, at: int) -> Iterator[Event]:
    step = line.step_update
    if step is None:
        yield StrayLine(at=at, reason="bad_shape", detail="step_update")
    elif step.step_type in _CALLS:
        yield from _call(step, f"step_{step.step_index}", at)
    elif step.step_type == "user_input":
        yield TurnStarted(at=at)
    elif step.step_type in ("agent_response", None) and step.step_index is not None:
        yield ModelMessage(
            at=at,
            id=f"step_{step.step_index}",
            usage=_usage(step.usage) if step.usage else None,
            complete=step.state in _WELL,
        )


def _call(step: Step, call: str, at: int) -> Iterator[Event]:
    about = step.tool_info or ToolInfo()
    name = step.tool_name or about.name or step.step_type or "tool"
    if step.state not in _OVER:  # a state that we do not know is no end
        yield ToolStarted(
            at=at,
            id=call,
            name=name,
            type="extension" if name in _FROM_OUTSIDE else "function",
            arguments=given(about.parameters),
        )
        for number, agent in enumerate((step.subagent_info or SubagentInfo()).subagents or ()):
            yield TaskStarted(
                at=at, id=f"{call}/{number}", kind="agent", tool_id=call, name=agent.type_name
            )
    else:
        yield _over(step, about, call, name, at)


def _over(step: Step, about: ToolInfo, call: str, name: str, at: int) -> ToolFinished:
    error = None if step.state in _WELL and about.error is None else "tool_error"
    denied = step.state in _REFUSED or bool(
        about.error and _DENIED.search(about.error.message or "")
    )
    took = step.duration_seconds
    return ToolFinished(
        at=at,
        id=call,
        name=name,
        started=None if took is None else at - int(took * 1e9),
        error="permission_denied" if denied else error,
        denied=denied,
        result=given(about.output),
    )


def _result(line: ResultLine, at: int) -> Iterator[Event]:
    ending = line.result or Ending()
    error = None if ending.status in (None, "SUCCESS") else reason(ending.error)
    yield TurnFinished(
        at=at,
        error=error,
        usage=_usage(ending.usage) if ending.usage else None,
        interrupted=error == "interrupted",
    )


def _usage(tokens: Tokens) -> Usage:
    return Usage(
        input=tokens.input_tokens,
        output=tokens.output_tokens,
        cache_read=tokens.cache_read_tokens,
        reasoning=tokens.thinking_tokens,
    )


_READERS: Final[Readers] = {InitLine: _init, StepLine: _step, ResultLine: _result}
_decoder: Final = decoder(_READERS)
decode: Final = line_reader(_decoder, _READERS)
