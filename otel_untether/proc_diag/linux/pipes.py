"""Pipes that a tree reads, and others write to: what comes in on them may wake it.

A tool's daemon that outlived its shell holds the pipe on which the agent waits for the tool's
output; a host may give its agent a pipe besides the standard ones. Standard input is told of by
itself (`descriptors`), and is none of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.proc_diag.deep_look import PipeLook
from otel_untether.proc_diag.linux import descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_untether.proc_diag.linux.sockets import Holder

_MOST: Final = 200


def look_at_pipes(holders: Sequence[Holder]) -> Iterator[PipeLook]:
    """Yield the pipes that the members read, and of whose writing ends they hold none."""
    ends: dict[str, list[tuple[Holder, int]]] = {}
    for holder in holders:
        for number, target in holder.targets.items():
            if target.startswith("pipe:["):
                ends.setdefault(target, []).append((holder, number))
    for target, held in tuple(ends.items())[:_MOST]:
        if any(number == 0 for _, number in held) or any(map(_writes, held)):
            continue
        owner, number = held[0]
        if descriptors.has_writer(f"{owner.base}/fd/{number}", target):
            yield PipeLook(target, owner.identity, owner.name)


def _writes(end: tuple[Holder, int]) -> bool:
    holder, number = end
    return descriptors.is_writable(f"{holder.base}/fd/{number}")
