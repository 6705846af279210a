"""Three-valued logic: a fact is True, False or None, and None means *unknown*.

Unknown never counts as idle and supports no kill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Fact: TypeAlias = bool | None


def always(facts: Sequence[Fact]) -> Fact:
    """Return True if all are true, False if one is false, else None; None of nothing."""
    if any(fact is False for fact in facts):
        return False
    return None if not facts or any(fact is None for fact in facts) else True


def negated(fact: Fact) -> Fact:
    """Return the opposite; the opposite of unknown is unknown."""
    return None if fact is None else not fact


def at_least(value: float | None, bound: float) -> Fact:
    """Compare a value that may be unknown."""
    return None if value is None else value >= bound


def below(value: float | None, bound: float) -> Fact:
    """Compare a value that may be unknown."""
    return None if value is None else value < bound
