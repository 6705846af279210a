"""One span of a run and what is below it, as the report looks at it.

A long session has hundreds of thousands, of which few are looked at closely: what a span says
of itself stays the text that was read, and what others of its name say as well is there once.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from otel_untether import semconv
from otel_untether.report import attribute_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_untether.store.otlp_values import Attributes, Value

Kind: TypeAlias = Literal[
    "session", "turn", "agent", "chat", "tool", "wait", "stall", "marker", "other"
]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened within a span, at a moment (ns since the epoch)."""

    name: str
    at: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SpanLink:
    """Another trace that a span points at."""

    trace_id: str
    attributes: Attributes


class Frame(Struct, frozen=True, eq=False):
    """The text that the attributes of many spans begin and end with, and what that says.

    `kind` and `tool` are None where it takes the rest of the text to tell.
    """

    head: bytes = b""
    tail: bytes = b""
    kind: Kind | None = None
    tool: str | None = None


NO_FRAME: Final = Frame()


class SpanNode(Struct, eq=False, gc=False):
    """One span and what is below it, and nothing above: there is no circle to be collected.

    Times in ns since the epoch; `end` is None while the span is open. `adrift` says that the
    span named a parent that is not among the spans of the run. `own` is the text of its
    attributes, as they were read, without what the `frame` has of it.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start: int
    end: int | None = None
    own: bytes = b"[]"
    frame: Frame = NO_FRAME
    failed: bool = False
    kind: Kind = "other"
    message: str = ""
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    adrift: bool = False
    children: Sequence[SpanNode] = ()
    _kept: Attributes | None = None
    _settled: Settled | None = None

    @property
    def raw(self) -> bytes:
        """All of its attributes, in OTLP's JSON."""
        frame = self.frame
        return frame.head + self.own + frame.tail

    @property
    def attributes(self) -> Attributes:
        """All of its attributes."""
        if self._kept is None:
            self._kept = attribute_text.all_of(self.raw)
        return self._kept

    def unkept_attributes(self) -> Attributes:
        """Return all of its attributes, for who goes through all spans once."""
        return attribute_text.all_of(self.raw) if self._kept is None else self._kept

    def attribute(self, name: str) -> Value:
        """Return one of its attributes, None where it has none of that name.

        It costs less than all of them, and is not kept.
        """
        frame = self.frame
        return attribute_text.one_of(frame.head + self.own + frame.tail, name)

    @property
    def tool(self) -> str:
        """The name of the tool that it is a call of, from its attribute or else from its name."""
        if self.frame.tool is not None:
            return self.frame.tool
        told = self.attribute(semconv.TOOL_NAME)
        return sys.intern(str(told or self.name.partition(" ")[2] or self.name))

    def put(self, child: SpanNode) -> None:
        """Put a span below it, behind those that are there."""
        if isinstance(self.children, list):
            self.children.append(child)
        else:  # most have none, and share one that is empty
            self.children = [child]

    def walk(self) -> Iterator[SpanNode]:
        """Yield this span and all below it, parents first, each level in order of time."""
        if self._settled is not None:
            return chain((self,), self._settled.below)
        return self._walk() if self.children else iter((self,))

    def _walk(self) -> Iterator[SpanNode]:
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            if node.children:
                stack.extend(reversed(node.children))

    def every(self, kind: Kind) -> Sequence[SpanNode]:
        """Return those of a kind, of this span and of all below it, in the order of `walk`."""
        if self._settled is not None:
            found = self._settled.kinds.get(kind, ())
            return [self, *found] if self.kind == kind else found
        return [node for node in self.walk() if node.kind == kind]

    def settle(self) -> None:
        """Note that nothing will be put below it any more, so that walking it is cheap."""
        kinds: dict[Kind, list[SpanNode]] = {}
        below = list(self._walk())[1:]
        for node in below:
            kinds.setdefault(node.kind, []).append(node)
        self._settled = Settled(below, kinds)

    def last(self) -> int:
        """Return the latest moment known of this span and of all below it."""
        return max(node.end or node.start for node in self.walk())

    def duration(self, until: int) -> int:
        """Return its duration, in ns; that of an open span lasts `until` then."""
        return max((self.end or until) - self.start, 0)


class Settled(Struct, eq=False):
    """All that is below a span, as `walk` has it, and by kind; the span itself is not."""

    below: list[SpanNode]
    kinds: dict[Kind, list[SpanNode]]
