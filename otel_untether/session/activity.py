"""What is going on inside a session: a tree of activities, and how it changes.

`session.SessionState.apply` folds events into this tree and returns the changes; spans and
metrics are made of nothing but changes, so that what belongs under what is decided once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_untether.session.events import Usage, WaitKind

ABANDONED: Final = "abandoned"

ActivityKind: TypeAlias = Literal["session", "turn", "chat", "tool", "agent", "wait"]
AttributeValue: TypeAlias = str | bool | int | float | tuple[str, ...]


class Activity(Struct, eq=False):
    """Something with a beginning and an end; times in ns since the epoch.

    `key` is the engine's id (of the call, the task, the message). `error` is low-cardinality;
    `reason` says why an activity ended whose own end was never seen. `children` holds the open
    ones only. `detached` says that a call returned while its work goes on; `concluded` is when
    the end of something came that must stay open for the work under it; `floor` is the latest
    end under it, `ceiling` the end of what it lies under, if that is over. `last_sign` is when
    it was last heard of, `progress` when it last moved on (a
    heartbeat is a sign and no progress). `left` says that the agent went on without waiting for
    the call's end. `recalled` says that only the agent's own files tell of it, and will tell of its
    end, whatever ended above it meanwhile. `timeout` is the limit a tool call itself carries, in
    seconds.
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
    finish_reason: str | None = None
    detached: bool = False
    concluded: int | None = None
    floor: int = 0
    ceiling: int | None = None
    last_sign: int = 0
    progress: int = 0
    left: bool = False
    recalled: bool = False
    timeout: float | None = None
    mcp_server: str | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    children: dict[Activity, None] = field(default_factory=dict)  # in the order they began
    arguments: bytes | None = None  # raw; leaves the process only on opt-in
    result: bytes | None = None

    def owner_forget(self) -> None:
        """Take this activity, which has ended, off its parent's list of open ones."""
        if self.parent is not None:
            self.parent.children.pop(self, None)

    def hold(self) -> None:
        """Have what this lies under end no earlier than it began, though it may end first."""
        above = self.parent
        while above is not None and above.floor <= self.start:
            above.floor = self.start + 1
            above = above.parent

    def within(self, ancestor: Activity) -> bool:
        """Whether this is `ancestor` or lies somewhere below it."""
        node: Activity | None = self
        while node is not None:
            if node is ancestor:
                return True
            node = node.parent
        return False


class Wait(Struct):
    """An expected wait; `since` and `until` in ns since the epoch, `until` None if unknown.

    `since` is when it began: a notice that is repeated (the next retry, the compaction's beat)
    makes the wait no younger, but counts one more `notices`, the last of them `renewed`.
    `answers` is whether anybody answered on the way: an HTTP status is an answer, a refused
    connection is none.
    """

    key: str
    kind: WaitKind
    since: int
    until: int | None = None
    tool_id: str | None = None
    detail: str | None = None
    notices: int = 1
    answers: bool = False
    renewed: int = 0


class Opened(Struct, frozen=True):
    """An activity began."""

    activity: Activity


class Closed(Struct, frozen=True):
    """An activity ended; nothing about it changes any more."""

    activity: Activity


class Noted(Struct, frozen=True):
    """Something happened at one moment; `name` is an event of `semconv`."""

    name: str
    at: int
    attributes: dict[str, AttributeValue]


Change: TypeAlias = Opened | Closed | Noted


def begin(kind: ActivityKind, key: str, name: str, at: int, parent: Activity) -> Activity:
    """Begin an activity under `parent`: not before it, and not after it if it is over."""
    ceiling = parent.ceiling if parent.end is None else parent.end
    begun = at if ceiling is None else min(at, ceiling - 1)
    child = Activity(kind, key, name, max(begun, parent.start), parent, ceiling=ceiling)
    parent.children[child] = None
    return child


def close(activity: Activity, at: int, *, error: str | None = None) -> list[Change]:
    """End an activity and all that is open below it, deepest first; parents enclose children.

    Subagents start subagents, hundreds deep if they like: this is a loop and no recursion.
    """
    if not activity.children:  # as with nearly all of them
        return [_end(activity, at, error)]
    changes: list[Change] = []
    todo = [(activity, at, error, False)]
    while todo:
        node, end, fault, children_ended = todo.pop()
        if children_ended:
            changes.append(_end(node, end, fault))
            continue
        todo.append((node, end, fault, True))
        reason, inherited = node.reason or "parent_ended", fault or node.error
        todo.extend(
            (child, *_cut(child, end, reason, inherited), False)
            for child in reversed(node.children)
            if not child.recalled
        )
    return changes


def cut_off(activity: Activity, at: int, reason: str, error: str | None = None) -> list[Change]:
    """End an activity because something else ended; if its own end was not seen, it says so.

    A message that was being spoken ended with its last line, and what was concluded then.
    """
    end, fault = _cut(activity, at, reason, error)
    return close(activity, end, error=fault)


def _cut(activity: Activity, at: int, reason: str, error: str | None) -> tuple[int, str | None]:
    """Return when, and with which error, an activity ends because another did."""
    spoken = activity.last_sign if activity.kind == "chat" else 0
    if spoken or activity.concluded is not None:
        return spoken or activity.concluded or at, None
    activity.reason = activity.reason or reason
    return at, activity.error or error or ABANDONED


def _put_under(ceiling: int, outliving: Iterable[Activity]) -> None:
    """Bound what is told of later by the end of what it lies under."""
    todo = list(outliving)
    while todo:
        activity = todo.pop()
        activity.ceiling = ceiling
        todo += activity.children


def _end(activity: Activity, at: int, error: str | None) -> Closed:
    """End one activity, below which nothing is open any more.

    CLIs tell time in milliseconds, in which a call may take none. It gets one nanosecond, for
    Jaeger (2.13) warns of a span that ends when it starts as of one of negative duration.
    """
    activity.end = max(at, activity.start + 1, activity.floor)
    if activity.ceiling is not None:
        activity.end = min(activity.end, activity.ceiling)
    activity.error = activity.error or error
    if activity.children:
        _put_under(activity.end, activity.children)
    if activity.parent is not None:
        activity.parent.floor = max(activity.parent.floor, activity.end)
    activity.owner_forget()
    return Closed(activity)
