"""Taking a deep look at a tree."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from otel_untether.proc_diag.deep_look import DeepLook
from otel_untether.proc_diag.sums import living

if sys.platform == "linux":
    # What its backend needs for it: by the time of a look there may be no memory to import it.
    from otel_untether.proc_diag.linux import deep  # noqa: F401

if TYPE_CHECKING:
    from otel_untether.proc_diag.deep_look import ProcessLook
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


def look_at_agent(tree: Tree) -> ProcessLook | None:
    """Look at the agent's own process as `look_deeper` does, at a fraction of the cost.

    None where there is none, or it cannot be looked at.
    """
    walk = tree.walk(tree.backend.begin())
    identity = walk.agent.process.identity if walk.agent else tree.identity
    members = living(walk.found.values())
    agent = next((one for one in members if one.identity == identity), None)
    return None if agent is None else tree.backend.look_at(agent, walk.handles)
