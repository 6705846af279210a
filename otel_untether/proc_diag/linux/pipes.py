"""Pipes that a tree reads or polls, and others write to: what comes in may wake it.

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
# Terminals are told of by themselves; what the kernel tells by files of its own is nobody's word.
_NOT_FIFOS: Final = ("/dev/", "/proc/", "/sys/")


def look_at_pipes(holders: Sequence[Holder]) -> Iterator[PipeLook]:
    """Yield the pipes that the members read, and of whose writing ends they hold none.

    Of those with a name, FIFOs, everybody may write to one: they count where an epoll set watches
    them. A regular file cannot be watched like that, and so none is taken for one.
    """
    yield from _unnamed(holders)
    for holder in holders:
        targets = holder.targets
        if any(n > 0 and _may_be_fifo(target) for n, target in targets.items()):
            for number in descriptors.polled_by(holder.base, targets):
                if number > 0 and _may_be_fifo(targets.get(number, "")):
                    yield PipeLook(targets[number], holder.identity, holder.name)


def _may_be_fifo(target: str) -> bool:
    return target.startswith("/") and not target.startswith(_NOT_FIFOS)


def _unnamed(holders: Sequence[Holder]) -> Iterator[PipeLook]:
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
