"""PromQL that is right for processes that live a minute.

`increase()` compares the samples of a series, so a counter whose first sample is already 1
adds nothing to it, and it extrapolates, so that whole things come in fractions. Every
process here makes series of its own (`instance` is unique to it) that never fall, so the
exact number is plain subtraction: the last value in the window less the last one before it,
which is nothing for a series born inside the window.
"""

from __future__ import annotations

# How far before the window a series may have been seen last and still be the same one.
# Above the longest export interval anybody uses, and above a short outage.
BEFORE = "15m"


def grown(metric: str, window: str = "$__range") -> str:
    """Return, for each series of `metric`, by how much it grew within `window`.

    Works for counters and for native histograms alike.
    """
    last = f"last_over_time({metric}[{window}])"
    return f"({last} - (last_over_time({metric}[{BEFORE}] offset {window}) or 0 * {last}))"


def count(metric: str, *by: str, window: str = "$__range") -> str:
    """Return how many of what `metric` counts there were within `window`."""
    return (
        f"sum by ({', '.join(by)}) {grown(metric, window)}" if by else f"sum{grown(metric, window)}"
    )


def some(query: str) -> str:
    """Return what `query` gives, without what did not happen."""
    return f"{query} > 0"


def none_is_zero(query: str) -> str:
    """Return 0 where `query` has nothing to say: for single numbers on a quiet fleet."""
    return f"{query} or vector(0)"


def histogram_count(metric: str, *by: str, window: str = "$__range") -> str:
    """Return how many observations a histogram took within `window`."""
    return f"histogram_count({count(metric, *by, window=window)})"


def quantile(q: float, metric: str, *by: str, window: str = "$__range") -> str:
    """Return a quantile of what a histogram observed within `window`."""
    return f"histogram_quantile({q}, {count(metric, *by, window=window)})"


def live(metric: str) -> str:
    """Return the series of sessions that have not ended.

    A session's last export says `ended`; its series are then seen for the lookback still.
    """
    over = 'untether_session_state{untether_session_state="ended"} == 1'
    return f"({metric} unless on (instance) {over})"
