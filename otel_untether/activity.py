"""What is going on inside a session: a tree of activities, and how it changes.

`session.SessionState.apply` folds events into this tree and returns the changes; spans and
metrics are made of nothing but changes, so that what belongs under what is decided once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .events import Usage  # noqa: TC001  dataclass fields

ActivityKind: TypeAlias = Literal["session", "turn", "chat", "tool", "agent", "wait"]
AttributeValue: TypeAlias = str | bool | int | float | tuple[str, ...]


@dataclass(slots=True, eq=False)
class Activity:
    """Something with a beginning and an end; times in ns since the epoch.

    `key` is the engine's id (of the call, the task, the message). `error` is low-cardinality;
    `reason` says why an activity ended whose own end was never seen. `children` holds the open
    ones only.
    """

    kind: ActivityKind
    key: str
    name: str
    start: int
    parent: Activity | None = None
    end: int | None = None
    error: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    usage: Usage | None = None
    detached: bool = False
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    children: list[Activity] = field(default_factory=list)
    # What only an opted-in exporter may look at, raw.
    arguments: bytes | None = None
    result: bytes | None = None
    last_sign: int = 0
    timeout: float | None = None
    mcp_server: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """An activity began."""

    activity: Activity


@dataclass(frozen=True, slots=True)
class Closed:
    """An activity ended; nothing about it changes any more."""

    activity: Activity


@dataclass(frozen=True, slots=True)
class Noted:
    """Something happened at one moment; `name` is an event of `semconv`."""

    name: str
    at: int
    attributes: dict[str, AttributeValue]


Change: TypeAlias = Opened | Closed | Noted
