"""Durations and counts, as a person would say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return "4 min 58 s", "1 h 3 min", "12 s", "0.4 s"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return (
        f"{minutes} min {rest} s"
        if minutes and rest
        else f"{minutes} min"
        if minutes
        else f"{rest} s"
    )


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return "no children", "one child", "3 children"."""
    if number == 1:
        return f"one {noun}"
    return f"{number or 'no'} {plural or noun + 's'}"


def percent(cores: float) -> str:
    """Return a CPU rate as top(1) shows it: one core is 100 %."""
    return f"{cores * 100:.0f} % CPU" if cores >= 0.1 else f"{cores * 100:.1f} % CPU"
