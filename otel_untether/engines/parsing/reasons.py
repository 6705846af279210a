"""Why a request failed, where a CLI says so only in prose."""

from __future__ import annotations

import re
from typing import Final

from otel_untether.session.patterns import lazily

# The reasons worth telling apart; the first that fits counts.
_REASONS: Final = (
    ("interrupted", lazily(r"interrupt|abort", re.IGNORECASE)),
    ("timeout", lazily(r"time[d ]*\s*out", re.IGNORECASE)),
    ("usage_limit", lazily(r"usage limit|quota|billing", re.IGNORECASE)),
    ("rate_limit", lazily(r"rate.?limit|\b429\b|too many requests", re.IGNORECASE)),
    ("context_window_exceeded", lazily(r"context (?:window|length)", re.IGNORECASE)),
    ("unauthorized", lazily(r"\b40[13]\b|unauthori[sz]ed|forbidden|api key", re.IGNORECASE)),
    ("overloaded", lazily(r"high demand|overloaded|at capacity|\b503\b", re.IGNORECASE)),
    ("invalid_request", lazily(r"\b400\b|bad request|invalid_request", re.IGNORECASE)),
    (
        "disconnected",
        lazily(r"connect|stream closed|terminated|socket", re.IGNORECASE),
    ),
    ("server_error", lazily(r"\b5\d\d\b|server error", re.IGNORECASE)),
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
