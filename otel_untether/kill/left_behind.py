"""Ending what a session left behind: tools and servers that outlived their agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_untether import semconv
from otel_untether.kill.killer import Killer, KillReport
from otel_untether.proc_diag.tree import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_untether.proc_diag.snapshot import ProcessSnapshot
    from otel_untether.proc_diag.tree import Tree
    from otel_untether.session.activity import AttributeValue


def described(members: Sequence[ProcessSnapshot]) -> tuple[str, ...]:
    """Return each as `pid name`, the name `?` where it is unknown.

    >>> described([])
    ()
    """
    return tuple(f"{member.identity.pid} {member.name or '?'}" for member in members)


def end_left_behind(
    tree: Tree,
    *,
    grace: float,
    record: Callable[[str, Mapping[str, AttributeValue]], object],
    reap: bool = False,
) -> KillReport:
    """End what is left of a tree whose root has ended, as `Killer` ends a whole one.

    :param tree: the session's tree, still open: it remembers who was a member.
    :param grace: seconds between SIGTERM and SIGKILL.
    :param record: called with an event's name and attributes, for the decision first; if that
        raises, nothing is signalled.
    :param reap: wait for those that this process has inherited (it is their subreaper).

    Where the root lives, or may, nothing is done, and the report says so in `refused`.
    """
    members = tree.left_behind()
    if sample([tree])[0].alive is not False:
        return KillReport(refused="the agent has not ended")
    if not members:
        return KillReport()
    decision = {semconv.LEFT_BEHIND: described(members)}
    return Killer(tree, grace=grace, record=record, reap=reap).kill(decision)
