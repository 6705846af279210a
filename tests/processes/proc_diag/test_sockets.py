"""A tree's own TCP sockets, among everybody else's."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether import proc_diag
from otel_untether.proc_diag.linux import procfs, sock_diag, socket_tables
from otel_untether.proc_diag.snapshot import SocketDiag
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.proc_diag.snapshot import TreeSnapshot

# Connects to the port given and answers every word it hears.
CLIENT = """
    import socket, sys, time
    peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    print("ready", flush=True)
    while peer.recv(100):
        peer.send(b"again")
"""


class Everything:
    """Contains every inode."""

    def __contains__(self, inode: object) -> bool:
        return True


@contextmanager
def listener(family: socket.AddressFamily = socket.AF_INET) -> Iterator[socket.socket]:
    """Listen on loopback."""
    with socket.create_server(
        ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family, backlog=1000
    ) as server:
        yield server


def look(pid: int) -> TreeSnapshot:
    """Look at a tree once."""
    (diag,) = proc_diag.sample([proc_diag.Tree(pid)])
    return diag


def states(diag: TreeSnapshot) -> list[str]:
    """Return the states of a tree's sockets."""
    assert diag.sockets is not None
    return sorted(tcp.state for tcp in diag.sockets)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_only_sockets_held_by_the_tree_are_counted(count: int) -> None:
    """Hundreds of other connections on the host, our own included, do not matter."""
    with ExitStack() as stack:
        server = stack.enter_context(listener())
        port = server.getsockname()[1]
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        pid = stack.enter_context(processes.holding_sockets(port, count))
        diag = look(pid)
    assert states(diag) == ["ESTABLISHED"] * count
    assert diag.sockets is not None
    assert {tcp.remote_port for tcp in diag.sockets} <= {port}


def test_listening_and_closing_sockets_are_counted_by_state() -> None:
    source = """
        import socket, sys
        listening = socket.create_server(("127.0.0.1", 0))
        half_closed = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        half_closed.recv(1)
        unix, udp = socket.socketpair(), socket.socket(type=socket.SOCK_DGRAM)
        print("ready", flush=True)
        sys.stdin.readline()
        import time; time.sleep(600)
    """
    with listener() as server, ExitStack() as stack:
        port = server.getsockname()[1]
        accepted: list[socket.socket] = []

        def accept_and_close() -> None:
            accepted.append(server.accept()[0])
            accepted[0].shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=accept_and_close)
        thread.start()
        process = stack.enter_context(processes.running(source, str(port)))
        thread.join()
        diag = look(process.pid)
        accepted[0].close()
    assert states(diag) == ["CLOSE_WAIT", "LISTEN"]


def test_ipv6_sockets_are_counted() -> None:
    with listener(socket.AF_INET6) as server:
        source = """
            import socket, sys, time
            held = socket.create_connection(("::1", int(sys.argv[1])))
            print("ready", flush=True)
            time.sleep(600)
        """
        with processes.running(source, str(server.getsockname()[1])) as process:
            diag = look(process.pid)
    assert states(diag) == ["ESTABLISHED"]


def test_socket_shared_with_a_child_is_counted_once() -> None:
    with listener() as server:
        source = """
            import os, socket, sys, time
            held = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
            if os.fork():
                print("ready", flush=True)
            time.sleep(600)
        """
        with processes.running(source, str(server.getsockname()[1])) as process:
            diag = look(process.pid)
    assert len(diag.children) == 1
    assert states(diag) == ["ESTABLISHED"]


def test_receive_age_tells_a_silent_peer_from_a_chatty_one() -> None:
    with listener() as server:
        port = str(server.getsockname()[1])
        with processes.running(CLIENT, port) as silent, processes.running(CLIENT, port) as chatty:
            peers = {peer.getpeername()[1]: peer for peer in (server.accept()[0] for _ in "12")}
            trees = [proc_diag.Tree(silent.pid), proc_diag.Tree(chatty.pid)]
            chatty_peer = list(peers.values())[1]
            deadline = time.monotonic() + 0.5
            while time.monotonic() < deadline:
                chatty_peer.send(b"word")
                chatty_peer.recv(100)
                time.sleep(0.02)
            ages = [diag.sockets[0] for diag in proc_diag.sample(trees) if diag.sockets]
            for peer in peers.values():
                peer.close()
    assert ages[0].receive_age is not None
    assert ages[1].receive_age is not None
    assert ages[1].send_age is not None
    assert ages[0].receive_age > 0.45
    assert ages[0].receive_age - ages[1].receive_age > 0.3
    assert ages[0].receive_age - ages[1].send_age > 0.3


def test_queues_show_data_nobody_reads() -> None:
    """What the process did not read waits in its receive queue; what nobody took, in the other."""
    source = """
        import socket, sys, time
        held = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        print("ready", flush=True)
        time.sleep(600)
    """
    with (
        listener() as server,
        processes.running(source, str(server.getsockname()[1])) as process,
        server.accept()[0] as peer,
    ):
        peer.send(bytes(1234))
        processes.eventually(lambda: queued(process.pid) == (1234, 0))


def queued(pid: int) -> tuple[int | None, int | None]:
    """Return the receive and send queue of a tree's one socket."""
    sockets = look(pid).sockets
    assert sockets is not None
    (tcp,) = sockets
    return tcp.receive_queue, tcp.send_queue


def test_socket_opened_between_two_looks_is_found() -> None:
    """A sleeping process is not read again; one that woke to connect is."""
    source = """
        import socket, sys, time
        print("ready", flush=True)
        sys.stdin.readline()
        held = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        print("connected", flush=True)
        time.sleep(600)
    """
    with listener() as server:
        port = str(server.getsockname()[1])
        with processes.running(source, port, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            tree = proc_diag.Tree(process.pid)
            before = [proc_diag.sample([tree])[0].sockets for _ in range(4)]
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            (after,) = proc_diag.sample([tree])
    assert before == [()] * 4
    assert states(after) == ["ESTABLISHED"]


def test_fallback_reads_the_same_sockets_without_ages() -> None:
    """Where netlink is barred, /proc/net/tcp has all but the ages."""
    with listener() as server, listener(socket.AF_INET6) as server6:
        ports = {server.getsockname()[1], server6.getsockname()[1]}
        with ExitStack() as stack:
            for _ in range(150):  # more than the kernel hands out in one read
                stack.enter_context(socket.create_connection(server.getsockname()))
            stack.enter_context(socket.create_connection(server6.getsockname()[:2]))
            by_netlink = sock_diag.dump(Everything())
            by_text = socket_tables.read_net_tcp("/proc/self/net")
    assert by_text is not None

    def ours(table: dict[int, SocketDiag]) -> dict[int, tuple[str, int]]:
        return {
            inode: (tcp.state, tcp.remote_port)
            for inode, tcp in table.items()
            if tcp.remote_port in ports
        }

    assert ours(by_text) == ours(by_netlink)
    assert len(ours(by_text)) == 151
    assert all(tcp.receive_age is None for tcp in by_text.values())
    assert all(by_netlink[inode].receive_age is not None for inode in ours(by_text))


def test_net_tcp_leaves_out_what_nobody_holds() -> None:
    text = (
        b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid ...\n"
        b"   0: 0100007F:1F90 0100007F:01BB 01 00000010:00000020 00:00000000 00000000 0 0 77 1\n"
        b"   1: 0100007F:1F90 0100007F:01BB 06 00000000:00000000 03:00000000 00000000 0 0 0 3\n"
        b"garbage\n"
    )
    assert procfs.parse_net_tcp(text) == {77: SocketDiag(77, "ESTABLISHED", 443, 16, 32)}


def message(inode: int, state: int = 1, *, info: bytes | None = None) -> bytes:
    """Build an inet_diag_msg, with TCP_INFO when given."""
    head = struct.pack("=BBBB", 2, state, 0, 0) + struct.pack(">HH", 1, 443) + bytes(44)
    body = head + struct.pack("=IIIII", 0, 5, 6, 1000, inode)
    return body if info is None else body + struct.pack("=HH", 4 + len(info), 2) + info


def parse(data: bytes) -> tuple[int, SocketDiag] | None:
    """Parse one message about socket 7."""
    return sock_diag.parse_message(data, 0, len(data), {7})


def test_message_without_tcp_info_has_unknown_ages() -> None:
    parsed = parse(message(7))
    assert parsed == (7, SocketDiag(7, "ESTABLISHED", 443, 6, 5))


def test_message_with_tcp_info_has_ages_in_seconds() -> None:
    info = bytes(44) + struct.pack("=IIII", 1500, 0, 250, 0)
    parsed = parse(message(7, info=info))
    assert parsed is not None
    assert (parsed[1].send_age, parsed[1].receive_age) == (1.5, 0.25)


def test_older_kernel_s_short_tcp_info_has_unknown_ages() -> None:
    parsed = parse(message(7, info=bytes(40)))
    assert parsed is not None
    assert parsed[1].receive_age is None


def test_socket_that_never_connected_has_no_ages() -> None:
    """The kernel counts from its boot there."""
    info = bytes(44) + struct.pack("=IIII", 99999, 0, 99999, 0)
    parsed = parse(message(7, state=2, info=info))
    assert parsed is not None
    assert parsed[1] == SocketDiag(7, "SYN_SENT", 443, 6, 5)


@given(st.binary(max_size=200))
def test_any_attributes_are_survived(attributes: bytes) -> None:
    parsed = parse(message(7) + attributes)
    assert parsed is not None


def datagram(kind: int, payload: bytes) -> bytes:
    """Build a netlink message."""
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 1, 0) + payload


def test_refusal_is_an_error_with_its_reason() -> None:
    with pytest.raises(FileNotFoundError, match="sock_diag: No such file"):
        sock_diag.take(datagram(2, struct.pack("=i", -2)), {7}, {})


def test_messages_until_the_end_are_taken() -> None:
    found: dict[int, SocketDiag] = {}
    data = b"".join(datagram(18, message(inode)) for inode in (7, 8, 9))
    assert not sock_diag.take(data, {7, 9}, found)
    assert sock_diag.take(datagram(3, bytes(4)), {7, 9}, found)
    assert found.keys() == {7, 9}
