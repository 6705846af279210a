"""Where something may not be read, it is unknown: never zero, never an error."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether import proc_diag
from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import process as linux_process
from otel_untether.proc_diag.linux.backend import LinuxBackend
from tests.support import processes

if TYPE_CHECKING:
    from pathlib import Path

    from otel_untether.proc_diag.snapshot import TreeSnapshot

LOOK = """
    import json, sys
    from otel_untether import proc_diag
    (diag,) = proc_diag.sample([proc_diag.Tree(int(sys.argv[1]))])
    leader = diag.leader
    print(json.dumps({
        "alive": diag.alive,
        "sockets": diag.sockets and [[tcp.state, tcp.receive_age] for tcp in diag.sockets],
        "fds": diag.fds, "rss": diag.rss, "cpu_time": diag.cpu_time, "io_read": diag.io_read,
        "wchan": leader and leader.wchan, "state": leader and leader.state,
        "processes": len(diag.processes), "problems": diag.problems,
    }))
"""

# A real seccomp filter: socket(AF_NETLINK, …) fails with EPERM.
NO_NETLINK = """
    import ctypes, platform, struct
    SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]
    code = [(0x20, 0, 0, 0), (0x15, 0, 3, SOCKET), (0x20, 0, 0, 16), (0x15, 0, 1, 16),
            (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    header = struct.pack("=HxxxxxxQ", len(code), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, header, 0, 0) == 0, ctypes.get_errno()
"""


def look_from_elsewhere(
    pid: int, *, first: str = "", last: str = "", prefix: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Look at a tree from another process, one that may do less."""
    source = textwrap.dedent(first) + textwrap.dedent(LOOK) + textwrap.dedent(last)
    command = [*prefix, sys.executable, "-c", source, str(pid)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def as_nobody() -> tuple[str, ...]:
    """Return what turns a command into another user's; in a user namespace where not root."""
    if os.geteuid() == 0:
        return ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    return ("unshare", "--user", "--")


def test_another_user_s_process_has_what_is_public_and_the_rest_unknown() -> None:
    with processes.sleeper() as pid:
        seen = look_from_elsewhere(pid, prefix=as_nobody())
    assert seen["alive"] is True
    assert seen["state"] == "S"
    assert seen["rss"] > 0
    assert seen["cpu_time"] is not None
    assert seen["fds"] is None
    assert seen["sockets"] is None
    assert seen["io_read"] is None
    assert seen["wchan"] is None
    assert seen["problems"] == [f"descriptors of process {pid} cannot be read"]


def test_barred_netlink_falls_back_to_the_text_tables() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with processes.holding_sockets(port, 2) as pid:
            seen = look_from_elsewhere(pid, first=NO_NETLINK)
    assert seen["sockets"] == [["ESTABLISHED", None]] * 2
    assert seen["problems"] == []


def in_empty_network() -> tuple[str, ...]:
    """Return what starts a command in a network namespace with nothing in it."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *user, "--net", "--")


def test_sockets_in_another_network_namespace_are_found() -> None:
    source = """
        import socket, time
        listening = socket.create_server(("127.0.0.1", 0))
        print("ready", flush=True)
        time.sleep(600)
    """
    with processes.running(source, prefix=in_empty_network()) as process:
        (diag,) = proc_diag.sample([proc_diag.Tree(process.pid)])
    assert diag.sockets is not None
    assert [tcp.state for tcp in diag.sockets] == ["LISTEN"]


def test_namespace_with_nothing_in_it_has_no_sockets() -> None:
    """Unix and UDP sockets are not TCP ones, there as here."""
    source = """
        import socket, time
        held = socket.socketpair(), socket.socket(type=socket.SOCK_DGRAM)
        print("ready", flush=True)
        time.sleep(600)
    """
    with processes.running(source, prefix=in_empty_network()) as process:
        (diag,) = proc_diag.sample([proc_diag.Tree(process.pid)])
    assert diag.sockets == ()
    assert diag.problems == ()


def test_sockets_outside_are_found_from_a_namespace_with_nothing_in_it() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        processes.holding_sockets(server.getsockname()[1], 1) as pid,
    ):
        seen = look_from_elsewhere(pid, prefix=in_empty_network())
    readable = os.geteuid() == 0
    assert seen["sockets"] == ([["ESTABLISHED", None]] if readable else None)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc that shows only what is linked into it, as hidepid=2 does."""
    (tmp_path / "self").symlink_to("/proc/self")
    (tmp_path / "meminfo").symlink_to("/proc/meminfo")
    return tmp_path


def look_in(proc: Path, tree: int) -> TreeSnapshot:
    """Look at a tree through another /proc."""
    (diag,) = proc_diag.sample([proc_diag.Tree(tree, backend=LinuxBackend(str(proc)))])
    return diag


def test_hidden_process_is_neither_alive_nor_dead(proc: Path) -> None:
    with processes.sleeper() as pid:
        diag = look_in(proc, pid)
    assert diag.alive is None
    assert (diag.rss, diag.fds, diag.cpu_time, diag.sockets) == (None,) * 4
    assert diag.problems == (f"process {pid} is hidden",)


def test_hidden_child_makes_the_sums_unknown(proc: Path) -> None:
    with processes.setsid_child() as pid:
        (proc / str(pid)).symlink_to(f"/proc/{pid}")
        diag = look_in(proc, pid)
    assert diag.alive is True
    assert len(diag.processes) == 2
    assert (diag.rss, diag.fds, diag.cpu_time, diag.sockets) == (None,) * 4
    assert diag.leader is not None
    assert diag.leader.rss is not None


def test_missing_proc_makes_everything_unknown(tmp_path: Path) -> None:
    diag = look_in(tmp_path / "nothing", os.getpid())
    assert diag.alive is None
    assert diag.processes == ()
    assert diag.rss is None
    assert diag.sockets is None
    assert diag.host.memory_available is None
    assert diag.cgroup.path is None


RECYCLE = """
    import os, signal, sys, time
    from otel_untether import proc_diag
    from otel_untether.proc_diag.linux.backend import LinuxBackend

    def child():
        if (pid := os.fork()) == 0:
            signal.pause()
        return pid

    backend = LinuxBackend()
    backend.budget._share = float(sys.argv[1])
    pid = child()
    tree = proc_diag.Tree(pid, backend=backend)
    (before,) = proc_diag.sample([tree])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    time.sleep(0.05)
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(pid - 1))
    assert child() == pid, "the pid was not recycled"
    (after,) = proc_diag.sample([tree])
    print(before.alive, after.alive, len(after.processes), proc_diag.identify(pid) is not None)
    os.kill(pid, signal.SIGKILL)
"""


@pytest.mark.parametrize("kept_open", ["0.25", "0"])
def test_recycled_pid_is_never_taken_for_the_member(kept_open: str) -> None:
    """With the file kept open, and without."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    command = ["unshare", *user, "--pid", "--fork", "--mount-proc", "--"]
    command += [sys.executable, "-c", textwrap.dedent(RECYCLE), kept_open]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.split() == ["True", "False", "0", "True"]


def test_process_that_dies_while_it_is_read_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was there for its stat, and is gone for the rest."""
    with processes.running("print('ready', flush=True); input()", stdin=subprocess.PIPE) as process:
        tree = proc_diag.Tree(process.pid)
        follow = linux_process.LinuxHandle._follow_threads

        def die_first(handle: linux_process.LinuxHandle, count: int) -> None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            follow(handle, count)

        monkeypatch.setattr(linux_process.LinuxHandle, "_follow_threads", die_first)
        (diag,) = proc_diag.sample([tree])
    assert diag.alive is False
    assert diag.processes == ()
    assert diag.rss == 0


def test_process_that_becomes_a_zombie_while_it_is_read_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with processes.sleeper() as pid:
        tree = proc_diag.Tree(pid)
        follow = linux_process.LinuxHandle._follow_threads

        def die_first(handle: linux_process.LinuxHandle, count: int) -> None:
            os.kill(pid, signal.SIGKILL)
            processes.eventually(lambda: processes.state_of(pid) == "Z")
            follow(handle, count)

        monkeypatch.setattr(linux_process.LinuxHandle, "_follow_threads", die_first)
        (diag,) = proc_diag.sample([tree])
    assert diag.alive is False
    assert diag.zombies == 1
    assert diag.fds == 0


def test_kernel_without_lists_of_children_is_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    read = files.read

    def read_no_children(path: str) -> bytes | None:
        return None if path.endswith("/children") else read(path)

    monkeypatch.setattr(files, "read", read_no_children)
    with processes.setsid_child() as pid:
        (diag,) = proc_diag.sample([proc_diag.Tree(pid)])
    assert len(diag.children) == 1


def test_few_descriptors_are_left_to_the_host() -> None:
    """With a small limit the files are opened and closed each time, and nothing is lost."""
    source = """
        import os, resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 40))
        before = len(os.listdir("/proc/self/fd"))
    """
    check = """
        assert len(os.listdir("/proc/self/fd")) - before <= 2
    """
    with processes.setsid_child() as pid:
        done = look_from_elsewhere(pid, first=source, last=check)
    assert done["processes"] == 2
    assert done["fds"] > 0


def test_process_with_more_descriptors_than_we_follow_has_unknown_sockets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linux_process, "MAX_LINKS", 10)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        processes.holding_sockets(server.getsockname()[1], 1) as pid,
    ):
        (diag,) = proc_diag.sample([proc_diag.Tree(pid)])
    assert diag.fds is not None
    assert diag.fds > 10
    assert diag.sockets is None


def test_sampling_opens_nothing_that_a_sick_process_can_hold_up() -> None:
    """`cmdline`, `environ`, `maps` and `smaps` wait for the target's memory lock."""
    source = """
        import sys
        opened = []
        sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
    """
    check = """
        assert any(path.endswith("/stat") for path in opened)
        names = {path.rpartition("/")[2] for path in opened if path.startswith("/proc/")}
        assert not names & {"cmdline", "environ", "maps", "smaps", "smaps_rollup", "numa_maps",
                            "auxv", "mem", "pagemap", "stack"}, names
    """
    with processes.burning_child() as pid:
        seen = look_from_elsewhere(pid, first=source, last=check)
    assert seen["alive"] is True


def test_a_process_that_ends_while_its_descriptors_are_read_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its directory is open, and then there is nothing behind it."""

    def gone(_: int) -> os.stat_result:
        raise FileNotFoundError

    with processes.sleeper() as pid:
        tree = proc_diag.Tree(pid)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", gone)
            (diag,) = proc_diag.sample([tree])
    assert diag.fds is None
    assert caplog.text == ""


def test_psutil_is_not_imported_where_procfs_is() -> None:
    source = """
        import os, sys
        from otel_untether import proc_diag
        proc_diag.sample([proc_diag.Tree(os.getpid())])
        proc_diag.look_deeper(proc_diag.Tree(os.getpid()))
        proc_diag.dump(proc_diag.Tree(os.getpid()))
        print("psutil" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(source)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.strip() == "False"
