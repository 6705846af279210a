"""What the attributes of many spans begin and end with: kept once, and looked at once.

Of the calls of one tool, most say nearly the same of themselves, in the same order::

    [{"key":"gen_ai.tool.name","value":{"stringValue":"Bash"}},{"key":"gen_ai.tool.call.id",…
     …"value":{"stringValue":"toolu_01"}},{"key":"gen_ai.tool.type","value":{"stringValue":"f…
    `-------------- head --------------------------------`  own  `------------ tail ----------

A hundred thousand calls take a fifth of the memory so.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.report import attribute_text
from otel_untether.report.span_node import NO_FRAME, Frame

if TYPE_CHECKING:
    from otel_untether.report.span_node import Kind

_MOST: Final = 1024  # names of spans
_KINDS: Final[dict[str, Kind]] = {
    semconv.SPAN_INVOKE_AGENT: "agent",
    semconv.SPAN_TURN: "turn",
    semconv.SPAN_CHAT: "chat",
    semconv.SPAN_EXECUTE_TOOL: "tool",
    semconv.SPAN_WAIT: "wait",
    semconv.SPAN_STALL: "stall",
    semconv.SPAN_STARTED: "marker",
}


class Frames:
    """The frames of one run, by the names of its spans; `most` names have one."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: dict[str, Frame] = {}

    def split(self, name: str, raw: bytes) -> tuple[bytes, Frame]:
        """Return what of a span's attributes is its own, and the frame around that."""
        frame = self._known.get(name)
        if frame is None:
            if len(self._known) < self._most:
                # Whole, twice: that fits nothing, and the next one says what is shared.
                self._known[name] = Frame(raw, raw)
            return raw, NO_FRAME
        head, tail = frame.head, frame.tail
        first, last = len(head), len(raw) - len(tail)
        if first <= last and raw.startswith(head) and raw.endswith(tail):
            return raw[first:last], frame
        frame = self._known[name] = _narrowed(frame, name, raw)
        return raw[len(frame.head) : len(raw) - len(frame.tail)], frame


NONE_SHARED: Final = Frames(0)


def _narrowed(frame: Frame, name: str, raw: bytes) -> Frame:
    """Return what attributes have in common with those that a frame is made of."""
    head = raw[: _same(frame.head, raw)]
    rest = raw[len(head) :]
    tail = rest[len(rest) - _same(frame.tail[::-1], rest[::-1]) :]
    kind, told = _told_by(name)
    tool = attribute_text.text_in(head, semconv.TOOL_NAME)
    return Frame(
        head,
        tail,
        kind if told is not None and told in head else None,
        sys.intern(tool) if tool else None,
    )


def _same(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts begin with that are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def kind_of(name: str, raw: bytes) -> Kind:
    """Return what a span is, which its operation says; one of ours has it in its name, too."""
    kind, told = _told_by(name)
    if told is not None and told in raw:
        return kind
    operation = attribute_text.one_of(raw, semconv.OPERATION_NAME) or name.partition(" ")[0]
    return _KINDS.get(str(operation), "other")


@functools.lru_cache(1024)
def _told_by(name: str) -> tuple[Kind, bytes | None]:
    """Return what a span of a name should be, and how its attributes say so."""
    operation = name.partition(" ")[0]
    if operation not in _KINDS:
        return "other", None
    text = f'{{"stringValue":"{operation}"'
    return _KINDS[operation], f'"key":"{semconv.OPERATION_NAME}","value":{text}'.encode()
