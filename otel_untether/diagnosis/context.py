"""What else the tree shows that the cause has not said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.diagnosis.advice import runbook
from otel_untether.diagnosis.naming import listed, peer
from otel_untether.session.redaction import redact
from otel_untether.session.wording import count, duration, percent

if TYPE_CHECKING:
    from otel_untether.diagnosis.facts import Facts

_SAY_CONNECTIONS: Final = frozenset({"model_silent", "model_streaming", "network_lost", "wedged"})


def context(facts: Facts, cause: str) -> tuple[str, ...]:
    """Return sentences about heartbeats, connections, CPU and children."""
    said = _heartbeats(facts)
    if facts.newest is None:
        return (*said, "the process tree could not be looked at")
    connections = () if cause in _SAY_CONNECTIONS else _connections(facts)
    return (*said, *connections, *_work(facts), *_offspring(facts), *_written(facts))


def leads(facts: Facts, cause: str) -> tuple[str, ...]:
    """Return where there is more: about the cause, and in what the agent wrote down."""
    where = runbook(cause, facts.config.runbooks)
    log = facts.state.debug_log
    return (
        *((f"runbook: {where}",) if where else ()),
        *((f"debug log: {redact(log)}",) if log else ()),
    )


def _written(facts: Facts) -> tuple[str, ...]:
    """What else tells about it: its transcript, the provider's name for its last request."""
    said: tuple[str, ...] = ()
    if facts.transcript_grows:
        said = (f"its transcript was written {duration(facts.transcript_age or 0.0)} ago",)
    asked = facts.state.request_id
    return (*said, f"last request {asked}") if asked else said


def _heartbeats(facts: Facts) -> tuple[str, ...]:
    if facts.quiet - facts.idle < 1 or facts.clock.name in ("hook", "compaction", "retry"):
        return ()
    if facts.clock.stands(facts.state) and facts.state.last_sign > facts.clock.since:
        return (f"heard of {duration(facts.idle)} ago, but no progress",)
    return ()


def _connections(facts: Facts) -> tuple[str, ...]:
    if facts.sockets is None:
        return ("its connections are unknown",)
    if not facts.established:
        return ("no open connection",)
    age = facts.receive_age
    where = f" ({peer(facts.model)})" if facts.model and facts.model.remote else ""
    last = "" if age is None else f", last byte {duration(age)} ago"
    return (f"{count(len(facts.established), 'open connection')}{where}{last}",)


def _work(facts: Facts) -> tuple[str, ...]:
    if facts.cpu is None:
        return ("CPU use unknown",)
    return () if facts.resting else (percent(facts.cpu),)


def _offspring(facts: Facts) -> tuple[str, ...]:
    number = len(facts.children)
    if not number:
        return ()
    idle = " idle" if facts.resting else ""
    return (f"{count(number, 'child', 'children')}{idle}: {listed(facts.children)}",)
