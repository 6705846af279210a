"""Control groups, v2 and v1: whether one is frozen, and how short of memory it is.

A frozen process sleeps (state S) wherever it happened to be, which looks like any other sleep.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from otel_untether.proc_diag.deep_look import CgroupLook
from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import procfs
from otel_untether.proc_diag.linux.host import Mount, find_cgroup2, parse_membership

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_LIMIT: Final = 1 << 60  # v1 says "unlimited" with a number near the largest


class Cgroups:
    """The control groups as they are mounted here; remembers within one look what it has read."""

    def __init__(self, root: str) -> None:
        mounts = _mounts(files.read(f"{root}/self/mountinfo") or b"")
        self._unified, self._freezer, self._memory = mounts
        self._frozen: dict[bytes, bool | None] = {}

    def frozen(self, base: str) -> bool | None:
        """Whether the process at `base` is in a group that is frozen, or is being frozen."""
        membership = files.read(f"{base}/cgroup")
        if membership is None:
            return None
        if membership not in self._frozen:
            self._frozen[membership] = self._is_frozen(membership)
        return self._frozen[membership]

    def _is_frozen(self, membership: bytes) -> bool | None:
        answers = [self._frozen_by_v2(membership), self._frozen_by_v1(membership)]
        return True if True in answers else False if False in answers else None

    def _frozen_by_v2(self, membership: bytes) -> bool | None:
        path = parse_membership(membership)
        if path is None or self._unified is None:
            return None
        if path == "/" and self._unified.root == "/":
            return False  # the root group cannot be frozen
        switches = [
            _number(f"{directory}/cgroup.freeze") for directory in _upwards(self._unified, path)
        ]
        known = [switch for switch in switches if switch is not None]
        return any(known) if known else None

    def _frozen_by_v1(self, membership: bytes) -> bool | None:
        path = parse_controller(membership, b"freezer")
        if path is None or self._freezer is None:
            return None
        state = files.read(f"{self._freezer.directory(path)}/freezer.state")
        if state is None:
            return False if path == "/" else None  # the root group has no such file
        return state.strip() != b"THAWED"

    def look(self, base: str) -> CgroupLook:
        """Look at the control group of the process at `base`."""
        membership = files.read(f"{base}/cgroup")
        if membership is None:
            return CgroupLook()
        path = parse_membership(membership)
        memory = self._memory_by_v2(path) or self._memory_by_v1(membership) or CgroupLook()
        return replace(memory, path=path, frozen=self.frozen(base))

    def _memory_by_v2(self, path: str | None) -> CgroupLook | None:
        """Return the memory of the nearest group that accounts for it, None if none does."""
        for directory in _upwards(self._unified, path) if self._unified and path else ():
            if (current := _number(f"{directory}/memory.current")) is not None:
                pressure = files.read(f"{directory}/memory.pressure")
                events = files.read(f"{directory}/memory.events")
                return CgroupLook(
                    memory_current=current,
                    memory_max=_number(f"{directory}/memory.max"),
                    memory_some=procfs.parse_pressure(pressure, b"some"),
                    memory_full=procfs.parse_pressure(pressure, b"full"),
                    oom_kills=procfs.parse_field(events, b"oom_kill "),
                )
        return None

    def _memory_by_v1(self, membership: bytes) -> CgroupLook | None:
        path = parse_controller(membership, b"memory")
        if path is None or self._memory is None:
            return None
        directory = self._memory.directory(path)
        limit = _number(f"{directory}/memory.limit_in_bytes")
        return CgroupLook(
            memory_current=_number(f"{directory}/memory.usage_in_bytes"),
            memory_max=limit if limit is not None and limit < _NO_LIMIT else None,
            oom_kills=procfs.parse_field(
                files.read(f"{directory}/memory.oom_control"), b"oom_kill "
            ),
        )


@lru_cache(maxsize=4)  # it hardly ever changes, and has a line for each of a container's mounts
def _mounts(mountinfo: bytes) -> tuple[Mount | None, Mount | None, Mount | None]:
    """Return where cgroup2 and the controllers freezer and memory are mounted."""
    freezer, memory = (find_controller(mountinfo, name) for name in (b"freezer", b"memory"))
    return find_cgroup2(mountinfo), freezer, memory


def find_controller(mountinfo: bytes, controller: bytes) -> Mount | None:
    """Find where a v1 controller is mounted (proc_pid_mountinfo(5))."""
    for line in mountinfo.splitlines():
        fields, _, kind = line.partition(b" - ")
        if kind.startswith(b"cgroup ") and controller in kind.split()[-1].split(b","):
            words = fields.split()
            return Mount(os.fsdecode(words[4]), os.fsdecode(words[3]))
    return None


def parse_controller(membership: bytes, controller: bytes) -> str | None:
    """Return the path in a v1 controller's hierarchy, of a /proc/<pid>/cgroup."""
    for line in membership.splitlines():
        _, controllers, path = line.split(b":", 2)
        if controller in controllers.split(b","):
            return os.fsdecode(path)
    return None


def _upwards(mount: Mount, path: str) -> Iterator[str]:
    """Yield the directory of a group, and of each above it as far as they are mounted."""
    directory = mount.directory(path)
    while directory.startswith(mount.point):
        yield directory
        directory = directory.rpartition("/")[0]


def _number(path: str) -> int | None:
    raw = (files.read(path) or b"").strip()
    return int(raw) if raw.isdigit() else None
