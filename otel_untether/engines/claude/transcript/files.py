"""The files of a Claude Code session on disk, under ``~/.claude/projects/<slug>/``.

``<session>.jsonl`` holds the main agent, one entry a line, in order of writing. Where its
subagents are depends on the version:

- to 2.0: in the same file, as entries with ``isSidechain``;
- to about 2.1.13: in ``agent-<id>.jsonl`` beside it, for all sessions of the folder;
- to about 2.1.4x: there too, and copied into ``progress`` entries of the main file;
- since: in ``<session>/subagents/agent-<id>.jsonl``, each with an ``agent-<id>.meta.json`` that
  names the tool call which started it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct, field

from otel_untether.engines.claude.shapes import Message, Permission
from otel_untether.engines.parsing.salvage import ABSENT, BROKEN, LARGEST, fit, given, loads, read
from otel_untether.engines.parsing.values import (
    Code,
    Count,
    Dollars,
    Milliseconds,
    Plain,
    Seconds,
    nanoseconds,
)
from otel_untether.engines.transcript_records import regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# What one process writes in no strict order lies closer together; in ns.
_TOGETHER: Final = 500_000_000
_ENTRY_TYPES: Final = frozenset({
    "assistant", "attachment", "file-history-snapshot", "last-prompt", "progress",
    "queue-operation", "summary", "system", "user",
})  # fmt: skip


class CompactMetadata(Plain, rename="camel"):
    trigger: str | None = None
    pre_tokens: Count | None = None
    post_tokens: Count | None = None


class Cause(Plain):
    status: Code | None = None


class NestedEntry(Plain, rename="camel"):
    """A subagent's entry inside a ``progress`` entry."""

    type: str | None = None
    message: Message | None = None
    timestamp: str | None = None
    tool_use_result: Raw = ABSENT


class Progress(Plain, rename="camel"):
    type: str | None = None
    agent_id: str | None = None
    elapsed_time_seconds: Seconds | None = None
    message: NestedEntry | None = None


class Entry(Plain, rename="camel"):
    """All types of entry laid over each other, as far as we read them."""

    type: str | None = None
    subtype: str | None = None
    uuid: str | None = None
    parent_uuid: str | None = None
    is_sidechain: bool | None = None
    is_meta: bool | None = None
    is_compact_summary: bool | None = None
    session_id: str | None = None
    agent_id: str | None = None
    version: str | None = None
    timestamp: str | None = None
    message: Message | None = None
    tool_use_result: Raw = ABSENT
    permission_decision: Permission | None = None
    is_api_error_message: bool | None = None
    forked_from: Raw = ABSENT
    # queue-operation
    operation: str | None = None
    content: Raw = ABSENT
    # progress
    parent_tool_use_id: str | None = msgspec.field(default=None, name="parentToolUseID")
    data: Progress | None = None
    # system
    error: Cause | str | None = None
    retry_attempt: Count | None = None
    max_retries: Count | None = None
    retry_in_ms: Milliseconds | None = None
    compact_metadata: CompactMetadata | None = None
    # cost-state
    total_cost_usd: Dollars | None = msgspec.field(default=None, name="totalCostUSD")


class Meta(Plain, rename="camel"):
    """What ``agent-<id>.meta.json`` says about a subagent."""

    agent_type: str | None = None
    tool_use_id: str | None = None
    parent_agent_id: str | None = None
    spawn_depth: Count | None = None
    request_shape: str | None = None


class Log(Struct):
    """One file: its entries, each with its time in ns since the epoch."""

    path: Path
    entries: list[tuple[int, Entry]] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)  # the times about which a line was no entry
    meta: Meta = field(default_factory=Meta)
    forked: bool = False  # it began with a copy of another session's entries, which are left out

    @property
    def agent_id(self) -> str:
        """The subagent's id, from the file's name."""
        return self.path.name.removeprefix("agent-").removesuffix(".jsonl")


def load(path: Path) -> Log:
    """Read a file; an entry without a time gets that of the one before it, or the first there is.

    A last line without a newline may still be in the writing: if it is no entry it is ignored.
    """
    log, at, seen = Log(path, meta=_meta(path)), 0, set[str]()
    with regular(path) as lines:
        for line in lines:
            entry = _entry(line)
            if entry is None:
                if line.endswith(b"\n") and line.strip():
                    log.unread.append(at)
                continue
            if entry.uuid is not None and entry.uuid in seen:
                continue
            if entry.uuid is not None:
                seen.add(entry.uuid)
            at = nanoseconds(entry.timestamp) or at
            log.entries.append((at, entry))
    first = next((at for at, _ in log.entries if at), 0)
    before = _copied_before(log.entries)
    own = [(at or first, e) for at, e in log.entries if not _is_copied(at, e, before)]
    log.entries, log.forked = own, len(own) < len(log.entries)
    return log


def _copied_before(entries: Sequence[tuple[int, Entry]]) -> int:
    """Return before which time entries are another session's, of which this one is a fork.

    A process first notes that it was given a prompt; what says that it happened before was copied.
    """
    at, first = next(((at, entry) for at, entry in entries if entry.timestamp), (0, Entry()))
    return at - _TOGETHER if first.type == "queue-operation" else 0


def _is_copied(at: int, entry: Entry, before: int) -> bool:
    return entry.uuid is not None and (at < before or given(entry.forked_from) is not None)


def companions(path: Path, session_id: str | None) -> list[Log]:
    """Read the files of the session's subagents, wherever its version put them."""
    within = (path.with_suffix("") / "subagents").rglob("agent-*.jsonl")
    beside = (
        other
        for other in path.parent.glob("agent-*.jsonl")
        if other != path and session_id is not None and _session_of(other) == session_id
    )
    return [load(found) for found in sorted({*within, *beside})]


def parts(path: Path) -> list[Path]:
    """Return the files of a session's subagents that lie below it."""
    return sorted(path.with_suffix("").rglob("agent-*.json*"))


def is_part(path: Path) -> bool:
    """Tell by its name whether a file is a subagent's, which belongs to its session's."""
    return path.name.startswith("agent-")


def is_transcript(first_lines: Iterable[bytes]) -> bool:
    """Tell from its first lines whether a file is a Claude Code transcript, not a stream."""
    return any(_looks_like_entry(line) for line in first_lines)


class _Said(Plain):
    parts: Raw = ABSENT  # what Qwen Code's messages have, where Claude's have content


class _Keys(Plain, rename="camel"):
    type: str | None = None
    session_id: str | None = None
    leaf_uuid: str | None = None
    message_id: str | None = None
    message: _Said | None = None
    provenance: Raw = ABSENT  # Qwen Code's entries have one, and otherwise the same keys


def _looks_like_entry(line: bytes) -> bool:
    keys = read(line, _keys_decoder, _Keys)
    named = bool(keys.session_id or keys.leaf_uuid or keys.message_id)
    others = given(keys.provenance) or (keys.message and given(keys.message.parts))
    return keys.type in _ENTRY_TYPES and named and not others


def _entry(line: bytes) -> Entry | None:
    try:
        return _entry_decoder.decode(line)
    except BROKEN:
        pass
    try:
        value = loads(line)
    except ValueError:
        return None
    return fit(value, Entry)[0] if isinstance(value, dict) else None


def _meta(path: Path) -> Meta:
    try:
        with regular(path.with_suffix(".meta.json")) as file:
            content = file.read(LARGEST)
    except OSError:
        return Meta()
    return read(content, _meta_decoder, Meta)


def _session_of(path: Path) -> str | None:
    with regular(path) as lines:
        entries = filter(None, map(_entry, lines))
        return next((entry.session_id for entry in entries if entry.session_id), None)


_entry_decoder: Final = msgspec.json.Decoder(Entry)
_keys_decoder: Final = msgspec.json.Decoder(_Keys)
_meta_decoder: Final = msgspec.json.Decoder(Meta)
