"""The silences of a session: each told once, with one length, however often it was warned of.

A warning's span lasts from the warning before it, or from the last sign of life, to the warning.
The silence itself goes on::

    first warning   |---------|
    second warning            |----|
    silence         |------------------|  until something was heard again, or the session ended

Older recordings have every warning begin at the last sign of life.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_untether import semconv
from otel_untether.session.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_untether.report.span_node import SpanNode


@dataclass(frozen=True, slots=True)
class Silence:
    """From the last sign of life, or of progress, to the next; ns since the epoch.

    `warnings` are its spans, the first one first. `over` says how it ended: something was heard
    again, the session ended in it, or it goes on.
    """

    start: int
    end: int
    warnings: tuple[SpanNode, ...]
    recovered: bool
    ongoing: bool

    @property
    def last(self) -> SpanNode:
        """The last warning: what is known best."""
        return self.warnings[-1]

    @property
    def cause(self) -> str:
        """Its cause, as the last warning has it."""
        return str(self.last.attributes.get(semconv.STALL_CAUSE) or "unknown")

    @property
    def evidence(self) -> tuple[str, ...]:
        """Sentences with numbers; the first says what was going on.

        What had lasted as long as the silence when it was last looked at lasts as long as it: one
        silence has one length, "silent for 50 s: Bash has not returned for 50 s".
        """
        said = self.last.attributes.get(semconv.STALL_EVIDENCE)
        found = said if isinstance(said, tuple) else (said,) if said else ()
        return tuple(self._up_to_its_end(str(sentence)) for sentence in found)

    def _up_to_its_end(self, sentence: str) -> str:
        looked = self.last.attributes.get(semconv.STALL_IDLE)
        if not isinstance(looked, int | float):
            return sentence
        then = f"for {re.escape(duration(looked))}(?! \\d)"
        return re.sub(then, f"for {duration(self.length / 1e9)}", sentence)

    @property
    def length(self) -> int:
        """How long it lasted, or lasts by now, in ns."""
        return max(self.end - self.start, 0)

    def said(self) -> str:
        """Say how long it was: "silent for 4 min 58 s"."""
        heard = any(sentence.startswith("heard of ") for sentence in self.evidence)
        word = "no progress" if heard else "silent"
        return f"{word} for {duration(self.length / 1e9)}"


def silences(root: SpanNode, until: int) -> list[Silence]:
    """Return the silences that were warned of, in order of time; `until` ends what is open."""
    stalls = root.every("stall")
    signs = sorted(_signs(root, until)) if stalls else []
    return [_silence(root, signs, group, until) for group in _grouped(stalls)]


def _grouped(stalls: Iterable[SpanNode]) -> list[list[SpanNode]]:
    """Put the warnings of one silence together: they count on, or begin at one moment."""
    groups: list[list[SpanNode]] = []
    for stall in sorted(stalls, key=lambda node: (node.end or node.start, node.start)):
        if groups and _goes_on(groups[-1][-1], stall):
            groups[-1].append(stall)
        else:
            groups.append([stall])
    return groups


def _goes_on(before: SpanNode, stall: SpanNode) -> bool:
    if stall.start == before.start:
        return True
    numbers = [node.attributes.get(semconv.STALL_NUMBER) for node in (before, stall)]
    first, second = (number if isinstance(number, int) else 0 for number in numbers)
    return 0 < first < second and stall.start <= (before.end or before.start)


def _silence(root: SpanNode, signs: list[int], warnings: list[SpanNode], until: int) -> Silence:
    """Return one silence: it goes on after its last warning, until there is a sign of life."""
    warned = warnings[-1].end or until
    first = bisect_left(signs, warned)
    end = signs[first] if first < len(signs) else warned
    at_end = end >= (root.end or until)
    return Silence(
        start=min(node.start for node in warnings),
        end=end,
        warnings=tuple(warnings),
        recovered=not at_end,
        ongoing=at_end and root.end is None,
    )


def _signs(root: SpanNode, until: int) -> Iterator[int]:
    """Yield the moments at which something was heard: a recovery, a span's start or end."""
    yield root.end or until
    yield from (event.at for event in root.events if event.name == semconv.EVENT_STALL_RECOVERED)
    for node in root.walk():
        if node.kind not in ("stall", "marker"):
            yield node.start
            yield node.end or until
