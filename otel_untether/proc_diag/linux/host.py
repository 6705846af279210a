"""The machine and the control group (v2) a process runs in."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import procfs
from otel_untether.proc_diag.snapshot import CgroupDiag, HostDiag

_KIB: Final = 1024


class HostReader:
    """Reads the machine's state under `root` (/proc) and the cgroups under their mount."""

    def __init__(self, root: str = "/proc") -> None:
        self._root = root
        self._mount = find_cgroup2(files.read(f"{root}/self/mountinfo") or b"")

    def read(self) -> HostDiag:
        """Return memory, load and pressure; each None where the kernel does not say."""
        meminfo = files.read(f"{self._root}/meminfo")
        available = procfs.parse_field(meminfo, b"MemAvailable")
        load = files.read(f"{self._root}/loadavg")
        cpu, memory, io = (
            files.read(f"{self._root}/pressure/{name}") for name in ("cpu", "memory", "io")
        )
        return HostDiag(
            memory_available=None if available is None else available * _KIB,
            load1=float(load.split(maxsplit=1)[0]) if load else None,
            pressure_cpu_some=procfs.parse_pressure(cpu, b"some"),
            pressure_memory_some=procfs.parse_pressure(memory, b"some"),
            pressure_memory_full=procfs.parse_pressure(memory, b"full"),
            pressure_io_some=procfs.parse_pressure(io, b"some"),
        )

    def cgroup(self, path: str | None) -> CgroupDiag:
        """Return the state of a control group; nothing is known without cgroup v2."""
        if self._mount is None or path is None:
            return CgroupDiag(path=path)
        directory = self._mount.directory(path)
        current, limit = _memory(directory, self._mount.point)
        return CgroupDiag(
            path=path,
            memory_current=current,
            memory_max=limit,
            oom_kills=procfs.parse_field(files.read(f"{directory}/memory.events"), b"oom_kill "),
            throttled=_throttled(files.read(f"{directory}/cpu.stat")),
        )


class Mount(NamedTuple):
    """Where cgroup2 is mounted, and which cgroup is seen there."""

    point: str
    root: str

    def directory(self, path: str) -> str:
        """Return the directory of a cgroup by its path in /proc/<pid>/cgroup."""
        relative = path.removeprefix(self.root) if self.root != "/" else path
        return os.path.normpath(f"{self.point}/{relative}")


def find_cgroup2(mountinfo: bytes) -> Mount | None:
    """Find where cgroup2 is mounted (proc_pid_mountinfo(5))."""
    for line in mountinfo.splitlines():
        fields, _, kind = line.partition(b" - ")
        if kind.startswith(b"cgroup2 "):
            words = fields.split()
            return Mount(os.fsdecode(words[4]), os.fsdecode(words[3]))
    return None


def parse_membership(raw: bytes) -> str | None:
    """Return the v2 path of /proc/<pid>/cgroup, the line that begins with "0::"."""
    for line in raw.splitlines():
        if line.startswith(b"0::"):
            return os.fsdecode(line[3:])
    return None


def _memory(directory: str, top: str) -> tuple[int | None, int | None]:
    """Return use and limit of the nearest group that has a limit, else the own use and None."""
    own = _number(f"{directory}/memory.current")
    while directory.startswith(top):
        if (limit := _number(f"{directory}/memory.max")) is not None:
            return _number(f"{directory}/memory.current"), limit
        directory = directory.rpartition("/")[0]
    return own, None


def _number(path: str) -> int | None:
    raw = (files.read(path) or b"").strip()
    return int(raw) if raw.isdigit() else None


def _throttled(cpu_stat: bytes | None) -> float | None:
    microseconds = procfs.parse_field(cpu_stat, b"throttled_usec ")
    return None if microseconds is None else microseconds / 1e6
