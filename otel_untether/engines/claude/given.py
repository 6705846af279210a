"""What a host writes to Claude Code's stdin: prompts, and answers to what it was asked.

``--input-format stream-json``. The answers are echoed only by some versions, prompts only on
demand, so that whoever sees the stdin knows more, and sooner.
"""

from __future__ import annotations

from typing import Final

import msgspec

from otel_untether.engines.claude.shapes import Answer, ControlResponseLine, Response
from otel_untether.engines.parsing.salvage import BROKEN, given, read
from otel_untether.engines.parsing.values import Plain, word
from otel_untether.session.events import Event, TurnStarted, WaitEnded


class _Prompt(Plain, tag="user"):
    """Whatever it asks."""


def decode(line: bytes, at: int) -> tuple[Event, ...]:
    """Return what a line of its stdin says; most say nothing."""
    try:
        parsed = _decoder.decode(line)
    except BROKEN:
        return ()
    return (TurnStarted(at=at),) if isinstance(parsed, _Prompt) else answered(parsed, at)


def answered(line: ControlResponseLine, at: int) -> tuple[Event, ...]:
    """Return that a wait is over, as an answer says; nothing where it does not say which."""
    response = line.response or Response()
    if not response.request_id:
        return ()
    answer = word(read(given(response.response), _answer_decoder, Answer).behavior)
    failed = "error" if response.subtype == "error" else None
    return (WaitEnded(at=at, id=response.request_id, answer=answer or failed),)


_decoder: Final = msgspec.json.Decoder(_Prompt | ControlResponseLine)
_answer_decoder: Final = msgspec.json.Decoder(Answer)
