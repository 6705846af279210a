"""JSON-RPC 2.0, one message a line: who asks, who tells, who answers.

{"id": 1, "method": "session/prompt", "params": {…}}    asks
{"method": "session/update", "params": {…}}             tells
{"id": 1, "result": {…}}                                answers
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec

from otel_untether.engines.parsing.salvage import BROKEN, LARGEST, fit, loads
from otel_untether.engines.parsing.values import Plain
from otel_untether.session.events import Event, StrayLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Id: TypeAlias = int | str
"""Of a request; each side counts its own."""


class RpcMessage(Plain):
    """A message: which of the three, `id` and `method` tell; `error` is what an answer says failed.

    A protocol adds its `params` and `result`, and the shape of its errors.
    """

    id: Id | None = None
    method: str | None = None
    error: Any = None


Shape = TypeVar("Shape", bound=RpcMessage)


class Reader(Generic[Shape]):
    """Reads the lines of one protocol, whose messages have the shape `shape`.

    :ivar decoder: reads a line that is as it should be.
    """

    def __init__(self, shape: type[Shape]) -> None:
        self._shape = shape
        self.decoder = msgspec.json.Decoder(shape)

    def read(
        self,
        line: bytes,
        at: int,
        notified: Callable[[Shape, int], Iterable[Event]],
        asked: Callable[[Shape, Id, int], Iterable[Event]],
        answered: Callable[[Shape, Id | None, int], Iterable[Event]],
    ) -> tuple[Event, ...]:
        """Return the events of a line.

        :param line: the line, without its newline.
        :param at: when it came, in ns since the epoch.
        :param notified: gives those of a notification, by message and time.
        :param asked: those of a request, by message, id and time.
        :param answered: those of an answer, likewise; one to a request that could not be read
            has an error and no id.
        """
        message, faults = self._message(line)
        if message is None:
            return (StrayLine(at=at, reason="not_json"),) if line.strip() else ()
        if message.method is None:
            if message.id is None and message.error is None:
                return (StrayLine(at=at, reason="bad_shape"),)
            events = tuple(answered(message, message.id, at))
        elif message.id is None:
            events = tuple(notified(message, at))
        else:
            events = tuple(asked(message, message.id, at))
        return (*events, StrayLine(at=at, reason="bad_shape")) if faults else events

    def _message(self, line: bytes) -> tuple[Shape | None, int]:
        """Return a line as a message, None for no JSON, and how much of it did not fit."""
        try:
            return self.decoder.decode(line), 0
        except BROKEN:
            pass
        try:
            value = loads(line) if 0 < len(line) <= LARGEST else None
        except ValueError:
            value = None
        return fit(value, self._shape) if isinstance(value, dict) else (None, 0)
