"""What a process tree is doing: snapshots of it, cheap enough to take all the time.

`sample` looks at any number of trees in one pass, through procfs and sock_diag on Linux, through
psutil elsewhere. `look_deeper` looks at every thread and socket of one, before a verdict.
"""

from __future__ import annotations

from otel_untether.proc_diag.deep_look import (
    CgroupLook,
    DeepLook,
    DescriptorLook,
    ProcessLook,
    SocketLook,
    StdinLook,
    ThreadLook,
)
from otel_untether.proc_diag.details import Dump, ProcessDump, ThreadDump, dump
from otel_untether.proc_diag.gather import look_deeper
from otel_untether.proc_diag.snapshot import (
    CgroupDiag,
    HostDiag,
    Identity,
    ProcessSnapshot,
    SocketDiag,
    TreeSnapshot,
)
from otel_untether.proc_diag.tree import Tree, identify, sample

__all__ = [
    "CgroupDiag",
    "CgroupLook",
    "DeepLook",
    "DescriptorLook",
    "Dump",
    "HostDiag",
    "Identity",
    "ProcessDump",
    "ProcessLook",
    "ProcessSnapshot",
    "SocketDiag",
    "SocketLook",
    "StdinLook",
    "ThreadDump",
    "ThreadLook",
    "Tree",
    "TreeSnapshot",
    "dump",
    "identify",
    "look_deeper",
    "sample",
]
