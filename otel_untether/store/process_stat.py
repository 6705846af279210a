"""What tells a process from every other one, as the system has it.

A pid alone is recycled, a start time alone restarts with the machine, and both mean nothing in
another container's pid namespace; together they are unambiguous. On Linux nothing is imported
for it: a run's folder names its watcher before the agent is spawned.
"""

# ruff: noqa: PTH115, PTH123  pathlib takes 5 ms to import

from __future__ import annotations

import os
import sys


def identity(pid: int) -> dict[str, str | int] | None:
    """Return the fields of `ProcessIdentity` for a live process, None where there is none."""
    if sys.platform != "linux":
        started = psutil_started(pid)
        return {"pid": pid, "started": started} if started else None
    stat = linux_stat(pid)
    if stat is None:
        return None
    return {"pid": pid, "started": stat[1], "boot": boot(), "namespace": namespace()}


def linux_stat(pid: int) -> tuple[str, str] | None:
    """Return state and start time from /proc/pid/stat, proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command, in parentheses, may itself hold spaces and parentheses.
            fields = file.read().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return None
    return (fields[0].decode(), fields[19].decode()) if len(fields) > 19 else None


def boot() -> str:
    """Return the id of the machine's last start, empty where it cannot be read."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read().decode("ascii").strip()
    except (OSError, ValueError):
        return ""


def namespace() -> str:
    """Return the pid namespace that we see pids from, empty where it cannot be read."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def psutil_started(pid: int) -> str | None:
    """Return when a process started, where there is no /proc."""
    # Only here: it takes 30 ms to import, and Linux does without.
    import psutil  # noqa: PLC0415

    try:
        return repr(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
