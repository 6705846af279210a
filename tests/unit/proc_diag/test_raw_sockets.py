"""The kernel's words about sockets, threads and groups, parsed."""

from __future__ import annotations

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.proc_diag.linux.cgroups import find_controller, parse_controller
from otel_untether.proc_diag.linux.descriptors import stdin_kind
from otel_untether.proc_diag.linux.netlink import attributes, messages
from otel_untether.proc_diag.linux.raw_sockets import (
    address,
    parse_inet_table,
    parse_unix,
    parse_unix_table,
    socket_name,
)
from otel_untether.proc_diag.linux.threads import parse_syscall

LOOPBACK, ANY = b"0000000000000000FFFF00000100007F", b"0" * 32
TCP6 = b"\n".join((
    b"  sl  local_address  remote_address  st  tx_queue rx_queue tr tm->when retrnsmt uid",
    b"0: %b:1F90 %b:C001 01 00000007:00000009 00:0 0 0 0 77 1 0" % (LOOPBACK, LOOPBACK),
    b"1: %b:1F90 %b:0000 0A 00000000:00000003 00:0 0 0 0 78 1 0" % (ANY, ANY),
    b"2: %b:0016 %b:C002 06 00000000:00000000 00:0 0 0 0 0 1 0" % (LOOPBACK, LOOPBACK),
))  # fmt: skip
UNIX = b"""Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 10 /run/docker.sock
0000000000000000: 00000003 00000000 00000000 0001 03 11
0000000000000000: 00000003 00000000 00000000 0002 01 12 @abstract with blanks
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the table is in the machine's byte order")
def test_a_text_table_gives_addresses_queues_and_states() -> None:
    connection, listening = parse_inet_table(TCP6, "tcp")
    assert (connection.inode, connection.state) == (77, "ESTABLISHED")
    assert (connection.local, connection.remote) == ("127.0.0.1:8080", "127.0.0.1:49153")
    assert (connection.send_queue, connection.receive_queue) == (7, 9)
    assert (listening.state, listening.local, listening.remote) == ("LISTEN", "[::]:8080", None)
    assert listening.receive_queue is None  # the backlog


def test_the_text_table_of_unix_sockets_does_not_know_peers() -> None:
    found = list(parse_unix_table(UNIX))
    assert [(one.inode, one.state, one.local, one.peered) for one in found] == [
        (10, "LISTEN", "/run/docker.sock", False),
        (11, "ESTABLISHED", None, False),
        (12, "CLOSE", "@abstract with blanks", False),
    ]


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        (bytes([127, 0, 0, 1]), "127.0.0.1:443"),
        (bytes(15) + b"\1", "[::1]:443"),
        (bytes(10) + b"\xff\xff" + bytes([10, 0, 0, 1]), "10.0.0.1:443"),
    ],
)
def test_an_address_is_written_as_people_write_it(packed: bytes, expected: str) -> None:
    assert address(packed, 443) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(b"", None), (b"/run/x\0", "/run/x"), (b"\0name", "@name"), (b"/run/\xff", "/run/\udcff")],
)
def test_a_unix_socket_s_name(raw: bytes, expected: str | None) -> None:
    assert socket_name(raw) == expected


def _unix_message(state: int, *attributes_: tuple[int, bytes]) -> bytes:
    body = struct.pack("=BBBxI8x", 1, 1, state, 42)
    for kind, value in attributes_:
        body += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return body


def test_a_peer_that_has_closed_its_end_is_told() -> None:
    raw = _unix_message(1, (6, b"\3"), (4, struct.pack("=II", 5, 6)))
    found = parse_unix(raw, 0, len(raw))
    assert (found.state, found.peer_inode, found.peered) == ("CLOSE_WAIT", None, True)
    assert (found.receive_queue, found.send_queue) == (5, 6)


@given(st.binary(max_size=200))
def test_no_bytes_for_attributes_lead_astray(data: bytes) -> None:
    """Whatever the kernel sends, walking it ends, and stays within what was sent."""
    for _, start, stop in attributes(data, 0, len(data)):
        assert start <= len(data)
        assert stop <= len(data)


def test_an_error_of_netlink_is_an_oserror_that_says_so() -> None:
    refused = struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -2)
    with pytest.raises(FileNotFoundError, match="sock_diag"):
        list(messages(refused))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"0 0x3 0x7ffd 0x400 0x0 0x0 0x0 0x7ffc 0x7f1b", 3),
        (b"202 0x7ffd 0x80 0x0 0x0 0x0 0x0 0x7ffc 0x7f1b", -1),  # futex: an address
        (b"running\n", -1),
        (b"-1 0x7ffc 0x7f1b", -1),
        (b"", -1),
        (None, -1),
    ],
)
def test_a_descriptor_is_read_off_a_system_call_that_is_about_one(
    raw: bytes | None, expected: int
) -> None:
    assert parse_syscall(raw, frozenset({0})) == expected


MOUNTS = (
    b"30 24 0:26 / /sys/fs/cgroup/freezer rw shared:9 - cgroup cgroup rw,freezer\n"
    b"31 24 0:27 /docker/x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
)


def test_a_v1_controller_is_found_where_it_is_mounted() -> None:
    assert find_controller(MOUNTS, b"freezer") == ("/sys/fs/cgroup/freezer", "/")
    assert find_controller(MOUNTS, b"cpuacct") == ("/sys/fs/cgroup/cpu", "/docker/x")
    assert find_controller(MOUNTS, b"memory") is None


def test_a_group_is_told_by_its_controller() -> None:
    membership = b"4:cpu,cpuacct:/a:b\n3:freezer:/frozen\n0::/unified\n"
    assert parse_controller(membership, b"freezer") == "/frozen"
    assert parse_controller(membership, b"cpuacct") == "/a:b"
    assert parse_controller(membership, b"memory") is None


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (None, "closed"), ("/dev/null", "null"), ("/dev/pts/3", "terminal"),
        ("/dev/tty", "terminal"), ("pipe:[7]", "pipe"), ("socket:[7]", "socket"),
        ("/home/u/prompt", "file"),
        ("anon_inode:[eventfd]", "other"),
    ],
)  # fmt: skip
def test_what_standard_input_is_by_its_target(target: str | None, kind: str) -> None:
    assert stdin_kind(target) == kind
