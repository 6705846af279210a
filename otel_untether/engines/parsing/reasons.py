"""Why a request failed, where a CLI says so only in prose."""

from __future__ import annotations

import re
from typing import Final

# The reasons worth telling apart; the first that fits counts.
_REASONS: Final = (
    ("interrupted", re.compile(r"interrupt|abort", re.IGNORECASE)),
    ("timeout", re.compile(r"time[d ]*\s*out", re.IGNORECASE)),
    ("usage_limit", re.compile(r"usage limit|quota|billing", re.IGNORECASE)),
    ("rate_limit", re.compile(r"rate.?limit|\b429\b|too many requests", re.IGNORECASE)),
    ("context_window_exceeded", re.compile(r"context (?:window|length)", re.IGNORECASE)),
    ("unauthorized", re.compile(r"\b40[13]\b|unauthori[sz]ed|forbidden|api key", re.IGNORECASE)),
    ("overloaded", re.compile(r"high demand|overloaded|at capacity|\b503\b", re.IGNORECASE)),
    ("invalid_request", re.compile(r"\b400\b|bad request|invalid_request", re.IGNORECASE)),
    (
        "disconnected",
        re.compile(r"connect|stream closed|terminated|socket", re.IGNORECASE),
    ),
    ("server_error", re.compile(r"\b5\d\d\b|server error", re.IGNORECASE)),
)


def reason(message: str | None) -> str:
    """Return one of a few words for what `message` says; ``error`` where it says nothing known."""
    text = message or ""
    return next((name for name, pattern in _REASONS if pattern.search(text)), "error")


_OF_STATUS: Final = {
    400: "invalid_request",
    401: "unauthorized",
    402: "usage_limit",
    403: "unauthorized",
    408: "timeout",
    413: "context_window_exceeded",
    429: "rate_limit",
    503: "overloaded",
    529: "overloaded",
}


def of_status(status: int | None) -> str | None:
    """Return the word for an HTTP status, None for one that is no failure or none at all."""
    if status is None or not 400 <= status < 600:
        return None
    return _OF_STATUS.get(status, "server_error" if status >= 500 else "invalid_request")
