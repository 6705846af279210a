"""Naming a process on disk so that it can be recognised later, or its end be certain."""

from __future__ import annotations

import sys

import msgspec

from otel_untether.store import process_stat


class ProcessIdentity(msgspec.Struct, frozen=True):
    """A process; `started` is opaque, to be compared for equality only.

    On Linux it is field 22 of /proc/pid/stat, in ticks since boot, so `boot` (the kernel's
    boot_id) belongs to it; elsewhere seconds since the epoch. `namespace` is the pid
    namespace the pid was seen from, empty where there is none.
    """

    pid: int
    started: str
    boot: str = ""
    namespace: str = ""


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of a live process, None when it is gone or cannot be told."""
    found = process_stat.identity(pid)
    return msgspec.convert(found, ProcessIdentity) if found is not None else None


def is_running(process: ProcessIdentity) -> bool | None:
    """Whether that very process still runs; a zombie does not. None is unknown."""
    if sys.platform != "linux":
        return process_stat.psutil_started(process.pid) == process.started
    boot = process_stat.boot()
    if process.boot != boot:
        return False if process.boot and boot else None
    if process.namespace != process_stat.namespace():
        return None
    stat = process_stat.linux_stat(process.pid)
    return stat is not None and stat[0] not in ("Z", "X") and stat[1] == process.started
