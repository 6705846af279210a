"""Claude Code's tool calls and their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.claude.shapes import Block, ResultMeta, ToolInput, ToolOutcome
from otel_untether.engines.parsing.salvage import given, read
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import Event, TaskFinished, ToolFinished, ToolStarted, WaitBegan
from otel_untether.session.patterns import lazily

if TYPE_CHECKING:
    import re

SUBAGENT_TOOLS: Final = frozenset({"Agent", "Task"})  # `Task` in older versions
_WAKING_TOOLS: Final = frozenset({"ScheduleWakeup", "Monitor"})
_TELLING_INPUTS: Final = SUBAGENT_TOOLS | _WAKING_TOOLS | {"Bash", "PowerShell"}
_LAUNCHED: Final = frozenset({"async_launched", "remote_launched", "teammate_spawned"})

# A result is a string or a list of blocks, in either case raw JSON here.
_START: Final = rb'\A(?:\[\s*\{\s*(?:"type":\s*"text",\s*)?"text":\s*)?"'
_EXIT_CODE: Final = lazily(_START + rb"Exit code (\d{1,9})(?!\d)(\\nCommand timed out)?")
_DETACHED: Final = lazily(
    _START + rb"(?:Async agent launched successfully.*?\\nagentId: ([\w-]+)"
    rb"|Command (?:running in|did not complete [^\"]{1,60} moved to the) background"
    rb" (?:with |\()ID: ([\w-]+))"
)
_REFUSED: Final = lazily(
    _START + rb"(?:Claude requested permissions? to |Permission to use |The user doesn't want to )"
)
# What is written of a call that ran when it was interrupted; nobody decided on that one.
_INTERRUPTED: Final = lazily(_START + rb"The user doesn't want to proceed with this tool use")

_NO_OPTIONS: Final = ToolInput()
_input_decoder: Final = msgspec.json.Decoder(ToolInput)
_outcome_decoder: Final = msgspec.json.Decoder(ToolOutcome)


def started(block: Block, parent: str | None, at: int, happened: int | None) -> list[Event]:
    """Return what a ``tool_use`` block says: the call and, for a wake-up or a monitor, the wait."""
    name, raw, call_id = block.name or "unknown", given(block.input), block.id or ""
    telling = name in _TELLING_INPUTS
    options = read(raw, _input_decoder, ToolInput) if telling else _NO_OPTIONS
    limit = options.timeout if options.timeout is not None else options.timeout_ms
    mcp = name.startswith("mcp__")
    call = ToolStarted(
        at=at,
        happened=happened,
        id=call_id,
        name=name,
        parent=parent,
        type="extension" if mcp or block.type != "tool_use" else "function",
        mcp_server=name[5:].partition("__")[0] if mcp else None,
        subagent=(options.subagent_type or "general-purpose") if name in SUBAGENT_TOOLS else None,
        background=options.run_in_background,
        timeout=limit / 1000 if limit else None,
        arguments=raw,
    )
    if name not in _WAKING_TOOLS or options.stop:
        return [call]
    since = at if happened is None else happened
    delay = _delay(name, options)
    return [call, _wakeup(call_id, since + int(delay * 1e9) if delay else None, at, happened)]


def _delay(name: str, options: ToolInput) -> float | None:
    """Return how long the wait may be, in seconds, None if there is no telling."""
    if name == "ScheduleWakeup":  # at most an hour later; its result says exactly
        return options.delay_seconds and min(options.delay_seconds, 3600)
    limited = options.timeout_ms is not None and not options.persistent
    return options.timeout_ms / 1000 if limited and options.timeout_ms else None


def _wakeup(call_id: str, until: int | None, at: int, happened: int | None) -> WaitBegan:
    return WaitBegan(
        at=at, happened=happened, id=call_id, kind="scheduled", tool_id=call_id, until=until
    )


def finished(
    block: Block,
    structured: bytes | None,
    meta: ResultMeta | None,
    parent: str | None,
    at: int,
    happened: int | None,
) -> list[Event]:
    """Return what a ``tool_result`` block says.

    `structured` is the line's ``tool_use_result``, which lines of subagents lack; `meta` the
    CLI's own decision about this call.
    """
    call_id = block.tool_use_id or ""
    result = given(block.content) or b""
    outcome = read(structured, _outcome_decoder, ToolOutcome)
    launch = _DETACHED.match(result)
    error, exit_code = _failure(block, result, outcome, meta)
    events: list[Event] = []
    if outcome.scheduled_for:
        events.append(_wakeup(call_id, int(outcome.scheduled_for) * 1_000_000, at, happened))
    if outcome.status == "completed" and outcome.agent_id:
        events.append(_subagent_finished(outcome, outcome.agent_id, call_id, error, at, happened))
    returned = ToolFinished(
        at=at,
        happened=happened,
        id=call_id,
        parent=parent,
        error=error,
        exit_code=exit_code,
        denied=error == "permission_denied",
        detached=error is None and (launch is not None or _is_detached(outcome)),
        task_id=_task_id(outcome, launch),
        result=result or None,
    )
    events.append(returned)
    return events


def _subagent_finished(
    outcome: ToolOutcome,
    agent_id: str,
    call_id: str,
    error: str | None,
    at: int,
    happened: int | None,
) -> TaskFinished:
    return TaskFinished(
        at=at,
        happened=happened,
        id=agent_id,
        tool_id=call_id,
        error=error,
        tokens=outcome.total_tokens,
        tool_uses=outcome.total_tool_use_count,
    )


def _failure(
    block: Block, result: bytes, outcome: ToolOutcome, meta: ResultMeta | None
) -> tuple[str | None, int | None]:
    """Return the call's low-cardinality error and its exit code, each None if there is none."""
    if (refusal := _refusal(meta, result)) is not None:
        return refusal, None
    if block.is_error:
        return _told_failure(result)
    if outcome.interrupted:
        return "timeout" if outcome.timed_out_after_ms else "interrupted", None
    if _server_tool_failed(block, result):
        return "tool_error", None
    # Bash returns its output only when the command ran; a code that is explained ("no
    # matches found") was not 0, and one in the background is still to come.
    ran = given(outcome.stdout) is not None and outcome.interrupted is False
    explained = outcome.return_code_interpretation or outcome.background_task_id
    return None, 0 if ran and not explained else None


def _refusal(meta: ResultMeta | None, result: bytes) -> str | None:
    """Say why a call did not run, or not to its end; an interrupt is called a rejection, too."""
    if meta is None:
        return None
    if meta.permission_decision is None and _INTERRUPTED.match(result):
        return "interrupted"
    decision = meta.permission_decision.decision if meta.permission_decision else None
    kind = meta.non_execution_kind
    if decision in ("reject", "deny") or (kind is not None and "reject" in kind):
        return "permission_denied"
    return None if kind is None else word(kind) or "not_executed"


def _told_failure(result: bytes) -> tuple[str, int | None]:
    if match := _EXIT_CODE.match(result):
        code = int(match[1])
        return "timeout" if match[2] else str(code), code
    return "permission_denied" if _REFUSED.match(result) else "tool_error", None


def _server_tool_failed(block: Block, result: bytes) -> bool:
    """Tell whether the API's own tool failed: ``{"type":"web_search_tool_result_error",…}``."""
    return block.type != "tool_result" and b'_tool_result_error"' in result[:200]


def _is_detached(outcome: ToolOutcome) -> bool:
    monitored = outcome.task_id is not None and outcome.timeout_ms is not None
    launched = outcome.status in _LAUNCHED or bool(outcome.is_async)
    return launched or monitored or bool(outcome.background_task_id)


def _task_id(outcome: ToolOutcome, launch: re.Match[bytes] | None) -> str | None:
    task_id = outcome.agent_id or outcome.background_task_id
    if task_id is None and (outcome.status is None or outcome.status in _LAUNCHED):
        task_id = outcome.task_id
    if task_id is None and launch is not None:
        task_id = (launch[1] or launch[2]).decode()
    return task_id
