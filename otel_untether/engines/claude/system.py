"""Claude Code's ``system`` lines: one type, some thirty subtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines.claude.shapes import CompactMetadata, SystemLine, TaskUsage
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import (
    Compaction,
    Event,
    McpServer,
    ModelAsked,
    Retry,
    SessionStarted,
    StrayLine,
    TaskFinished,
    TaskProgress,
    TaskStarted,
    TurnStarted,
    WaitBegan,
    WaitEnded,
)
from otel_untether.session.patterns import lazily

if TYPE_CHECKING:
    from collections.abc import Callable

_QUIET: Final = frozenset({
    "background_tasks_changed", "commands_changed", "control_request_progress",
    "elicitation_complete", "files_persisted", "hook_progress", "informational",
    "local_command_output", "memory_recall", "mirror_error", "model_fallback",
    "model_refusal_fallback", "model_refusal_no_fallback", "notification",
    "permission_denied", "plugin_install", "session_state_changed", "session_writes_lost",
    "thinking_tokens", "worker_shutting_down",
})  # fmt: skip

_KINDS: Final = {
    "local_agent": "agent",
    "remote_agent": "agent",
    "in_process_teammate": "agent",
    "local_bash": "shell",
}
_EXIT_CODE: Final = lazily(r"exit code (\d{1,9})\)?\Z")


def system(line: SystemLine, at: int) -> tuple[Event, ...]:
    """Return what a ``system`` line says; none of them says when it happened."""
    subtype = line.subtype
    if subtype is None:
        return (StrayLine(at=at, reason="bad_shape", detail="system"),)
    if (reader := _READERS.get(subtype)) is not None:
        return reader(line, at)
    if subtype in _QUIET:
        return ()
    return (StrayLine(at=at, reason="unknown_type", detail=word(f"system/{subtype}")),)


def _init(line: SystemLine, at: int) -> tuple[Event, ...]:
    servers = (McpServer(s.name, word(s.status)) for s in line.mcp_servers or () if s.name)
    started = SessionStarted(
        at=at,
        session_id=line.session_id,
        model=line.model,
        version=line.claude_code_version,
        tools=tuple(line.tools or ()),
        mcp_servers=tuple(servers),
    )
    return started, TurnStarted(at=at)


def _status(line: SystemLine, at: int) -> tuple[Event, ...]:
    if line.status == "requesting":
        return (ModelAsked(at=at),)
    if line.status == "compacting":  # said again every half minute while it lasts
        return (Compaction(at=at, phase="began"),)
    if line.compact_result == "failed":
        return (Compaction(at=at, phase="ended", error="failed"),)
    return ()


def _compact_boundary(line: SystemLine, at: int) -> tuple[Event, ...]:
    about = line.compact_metadata or CompactMetadata()
    return (
        Compaction(
            at=at,
            phase="ended",
            trigger=word(about.trigger),
            tokens_before=about.pre_tokens,
            tokens_after=about.post_tokens,
        ),
    )


def _api_retry(line: SystemLine, at: int) -> tuple[Event, ...]:
    delay = line.retry_delay_ms
    return (
        Retry(
            at=at,
            attempt=line.attempt,
            max_attempts=line.max_retries,
            delay=None if delay is None else delay / 1000,
            status=line.error_status,
            error=word(line.error),
        ),
    )


def _task_started(line: SystemLine, at: int) -> tuple[Event, ...]:
    if not line.task_id:
        return _nameless(line, at)
    type_ = word(line.task_type)
    return (
        TaskStarted(
            at=at,
            id=line.task_id,
            kind="task" if type_ is None else _KINDS.get(type_, type_),
            tool_id=line.tool_use_id,
            name=line.subagent_type,
            parent_task=line.parent_task_id,
            depth=line.spawn_depth,
            background=line.is_backgrounded,
        ),
    )


def _task_progress(line: SystemLine, at: int) -> tuple[Event, ...]:
    if not line.task_id:
        return _nameless(line, at)
    used = line.usage or TaskUsage()
    return (
        TaskProgress(
            at=at,
            id=line.task_id,
            tool_id=line.tool_use_id,
            tokens=used.total_tokens,
            tool_uses=used.tool_uses,
            last_tool=line.last_tool_name,
        ),
    )


def _task_notification(line: SystemLine, at: int) -> tuple[Event, ...]:
    if not line.task_id:
        return _nameless(line, at)
    used = line.usage or TaskUsage()
    code = None if line.summary_is_report else _EXIT_CODE.search(line.summary or "")
    return (
        TaskFinished(
            at=at,
            id=line.task_id,
            tool_id=line.tool_use_id,
            error=None if line.status == "completed" else word(line.status) or "unknown",
            exit_code=int(code[1]) if code else None,
            tokens=used.total_tokens,
            tool_uses=used.tool_uses,
        ),
    )


def _hook_started(line: SystemLine, at: int) -> tuple[Event, ...]:
    if not line.hook_id:
        return _nameless(line, at)
    return (WaitBegan(at=at, id=line.hook_id, kind="hook", detail=word(line.hook_name)),)


def _hook_response(line: SystemLine, at: int) -> tuple[Event, ...]:
    if not line.hook_id:
        return _nameless(line, at)
    return (WaitEnded(at=at, id=line.hook_id, answer=word(line.outcome)),)


def _nameless(line: SystemLine, at: int) -> tuple[Event, ...]:
    return (StrayLine(at=at, reason="bad_shape", detail=word(f"system/{line.subtype}")),)


# `task_updated` may tell of the end first, but a `task_notification` follows with the totals.
_READERS: Final[dict[str, Callable[[SystemLine, int], tuple[Event, ...]]]] = {
    "init": _init,
    "status": _status,
    "compact_boundary": _compact_boundary,
    "api_retry": _api_retry,
    "task_started": _task_started,
    "task_progress": _task_progress,
    "task_updated": _task_progress,
    "task_notification": _task_notification,
    "hook_started": _hook_started,
    "hook_response": _hook_response,
}
