"""What a process tree is doing: snapshots of it, cheap enough to take all the time.

`sample` looks at any number of trees in one pass, through procfs and sock_diag on Linux, through
psutil elsewhere. `look_deeper` looks at every thread and socket of one, before a verdict; what
only that takes is imported when it is first asked for, as most sessions come to no verdict.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from otel_untether.proc_diag.snapshot import (
    CgroupDiag,
    HostDiag,
    Identity,
    ProcessSnapshot,
    SocketDiag,
    TreeSnapshot,
)
from otel_untether.proc_diag.tree import Tree, identify, sample

if TYPE_CHECKING:
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

_LATER: Final = {
    "deep_look": (
        "CgroupLook", "DeepLook", "DescriptorLook", "ProcessLook", "SocketLook", "StdinLook",
        "ThreadLook",
    ),
    "details": ("Dump", "ProcessDump", "ThreadDump", "dump"),
    "gather": ("look_deeper",),
}  # fmt: skip


def __getattr__(name: str) -> object:
    for module, names in _LATER.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
