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
    looks = tree.backend.look_deeper(members, tree.identity)
    return DeepLook(
        time.monotonic(),
        tree.identity,
        processes=looks.processes,
        sockets=looks.sockets,
        cgroup=looks.cgroup,
        complete=not looks.problems and all(p.all_threads for p in looks.processes),
        problems=looks.problems,
    )
