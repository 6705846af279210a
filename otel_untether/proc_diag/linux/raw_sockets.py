"""What the kernel's socket tables say of single sockets, by inode: TCP, UDP and UNIX.

Two ways to the same facts: netlink, which tells most and only of our own network namespace,
and the text tables under /proc/<pid>/net, which tell less and of that process's namespace.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import netlink
from otel_untether.proc_diag.linux.procfs import TCP_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterator

    from otel_untether.proc_diag.deep_look import SocketFamily
    from otel_untether.proc_diag.snapshot import TcpState

_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_TCPDIAG_GETSOCK: Final = 18
_INFO: Final = 2  # INET_DIAG_INFO
# Of a closed, unhashed or half-made socket (TIME_WAIT, SYN_RECV) no process has an inode.
_TCP_STATES: Final = 0xFFF & ~(1 << 6 | 1 << 3)
_ALL: Final = 0xFFFFFFFF
# struct inet_diag_req: family, address lengths, extensions, socket id, states, dbs.
_TCP_REQUEST: Final = struct.Struct("=BBBB48xII")
# struct inet_diag_req_v2: family, protocol, extensions, states, socket id.
_UDP_REQUEST: Final = struct.Struct("=BBBxI48x")
_ONE_REQUEST: Final = struct.Struct("=BBBxI48s")
# struct inet_diag_msg: family, state; ports (network order), addresses; rqueue, wqueue, inode.
_INET_MESSAGE: Final = struct.Struct("=BBxx2s2s16s16s16xII4xI")
_INODE: Final = struct.Struct("=I")
_INODE_AT: Final = _INET_MESSAGE.size - _INODE.size
# Of it the socket id (ports, addresses, interface, cookie): with the family a socket's key.
_ID: Final = slice(4, 52)
# struct tcp_info: last_data_sent, last_data_recv (ms) at 44; bytes_received at 128, sent at 200.
_AGES: Final = struct.Struct("=I4xI")
_AGES_AT: Final = 44
_COUNT: Final = struct.Struct("=Q")
_RECEIVED_AT: Final = 128
_SENT_AT: Final = 200
# struct unix_diag_req: family, protocol, states, inode, show (name, peer, queues), cookie.
_UNIX_REQUEST: Final = struct.Struct("=BBxxIIIII")
_UNIX_SHOW: Final = 1 | 4 | 16
# struct unix_diag_msg: family, type, state, inode.
_UNIX_MESSAGE: Final = struct.Struct("=BBBxI8x")
_UNIX_NAME, _UNIX_PEER, _UNIX_QUEUES, _UNIX_SHUTDOWN = 0, 2, 4, 6
_MAPPED: Final = bytes(10) + b"\xff\xff"
_LITTLE: Final = struct.pack("=H", 1) == b"\x01\x00"


class RawSocket(NamedTuple):
    """A socket as the kernel lists it; names as in `deep_look.SocketLook`.

    `peered` tells, of a UNIX socket, whether the kernel said who its peer is, or that it has none.
    """

    inode: int
    family: SocketFamily
    state: TcpState | None = None
    local: str | None = None
    remote: str | None = None
    send_queue: int | None = None
    receive_queue: int | None = None
    send_age: float | None = None
    receive_age: float | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None
    peer_inode: int | None = None
    peered: bool = False


def tcp(wanted: Container[int], keys: dict[int, bytes] | None = None) -> dict[int, RawSocket]:
    """Return the TCP sockets of our network namespace whose inode is wanted; may raise OSError.

    The older form of this request knows no address family: one walk finds IPv4 and IPv6. `keys`
    is given what `tcp_one_by_one` asks for each of them by.
    """
    body = _TCP_REQUEST.pack(0, 0, 0, 1 << (_INFO - 1), _TCP_STATES, 0)
    return _collect(netlink.dump(_TCPDIAG_GETSOCK, body), wanted, "tcp", keys)


def tcp_one_by_one(keys: Collection[bytes]) -> dict[int, RawSocket]:
    """Return some TCP sockets by their keys; OSError if one of them is no more."""
    if not keys:
        return {}
    requests = [
        _ONE_REQUEST.pack(key[0], socket.IPPROTO_TCP, 1 << (_INFO - 1), _ALL, key[1:])
        for key in keys
    ]
    return _collect(netlink.ask(_BY_FAMILY, requests), None, "tcp")


def udp(wanted: Container[int]) -> dict[int, RawSocket]:
    """Return the UDP sockets of our network namespace whose inode is wanted; may raise OSError."""
    found: dict[int, RawSocket] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        body = _UDP_REQUEST.pack(family, socket.IPPROTO_UDP, 0, _ALL)
        found |= _collect(netlink.dump(_BY_FAMILY, body), wanted, "udp")
    return found


def _collect(
    messages: Iterator[tuple[bytes, int, int]],
    wanted: Container[int] | None,
    family: SocketFamily,
    keys: dict[int, bytes] | None = None,
) -> dict[int, RawSocket]:
    """Parse messages about sockets that are wanted, None for all of them."""
    found = {}
    for data, at, end in messages:
        (inode,) = _INODE.unpack_from(data, at + _INODE_AT)
        if wanted is None or inode in wanted:
            found[inode] = parse_inet(data, at, end, family)
            if keys is not None:
                keys[inode] = data[at : at + 1] + data[at + _ID.start : at + _ID.stop]
    return found


def parse_inet(data: bytes, at: int, end: int, family: SocketFamily) -> RawSocket:
    """Parse the inet_diag_msg at `at`, which ends at `end`."""
    version, number, sport, dport, source, destination, received, sent, inode = (
        _INET_MESSAGE.unpack_from(data, at)
    )
    state = TCP_STATES[number] if number < len(TCP_STATES) else None
    width = 4 if version == socket.AF_INET else 16
    local = address(source[:width], int.from_bytes(sport))
    remote = address(destination[:width], int.from_bytes(dport))
    one = RawSocket(inode, family, state, local, remote if int.from_bytes(dport) else None)
    if state == "LISTEN":  # there the queues are the backlog, in connections
        return one
    one = one._replace(send_queue=sent, receive_queue=received)
    for attribute, start, stop in netlink.attributes(data, at + _INET_MESSAGE.size, end):
        if attribute == _INFO and state not in ("CLOSE", "SYN_SENT"):
            return _with_info(one, data, start, stop)
    return one


def _with_info(one: RawSocket, data: bytes, start: int, stop: int) -> RawSocket:
    """Add what a tcp_info says; an older kernel's is shorter."""
    if start + _AGES_AT + _AGES.size > stop:
        return one
    sent, received = _AGES.unpack_from(data, start + _AGES_AT)
    return one._replace(
        send_age=sent / 1000,
        receive_age=received / 1000,
        bytes_received=_counted(data, start + _RECEIVED_AT, stop),
        bytes_sent=_counted(data, start + _SENT_AT, stop),
    )


def _counted(data: bytes, at: int, stop: int) -> int | None:
    return int(_COUNT.unpack_from(data, at)[0]) if at + _COUNT.size <= stop else None


def address(packed: bytes, port: int) -> str:
    """Return `address:port`, an IPv4 address that is mapped into IPv6 as what it is.

    >>> address(bytes(10) + bytes([255, 255, 127, 0, 0, 1]), 443)
    '127.0.0.1:443'
    """
    if len(packed) == 16 and packed.startswith(_MAPPED):
        packed = packed[12:]
    if len(packed) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, packed)}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{port}"


def unix(wanted: Container[int]) -> dict[int, RawSocket]:
    """Return the UNIX sockets of our network namespace whose inode is wanted; may raise OSError.

    A socket's `remote` is the name its peer is bound to, which for the client of a server is
    the server's address.
    """
    body = _UNIX_REQUEST.pack(socket.AF_UNIX, 0, _ALL, 0, _UNIX_SHOW, 0, 0)
    found, names = {}, {}
    for data, at, end in netlink.dump(_BY_FAMILY, body):
        inode = _UNIX_MESSAGE.unpack_from(data, at)[3]
        if inode in wanted:
            found[inode] = parse_unix(data, at, end)
        elif end - at > _UNIX_MESSAGE.size + 4:
            names[inode] = data, at, end
    for inode, one in found.items():
        peer = one.peer_inode
        if peer in found:
            found[inode] = one._replace(remote=found[peer].local)
        elif peer in names:
            found[inode] = one._replace(remote=parse_unix(*names[peer]).local)
    return found


def parse_unix(data: bytes, at: int, end: int) -> RawSocket:
    """Parse the unix_diag_msg at `at`, which ends at `end`."""
    _, _, number, inode = _UNIX_MESSAGE.unpack_from(data, at)
    state = TCP_STATES[number] if number < len(TCP_STATES) else None
    one = RawSocket(inode, "unix", state, peered=True)
    for kind, start, stop in netlink.attributes(data, at + _UNIX_MESSAGE.size, end):
        if kind == _UNIX_NAME:
            one = one._replace(local=socket_name(data[start:stop]))
        elif kind == _UNIX_PEER:
            one = one._replace(peer_inode=int.from_bytes(data[start : start + 4], _ORDER) or None)
        elif kind == _UNIX_QUEUES and state != "LISTEN":
            unread, unsent = struct.unpack_from("=II", data, start)
            one = one._replace(receive_queue=unread, send_queue=unsent)
        elif kind == _UNIX_SHUTDOWN and data[start] & 1 and state == "ESTABLISHED":
            one = one._replace(state="CLOSE_WAIT")  # its peer will send no more
    return one


_ORDER: Final = "little" if _LITTLE else "big"


def socket_name(raw: bytes) -> str | None:
    """Return a UNIX socket's name: a path, or `@name` for an abstract one."""
    if not raw:
        return None
    if raw[:1] == b"\0":
        return "@" + os.fsdecode(raw[1:].rstrip(b"\0").replace(b"\0", b"@"))
    return os.fsdecode(raw.rstrip(b"\0")) or None


def from_tables(directory: str, wanted: Container[int]) -> dict[int, RawSocket] | None:
    """Return wanted sockets by the text tables of a /proc/<pid>/net; None if not to be read."""
    readers: tuple[tuple[str, Callable[[bytes], Iterator[RawSocket]]], ...] = (
        ("tcp", lambda raw: parse_inet_table(raw, "tcp")),
        ("tcp6", lambda raw: parse_inet_table(raw, "tcp")),
        ("udp", lambda raw: parse_inet_table(raw, "udp")),
        ("udp6", lambda raw: parse_inet_table(raw, "udp")),
        ("unix", parse_unix_table),
    )
    tables = [(files.read(f"{directory}/{name}"), parse) for name, parse in readers]
    if tables[0][0] is None:
        return None
    return {
        one.inode: one for raw, parse in tables if raw for one in parse(raw) if one.inode in wanted
    }


def parse_inet_table(raw: bytes, family: SocketFamily) -> Iterator[RawSocket]:
    """Parse /proc/net/tcp, tcp6, udp or udp6; sockets nobody holds (inode 0) are left out."""
    for line in raw.splitlines()[1:]:
        words = line.split()
        if len(words) < 10 or not (inode := int(words[9])):
            continue
        number = int(words[3], 16)
        state = TCP_STATES[number] if number < len(TCP_STATES) else None
        local, remote = _hex_address(words[1]), _hex_address(words[2])
        unconnected = words[2].endswith(b":0000")
        one = RawSocket(inode, family, state, local, None if unconnected else remote)
        if state != "LISTEN":
            sent, _, received = words[4].partition(b":")
            one = one._replace(send_queue=int(sent, 16), receive_queue=int(received, 16))
        yield one


def _hex_address(text: bytes) -> str:
    """Parse `0100007F:1F90`: words of 4 bytes in this machine's order, then the port."""
    digits, _, port = text.partition(b":")
    packed = bytes.fromhex(digits.decode())
    if _LITTLE:
        packed = b"".join(packed[at : at + 4][::-1] for at in range(0, len(packed), 4))
    return address(packed, int(port, 16))


def parse_unix_table(raw: bytes) -> Iterator[RawSocket]:
    """Parse /proc/net/unix, which does not say who anybody's peer is."""
    for line in raw.splitlines()[1:]:
        words = line.split(maxsplit=7)
        if len(words) < 7:
            continue
        listening = int(words[3], 16) & 0x10000  # __SO_ACCEPTCON
        states: dict[int, TcpState] = {1: "CLOSE", 2: "SYN_SENT", 3: "ESTABLISHED"}
        state = "LISTEN" if listening else states.get(int(words[5], 16))
        name = os.fsdecode(words[7]) if len(words) > 7 else None
        yield RawSocket(int(words[6]), "unix", state, name)
