"""Naming a process on disk so that it can be recognised later, or its end be certain.

A pid alone is recycled, a start time alone restarts with the machine, and both mean nothing
in another container's pid namespace; the three together are unambiguous.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import msgspec


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
    if sys.platform != "linux":
        started = _psutil_started(pid)
        return ProcessIdentity(pid, started) if started else None
    stat = _linux_stat(pid)
    return ProcessIdentity(pid, stat[1], _boot(), _namespace()) if stat else None


def is_running(process: ProcessIdentity) -> bool | None:
    """Whether that very process still runs; a zombie does not. None is unknown."""
    if sys.platform != "linux":
        return _psutil_started(process.pid) == process.started
    if process.boot != _boot():
        return False if process.boot and _boot() else None
    if process.namespace != _namespace():
        return None
    stat = _linux_stat(process.pid)
    return stat is not None and stat[0] not in ("Z", "X") and stat[1] == process.started


def _linux_stat(pid: int) -> tuple[str, str] | None:
    """Return state and start time from /proc/pid/stat, proc_pid_stat(5)."""
    try:
        # The command, in parentheses, may itself hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return (fields[0].decode(), fields[19].decode()) if len(fields) > 19 else None


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return ""


def _namespace() -> str:
    with contextlib.suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def _psutil_started(pid: int) -> str | None:
    # Only here: it takes 30 ms to import, and Linux does without.
    import psutil  # noqa: PLC0415

    try:
        return repr(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
