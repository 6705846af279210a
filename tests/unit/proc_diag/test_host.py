"""The machine and control groups, as the kernel prints them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from otel_untether import proc_diag
from otel_untether.proc_diag.linux import procfs
from otel_untether.proc_diag.linux.host import HostReader, Mount, find_cgroup2, parse_membership
from otel_untether.proc_diag.snapshot import CgroupDiag, HostDiag

if TYPE_CHECKING:
    from pathlib import Path


def test_this_machine_has_memory_and_load() -> None:
    (diag,) = proc_diag.sample([proc_diag.Tree(os.getpid())])
    assert diag.host.memory_available is not None
    assert diag.host.memory_available > 2**20
    assert diag.host.load1 is not None


def test_machine_without_pressure_files_has_unknown_pressure(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  10 kB\nMemAvailable:  4 kB\n")
    assert HostReader(str(tmp_path)).read() == HostDiag(memory_available=4096)


def test_pressure_is_the_ten_second_average(tmp_path: Path) -> None:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "memory").write_text(
        "some avg10=1.50 avg60=2.00 avg300=3.00 total=9\n"
        "full avg10=0.25 avg60=2.00 avg300=3.00 total=9\n"
    )
    host = HostReader(str(tmp_path)).read()
    assert host.pressure_memory_some == 1.5
    assert host.pressure_memory_full == 0.25
    assert host.pressure_io_some is None


@pytest.fixture
def cgroups(tmp_path: Path) -> Path:
    """A machine with a cgroup2 mount and a limited slice in it."""
    leaf = tmp_path / "cgroup" / "agents" / "one"
    leaf.mkdir(parents=True)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_text(
        f"30 1 0:26 / /proc rw - proc proc rw\n"
        f"31 1 0:27 / {tmp_path}/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    )
    (leaf / "memory.current").write_text("700\n")
    (leaf / "memory.max").write_text("max\n")
    (leaf / "memory.events").write_text("low 0\noom 5\noom_kill 2\noom_group_kill 0\n")
    (leaf / "cpu.stat").write_text("usage_usec 9\nnr_throttled 3\nthrottled_usec 1500000\n")
    return tmp_path


def test_cgroup_tells_memory_kills_and_throttling(cgroups: Path) -> None:
    assert HostReader(str(cgroups)).cgroup("/agents/one") == CgroupDiag(
        "/agents/one", memory_current=700, memory_max=None, oom_kills=2, throttled=1.5
    )


def test_limit_of_an_enclosing_group_is_the_limit(cgroups: Path) -> None:
    """Together with that group's use: it is what the limit is held against."""
    (cgroups / "cgroup" / "agents" / "memory.max").write_text("1000\n")
    (cgroups / "cgroup" / "agents" / "memory.current").write_text("900\n")
    diag = HostReader(str(cgroups)).cgroup("/agents/one")
    assert (diag.memory_current, diag.memory_max) == (900, 1000)


def test_group_that_is_gone_is_unknown(cgroups: Path) -> None:
    assert HostReader(str(cgroups)).cgroup("/agents/two") == CgroupDiag("/agents/two")


def test_machine_without_cgroup2_is_unknown(tmp_path: Path) -> None:
    assert HostReader(str(tmp_path)).cgroup(None) == CgroupDiag()


def test_mount_of_a_part_of_the_hierarchy() -> None:
    mount = find_cgroup2(b"31 1 0:27 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    assert mount == Mount("/sys/fs/cgroup", "/pod")
    assert mount.directory("/pod/agent") == "/sys/fs/cgroup/agent"


def test_membership_is_the_line_of_version_2() -> None:
    assert parse_membership(b"4:memory:/a\n0::/user.slice\n") == "/user.slice"
    assert parse_membership(b"4:memory:/a\n") is None


@pytest.mark.parametrize("name", ["sh", "a) R 1 (b", "\xff", "", "x y"])
def test_stat_of_a_process_of_any_name(name: str) -> None:
    head = b"7 (" + name.encode("latin-1") + b") S 1 7 7 0 -1 4194560 1 2 3 4 "
    raw = head + b"150 50 20 5 20 0 3 0 4242 9999 10 18446744073709551615 0 0\n"
    stat = procfs.parse_stat(raw)
    assert (stat.state, stat.ppid, stat.pgid, stat.sid) == ("S", 1, 7, 7)
    assert stat.cpu_user == 150 / procfs.TICKS_PER_SECOND
    assert stat.cpu_system == 50 / procfs.TICKS_PER_SECOND
    assert stat.cpu_waited == 25 / procfs.TICKS_PER_SECOND
    assert (stat.threads, stat.start_time, stat.rss) == (3, 4242, 10 * procfs.PAGE_SIZE)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"rchar: 12\nwchar: 3\n", 3),
        (b"xwchar: 9\n", None),
        (b"wchar:\n", None),
        (b"wchar: many\n", None),
        (b"", None),
        (None, None),
    ],
)
def test_field_of_a_status_file(raw: bytes | None, value: int | None) -> None:
    assert procfs.parse_field(raw, b"wchar") == value


@pytest.mark.parametrize(
    ("raw", "value"), [(b"do_wait", "do_wait"), (b"0", None), (b"", None), (None, None)]
)
def test_wait_channel_zero_is_no_channel(raw: bytes | None, value: str | None) -> None:
    assert procfs.parse_wchan(raw) == value
