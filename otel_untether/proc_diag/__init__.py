"""What a process tree is doing: snapshots of it, cheap enough to take all the time.

`sample` is the one function: it looks at any number of trees in one pass, through procfs and
sock_diag on Linux, through psutil elsewhere.
"""

from __future__ import annotations

from otel_untether.proc_diag.details import Dump, ProcessDump, ThreadDump, dump
from otel_untether.proc_diag.snapshot import (
    CgroupDiag,
    HostDiag,
    Identity,
    ProcDiag,
    ProcessDiag,
    SocketDiag,
)
from otel_untether.proc_diag.tree import Tree, identify, sample

__all__ = [
    "CgroupDiag",
    "Dump",
    "HostDiag",
    "Identity",
    "ProcDiag",
    "ProcessDiag",
    "ProcessDump",
    "SocketDiag",
    "ThreadDump",
    "Tree",
    "dump",
    "identify",
    "sample",
]
