"""The state of a session: a fold over events. (Under construction; the fields are the contract.)"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from .activity import Activity, Change
from .events import Event, McpServer, Usage, WaitKind


class Recent(NamedTuple):
    """One entry of the ring: when (ns), the event's type name, the tool it concerns."""

    at: int
    type: str
    tool: str | None


@dataclass(slots=True)
class Wait:
    """An expected wait; `since` and `until` in ns since the epoch, `until` None if unknown."""

    key: str
    kind: WaitKind
    since: int
    until: int | None = None
    tool_id: str | None = None
    detail: str | None = None


@dataclass(slots=True)
class SessionState:
    """Everything known about one session. All times ns since the epoch, on one `Clock`."""

    run_id: str
    started: int
    engine: str = "unknown"
    pid: int | None = None
    session_id: str | None = None
    model: str | None = None
    version: str | None = None
    mcp_servers: tuple[McpServer, ...] = ()
    last_sign: int = 0  # arrival of the last line of stdout, whatever it said; spawn until then
    lines: int = 0
    stray_lines: int = 0
    oddities: dict[str, int] = field(default_factory=dict)
    events: int = 0
    recent: deque[Recent] = field(default_factory=lambda: deque(maxlen=50))
    stderr_tail: deque[str] = field(default_factory=lambda: deque(maxlen=100))
    open: dict[str, Activity] = field(default_factory=dict)  # tools by call id
    tasks: dict[str, Activity] = field(default_factory=dict)  # open subagents and background shells by task id
    waits: dict[str, Wait] = field(default_factory=dict)
    tools: int = 0
    tool_errors: int = 0
    turns: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    last_result_at: int | None = None  # a turn's result was printed and nothing has begun since
    last_tool_result_at: int | None = None  # a tool result came and the model has not spoken since
    model_asked_at: int | None = None  # the main agent's model owes an answer since
    last_error: str | None = None

    def line(self, at: int) -> None:
        """Count a line of output: a sign of life, whatever it says."""
        raise NotImplementedError

    def apply(self, event: Event) -> list[Change]:
        """Fold one event in and return what changed."""
        raise NotImplementedError
