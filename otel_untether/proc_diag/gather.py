"""Taking a deep look at a tree."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from otel_untether.proc_diag.deep_look import DeepLook
from otel_untether.proc_diag.sums import living

if TYPE_CHECKING:
    from otel_untether.proc_diag.tree import Tree


def look_deeper(tree: Tree) -> DeepLook:
    """Look at every thread, socket and descriptor of a tree; never waits for a hung member.

    What cannot be read here (another system, another user's process) is unknown in the result.
    """
    walk = tree.walk(tree.backend.begin())
    members = living(walk.found.values())
    agent = walk.agent
    identity = agent.process.identity if agent else tree.identity
    looks = tree.backend.look_deeper(members, identity, walk.handles)
    return DeepLook(
        time.monotonic(),
        identity,
        launchers=tuple(one.identity for one in agent.launchers) if agent else (),
        remote_client=agent.remote_client if agent else None,
        processes=looks.processes,
        sockets=looks.sockets,
        pipes=looks.pipes,
        cgroup=looks.cgroup,
        refusals=looks.refusals,
        complete=not looks.problems,
        problems=looks.problems,
    )
