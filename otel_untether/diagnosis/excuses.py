"""The waits that explain a silence, each for a while: an approval for ever, all others not.

Somebody was asked, and asked they stay: an approval is reported once it is old, and never
called a stall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.diagnosis.facts import SECOND

if TYPE_CHECKING:
    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.session.activity import Wait
    from otel_untether.session.events import WaitKind
    from otel_untether.session.state import SessionState

ASKED: Final[tuple[WaitKind, ...]] = ("approval", "question")
_DAY: Final = 24 * 3600.0

# What a wait is called as the explanation of a silence.
EXPLANATIONS: Final[dict[WaitKind, str]] = {
    "approval": "awaiting_approval",
    "question": "awaiting_approval",
    "rate_limit": "rate_limited",
    "retry": "retrying",
    "compaction": "compacting",
    "scheduled": "scheduled",
    "hook": "hook_running",
    "host": "hook_running",
}


def excuse_ends(wait: Wait, config: WatchdogConfig) -> int | None:
    """Return until when (ns) a wait explains silence, None for ever.

    An announced end is believed for a day at most: a wrong one must not blind us.
    """
    if wait.kind in ASKED:
        return None
    if wait.kind == "compaction":
        return wait.since + int(config.compaction_timeout * SECOND)
    begun = wait.renewed or wait.since
    if wait.until is not None:
        return min(wait.until, begun + int(_DAY * SECOND))
    return begun + int(_age_limit(wait.kind, config) * SECOND)


def _age_limit(kind: WaitKind, config: WatchdogConfig) -> float:
    if kind in ("hook", "host"):
        return config.hook_timeout
    return config.background_timeout if kind == "scheduled" else config.wait_timeout


def asked(state: SessionState) -> Wait | None:
    """Return the oldest request that somebody has yet to answer."""
    return min((w for w in state.waits.values() if w.kind in ASKED), key=_since, default=None)


def in_force(state: SessionState, config: WatchdogConfig, now: int) -> Wait | None:
    """Return the wait that explains silence at `now`, None if none does."""
    if (request := asked(state)) is not None:
        return request
    ends = ((wait, excuse_ends(wait, config)) for wait in state.waits.values())
    return next((wait for wait, end in ends if end is not None and now < end), None)


def last_excused(state: SessionState, config: WatchdogConfig, now: int) -> int:
    """Return the last moment (ns) up to which a wait explained the silence, 0 if none did."""
    ends = (excuse_ends(wait, config) for wait in state.waits.values())
    return max((min(end, now) for end in ends if end is not None), default=0)


def _since(wait: Wait) -> int:
    return wait.since
