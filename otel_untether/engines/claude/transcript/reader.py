"""Claude Code's transcripts on disk, of every generation, as the events of its stream.

What the stream says in lines of its own must be put together here: which call started a
subagent, when background work ended (from the ``<task-notification>`` given to the model), when
a turn began and ended. Everything keeps its original time. Entries that hold whole requests
(``api-request…``) are never read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.claude import messages
from otel_untether.engines.claude.shapes import AssistantLine, Message, ResultMeta, UserLine
from otel_untether.engines.claude.transcript.answers import Answers
from otel_untether.engines.claude.transcript.files import (
    Cause,
    CompactMetadata,
    Entry,
    Log,
    companions,
    is_part,
    is_transcript,
    load,
    parts,
)
from otel_untether.engines.claude.transcript.links import Links, blocks_of, text_of
from otel_untether.engines.claude.transcript.turns import ended_once, with_tasks, with_turns
from otel_untether.engines.parsing.salvage import given
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import (
    Compaction,
    Event,
    ModelMessage,
    Retry,
    SessionStarted,
    StrayLine,
    TaskFinished,
    TaskStarted,
    ToolUpdated,
    TurnFinished,
    TurnStarted,
)
from otel_untether.session.merging import is_below
from otel_untether.session.patterns import lazily

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["hidden", "is_part", "is_transcript", "parts", "read"]

_INTERRUPTED: Final = "[Request interrupted by user"
_NO_PROMPT: Final = ("<local-command-", "<bash-std", "Caveat: The messages below")
_EXIT_CODE: Final = lazily(
    r"<summary>Background command [^<\n]{0,500} exit code (\d{1,9})\)?</summary>"
)
_TOKENS: Final = lazily(r"<(?:subagent|total)_tokens>(\d{1,15})<")
_TOOL_USES: Final = lazily(r"<tool_uses>(\d{1,15})<")


def read(path: Path) -> Iterator[Event]:
    """Yield a session's events in order of time; `path` is its ``<session>.jsonl``.

    The files of its subagents are found beside or below it. `OSError` if `path` cannot be read.
    """
    main = load(path)
    session_id = next((e.session_id for _, e in main.entries if e.session_id), None)
    agents = companions(path, session_id)
    links = Links(main, agents)
    events = [event for log in (main, *agents) for event in _log_events(log, links)]
    events = ended_once(sorted(events, key=lambda event: event.at))
    yield from _session_started(main, session_id, events[:1])
    yield from with_turns(with_tasks(events, links.filed), _cost(main))


def hidden(path: Path, _session_id: str | None) -> Iterator[Event]:
    """Yield what its output does not tell: what an answer took, and what is below a subagent.

    Only where there are subagents the whole of the file is read, with theirs.
    """
    answers = Answers(path)
    yield from answers.took()
    if answers.nested or parts(path) or next(path.parent.glob("agent-*.jsonl"), None):
        yield from filter(is_below, read(path))


def _session_started(
    main: Log, session_id: str | None, first: list[Event]
) -> Iterator[SessionStarted]:
    if not main.entries:
        return
    entries = [entry for _, entry in main.entries]
    at = min([main.entries[0][0], *(event.at for event in first)])
    models = (e.message.model for e in entries if e.type == "assistant" and e.message)
    yield SessionStarted(
        at=at,
        happened=at,
        session_id=session_id,
        model=next((m for m in models if m and m != messages.SYNTHETIC), None),
        version=next((e.version for e in entries if e.version), None),
    )


def _cost(main: Log) -> float | None:
    """Return what the session cost; a fork's total has the other's in it, which nobody tells."""
    if main.forked:
        return None
    return next((e.total_cost_usd for _, e in reversed(main.entries) if e.total_cost_usd), None)


def _log_events(log: Log, links: Links) -> list[Event]:
    reader = _Reader(log, links)
    events: list[Event] = list(_agent_started(log, links)) if log.agent_id in links.filed else []
    for at, entry in log.entries:
        events.extend(reader.events(at, entry))
    events.extend(StrayLine(at=at, reason="not_json") for at in log.unread)
    return _completed(events)


def _agent_started(log: Log, links: Links) -> Iterator[Event]:
    if log.entries:
        at, meta = log.entries[0][0], log.meta
        yield TaskStarted(
            at=at,
            happened=at,
            id=log.agent_id,
            kind="agent",
            tool_id=links.call(log.agent_id),
            name=meta.agent_type,
            parent_task=meta.parent_agent_id,
            depth=meta.spawn_depth,
            background=None if meta.request_shape is None else meta.request_shape == "background",
        )


def _completed(events: list[Event]) -> list[Event]:
    """Mark a message complete on its last line only: on disk every line has the final usage."""
    last = {e.id: i for i, e in enumerate(events) if isinstance(e, ModelMessage)}
    for index, event in enumerate(events):
        if isinstance(event, ModelMessage):
            over = index == last[event.id] and (event.complete or index + 1 < len(events))
            events[index] = msgspec.structs.replace(event, complete=over)
    return events


class _Reader:
    """Turns the entries of one file into events."""

    def __init__(self, log: Log, links: Links) -> None:
        self._log, self._links = log, links
        # The notice is queued when the work ends and given to the model when it has time.
        self._queued = any(_notice(entry) for _, entry in log.entries if entry.operation)

    def events(self, at: int, entry: Entry) -> Iterator[Event]:
        parent = self._links.parent(self._log, entry)
        if entry.type == "assistant":
            yield from messages.assistant(_assistant_line(entry, parent), at)
        elif entry.type == "user":
            yield from messages.user(_user_line(entry, parent), at)
            yield from self._prompt(at, entry, parent)
        elif entry.type == "queue-operation":
            yield from _notification(at, _notice(entry))
        elif entry.type == "progress":
            yield from self._progress(at, entry)
        elif entry.type == "system":
            yield from _system(at, entry)

    def _prompt(self, at: int, entry: Entry, parent: str | None) -> Iterator[Event]:
        text = text_of(entry.message)
        if not text or parent is not None or entry.is_meta or entry.is_compact_summary:
            return
        if text.startswith(_INTERRUPTED):
            yield TurnFinished(at=at, happened=at, error="interrupted", interrupted=True)
        elif not text.startswith(_NO_PROMPT):
            if not self._queued:
                yield from _notification(at, text)
            yield TurnStarted(at=at, happened=at)

    def _progress(self, at: int, entry: Entry) -> Iterator[Event]:
        data = entry.data
        if data is None or entry.parent_tool_use_id is None:
            return
        nested = data.message
        if data.type != "agent_progress":
            elapsed = data.elapsed_time_seconds
            yield ToolUpdated(at=at, happened=at, id=entry.parent_tool_use_id, elapsed=elapsed)
        elif nested is not None and data.agent_id not in self._links.filed:
            copy = Entry(
                message=nested.message,
                timestamp=nested.timestamp or entry.timestamp,
                tool_use_result=nested.tool_use_result,
            )
            if nested.type == "assistant":
                yield from messages.assistant(_assistant_line(copy, entry.parent_tool_use_id), at)
            elif nested.type == "user":
                yield from messages.user(_user_line(copy, entry.parent_tool_use_id), at)


def _assistant_line(entry: Entry, parent: str | None) -> AssistantLine:
    return AssistantLine(
        message=entry.message or Message(),
        parent_tool_use_id=parent,
        timestamp=entry.timestamp,
        error=entry.error if isinstance(entry.error, str) else None,
        is_api_error_message=entry.is_api_error_message,
    )


def _user_line(entry: Entry, parent: str | None) -> UserLine:
    decided = entry.permission_decision
    ids = [block.tool_use_id for block in blocks_of(entry.message) if decided]
    return UserLine(
        message=entry.message or Message(),
        parent_tool_use_id=parent,
        timestamp=entry.timestamp,
        tool_use_result=entry.tool_use_result,
        tool_result_meta=[ResultMeta(id=id_, permission_decision=decided) for id_ in ids],
    )


def _notice(entry: Entry) -> str:
    raw = given(entry.content) if entry.operation == "enqueue" else None
    value = None if raw is None else msgspec.json.decode(raw)
    return value if isinstance(value, str) and "<task-notification>" in value else ""


def _notification(at: int, text: str) -> Iterator[Event]:
    """Yield the end of background work that a notice to the model tells of."""
    if not text.startswith("<task-notification>"):
        return
    task, status = _element(text, "task-id"), _element(text, "status")
    if task is not None and status is not None:
        tokens, uses = _TOKENS.search(text), _TOOL_USES.search(text)
        code = _EXIT_CODE.search(text)
        yield TaskFinished(
            at=at,
            happened=at,
            id=task,
            tool_id=_element(text, "tool-use-id"),
            error=None if status == "completed" else word(status) or "unknown",
            exit_code=int(code[1]) if code else None,
            tokens=int(tokens[1]) if tokens else None,
            tool_uses=int(uses[1]) if uses else None,
        )


def _element(text: str, tag: str) -> str | None:
    """Return what stands in the first element called `tag`; one look, however long the text."""
    _, opened, rest = text.partition(f"<{tag}>")
    inside, closed, _ = rest.partition(f"</{tag}>")
    return inside.strip() if opened and closed and inside and "<" not in inside else None


def _system(at: int, entry: Entry) -> Iterator[Event]:
    if entry.subtype == "compact_boundary":
        about = entry.compact_metadata or CompactMetadata()
        yield Compaction(
            at=at,
            happened=at,
            phase="ended",
            trigger=word(about.trigger),
            tokens_before=about.pre_tokens,
            tokens_after=about.post_tokens,
        )
    elif entry.subtype == "api_error":
        delay = entry.retry_in_ms
        yield Retry(
            at=at,
            happened=at,
            attempt=entry.retry_attempt,
            max_attempts=entry.max_retries,
            delay=None if delay is None else delay / 1000,
            status=entry.error.status if isinstance(entry.error, Cause) else None,
        )
