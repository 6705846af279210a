"""Durations and counts, as a person would say them: one wording for all that we say.

What is drawn in columns (`report.terminal.text`) is shorter: 4m58s.
"""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return "0.42 s", "4.4 s", "12 s", "4 min 58 s", "1 h 3 min"."""
    if seconds < 0.995:
        return f"{seconds:.2f} s".replace(".00 s", " s")
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{rest} s"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a count within a sentence: "no children", "one child", "3 children"."""
    if number == 1:
        return f"one {noun}"
    return f"{number or 'no'} {plural or noun + 's'}"


def figure(number: int, noun: str, plural: str | None = None) -> str:
    """Return a count among other figures: "0 turns", "1 turn", "1,200 turns"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(cores: float) -> str:
    """Return a CPU rate as top(1) shows it: one core is 100 %."""
    return f"{cores * 100:.0f} % CPU" if cores >= 0.1 else f"{cores * 100:.1f} % CPU"
