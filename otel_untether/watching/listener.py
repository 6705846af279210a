"""What hears of a watched session, in the order in which the host put them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from otel_untether.kill.killer import KillReport
    from otel_untether.proc_diag import TreeSnapshot
    from otel_untether.session.activity import AttributeValue, Change
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.summary import Summary
    from otel_untether.stall import Finding


class Listener:
    """Hears of one session; every method is optional.

    Times are ns since the epoch, on the session's clock. Methods are called by whoever feeds
    the session or ticks it, one at a time; what one raises is logged and costs the others
    nothing (but see `noted`).
    """

    def spawned(self, pid: int) -> None:
        """The agent's process runs."""

    def changed(self, changes: Iterable[Change]) -> None:
        """Activities began or ended, or something else happened in the session."""

    def recognised(self, engine: str, provider: str | None) -> None:
        """Its output told which engine it is; `provider` is who serves its models."""

    def identified(self, session_id: str) -> None:
        """The engine said which of its sessions this is."""

    def sampled(self, diag: TreeSnapshot, now: int) -> None:
        """The process tree was looked at."""

    def ticked(self, now: int) -> None:
        """Some time has passed, about a second."""

    def found(self, finding: Finding) -> None:
        """The detector reports; a kill that is carried out is told by `noted` instead."""

    def noted(self, event: str, facts: Mapping[str, AttributeValue], at: int) -> None:
        """A kill goes one step further. Where this raises for the decision, none is signalled."""

    def killed(self, cause: str, report: KillReport) -> None:
        """A kill is over, or was refused."""

    def ended(self, outcome: Outcome, summary: Summary, at: int) -> None:
        """The session is over; nothing is heard after this."""


def hooks(listeners: Sequence[Listener], name: str) -> list[Callable[..., object]]:
    """Return the methods called `name` of those listeners that have one of their own."""
    default = getattr(Listener, name)
    return [
        getattr(listener, name)
        for listener in listeners
        if getattr(type(listener), name, default) is not default
    ]
