"""Where each socket of a real tree leads: a row a kind."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from otel_untether.proc_diag import DeepLook, SocketLook, Tree, look_deeper
from otel_untether.proc_diag.linux import raw_sockets
from tests.support.processes import eventually, running

if TYPE_CHECKING:
    from pathlib import Path

    from otel_untether.proc_diag.linux.raw_sockets import RawSocket

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HOLD = """
import os, socket, subprocess, sys, time
port, path = int(sys.argv[1]), sys.argv[2]
{}
print("ready", flush=True)
time.sleep(600)
"""

# What makes the sockets, and of each: family, state, reach, whether something may come in on it.
CASES: dict[str, tuple[str, list[tuple[str, str | None, str | None, bool]]]] = {
    "a connection to a server": (
        "a = socket.create_connection(('127.0.0.1', port))",
        [("tcp", "ESTABLISHED", "outside", True)],
    ),
    "one over IPv6": (
        "a = socket.create_connection(('::ffff:127.0.0.1', port))",
        [("tcp", "ESTABLISHED", "outside", True)],
    ),
    "one that is not accepted, and one that cannot be made": (
        """
a = socket.create_server(("127.0.0.1", 0), backlog=0)
b = [socket.socket() for _ in range(2)]
for one in b: one.setblocking(False); one.connect_ex(a.getsockname())
""",
        [
            ("tcp", "LISTEN", "outside", True),
            ("tcp", "ESTABLISHED", "outside", True),
            ("tcp", "SYN_SENT", "outside", True),
        ],
    ),
    "a server of its own, and a client of it": (
        """
a = socket.create_server(("127.0.0.1", 0))
b = socket.create_connection(a.getsockname()); c, _ = a.accept()
""",
        [
            ("tcp", "LISTEN", "outside", True),
            ("tcp", "ESTABLISHED", "inside", False),
            ("tcp", "ESTABLISHED", "inside", False),
        ],
    ),
    "a TCP socket that was never connected": (
        "a = socket.socket()",
        [("tcp", "CLOSE", "nowhere", False)],
    ),
    "a socket pair": (
        "a = socket.socketpair()",
        [("unix", "ESTABLISHED", "inside", False)] * 2,
    ),
    "a pair of datagram sockets": (
        "a = socket.socketpair(type=socket.SOCK_DGRAM)",
        [("unix", "ESTABLISHED", "inside", False)] * 2,
    ),
    "a pair whose other end is closed": (
        "a, b = socket.socketpair(); b.close()",
        [("unix", "CLOSE_WAIT", "nowhere", False)],
    ),
    "a client of a UNIX server": (
        "a = socket.socket(socket.AF_UNIX); a.connect(path)",
        [("unix", "ESTABLISHED", "watcher", True)],
    ),
    "a UNIX server": (
        "a = socket.socket(socket.AF_UNIX); a.bind('\\0untether' + path); a.listen()",
        [("unix", "LISTEN", "outside", True)],
    ),
    "a named datagram socket": (
        "a = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); a.bind('\\0untether' + path)",
        [("unix", "CLOSE", "outside", True)],
    ),
    "a datagram socket without a name": (
        "a = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
        [("unix", "CLOSE", "nowhere", False)],
    ),
    "a QUIC client": (
        "a = socket.socket(type=socket.SOCK_DGRAM); a.connect(('127.0.0.1', port))",
        [("udp", "ESTABLISHED", "outside", True)],
    ),
    "a UDP socket that anybody may send to": (
        "a = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); a.bind(('::1', 0))",
        [("udp", "CLOSE", "outside", True)],
    ),
    "a UDP socket without an address": (
        "a = socket.socket(type=socket.SOCK_DGRAM)",
        [("udp", "CLOSE", "nowhere", False)],
    ),
    "two UDP sockets connected to each other": (
        """
a, b = (socket.socket(type=socket.SOCK_DGRAM) for _ in "ab")
a.bind(("127.0.0.1", 0)); b.bind(("127.0.0.1", 0))
a.connect(b.getsockname()); b.connect(a.getsockname())
""",
        [("udp", "ESTABLISHED", "inside", False)] * 2,
    ),
    "netlink": (
        "a = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); a.bind((0, 0))",
        [("netlink", None, "kernel", True)],
    ),
}


def sockets_of(pid: int) -> tuple[SocketLook, ...]:
    sockets = look_deeper(Tree(pid)).sockets
    assert sockets is not None
    return sockets


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_socket_leads_where_it_leads(
    case: tuple[str, list[tuple[str, str | None, str | None, bool]]], tmp_path: Path
) -> None:
    source, expected = case
    path = str(tmp_path / "s")
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(path)
        unix.listen()
        with running(HOLD.format(source), str(server.getsockname()[1]), path) as process:
            accepted = unix.accept() if "connect(path)" in source else None
            found = sockets_of(process.pid)
            again = sockets_of(process.pid)  # what was met is asked for otherwise
            if accepted:
                accepted[0].close()
    assert [(s.family, s.state, s.reach, s.leads_out) for s in found] == expected
    assert [_lasting(one) for one in again] == [_lasting(one) for one in found]


def _lasting(socket: SocketLook) -> SocketLook:
    return replace(socket, send_age=None, receive_age=None)


def test_a_pair_between_two_members_is_inside_whoever_holds_which_end() -> None:
    """As Node gives its children: the parent's end leads to a member, and so does the child's."""
    source = HOLD.format("""
a, b = socket.socketpair()
child = subprocess.Popen(["sleep", "600"], stdin=b)
b.close()
""")
    with running(source, "0", "") as process:
        tree = Tree(process.pid)
        eventually(lambda: len(look_deeper(tree).processes) == 2)
        found = look_deeper(tree).sockets or ()
    assert [(s.reach, s.numbers) for s in found] == [("inside", (3,)), ("inside", (0,))]
    assert found[0].owner != found[1].owner
    assert found[1].owner_name == "sleep"


def test_owner_holders_and_descriptors_of_a_socket_that_is_shared() -> None:
    source = HOLD.format("a = socket.socketpair()[0]; b = a.dup(); os.fork()")
    with running(source, "0", "") as process:
        tree = Tree(process.pid)
        eventually(lambda: len(look_deeper(tree).processes) == 2)
        look = look_deeper(tree)
    (found,) = look.sockets or ()
    assert found.owner.pid == process.pid
    assert set(found.holders) == {one.identity.pid for one in look.processes}
    assert len(found.numbers) == 2


def test_what_came_and_went_on_a_connection_and_when() -> None:
    source = HOLD.format("a = socket.create_connection(('127.0.0.1', port)); a.sendall(b'request')")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with running(source, str(port), "") as process:
            connection, _ = server.accept()
            connection.sendall(b"answer, never read")
            eventually(lambda: sockets_of(process.pid)[0].bytes_received == 18)
            (found,) = sockets_of(process.pid)
            assert found.remote == f"127.0.0.1:{port}"
            assert found.local == "{}:{}".format(*connection.getpeername())
            assert (found.bytes_sent, found.receive_queue) == (7, 18)
            assert 0 <= (found.receive_age or 0) <= (found.send_age or 0)
            connection.close()


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="needs a namespace")
def test_in_another_network_namespace_ages_are_unknown_and_addresses_are_not() -> None:
    source = HOLD.format("""
subprocess.run(["ip", "link", "set", "lo", "up"])
a = socket.create_server(("127.0.0.1", 0))
b = socket.create_connection(a.getsockname()); c, _ = a.accept()
d = socket.socket(type=socket.SOCK_DGRAM); d.bind(("127.0.0.1", 0))
""")
    with running(source, "0", "", prefix=("unshare", "-n")) as process:
        found = sockets_of(process.pid)
    assert [(s.family, s.state, s.reach) for s in found] == [
        ("tcp", "LISTEN", "outside"), ("tcp", "ESTABLISHED", "inside"),
        ("tcp", "ESTABLISHED", "inside"), ("udp", "CLOSE", "outside"),
    ]  # fmt: skip
    assert found[1].receive_age is None
    assert (found[1].local, found[1].remote) == (found[2].remote, found[2].local)


def test_without_netlink_what_only_it_tells_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seccomp filter, gVisor: the text tables know no UNIX socket's peer."""

    def barred(*_: object) -> dict[int, object]:
        raise PermissionError

    for name in ("tcp", "udp", "unix"):
        monkeypatch.setattr(f"otel_untether.proc_diag.linux.raw_sockets.{name}", barred)
    source = HOLD.format(
        "a = socket.socketpair(); b = socket.create_connection(('127.0.0.1', port))"
    )
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        running(source, str(server.getsockname()[1]), "") as process,
    ):
        look: DeepLook = look_deeper(Tree(process.pid))
    assert [(s.family, s.state, s.reach) for s in look.sockets or ()] == [
        ("unix", "ESTABLISHED", None), ("unix", "ESTABLISHED", None),
        ("tcp", "ESTABLISHED", "outside"),
    ]  # fmt: skip
    assert len(look.outward or ()) == 3


def test_what_was_met_before_is_asked_for_alone_and_told_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No dump for the second look, though bytes came meanwhile; one once a socket is closed."""
    source = HOLD.format(
        "a = socket.create_connection(('127.0.0.1', port)); b = socket.socketpair(); "
        "threading.Thread(target=lambda: (a.recv(5), a.close())).start()"
    )
    dumps: list[object] = []
    dump = raw_sockets.tcp

    def counted(wanted: set[int], keys: dict[int, bytes]) -> dict[int, RawSocket]:
        dumps.append(wanted)
        return dump(wanted, keys)

    monkeypatch.setattr(raw_sockets, "tcp", counted)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        running("import threading\n" + source, str(server.getsockname()[1]), "") as process,
    ):
        tree = Tree(process.pid)
        before = tcp_of(look_deeper(tree))
        again: list[SocketLook] = []

        def needs_no_dump() -> bool:
            """Unless a socket of ours has just been opened, by another thread."""
            dumps.clear()
            again[:] = tcp_of(look_deeper(tree))
            return not dumps

        eventually(needs_no_dump)
        assert [(s.inode, s.remote, s.state) for s in again] == [
            (s.inode, s.remote, s.state) for s in before
        ]
        assert [s.bytes_received for s in again] == [0]
        accepted, _ = server.accept()
        accepted.sendall(b"hello")
        eventually(lambda: not tcp_of(look_deeper(tree)))
        accepted.close()


def tcp_of(look: DeepLook) -> list[SocketLook]:
    return [one for one in look.sockets or () if one.family == "tcp"]
