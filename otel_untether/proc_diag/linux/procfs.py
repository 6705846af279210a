"""Parsers of what Linux prints under /proc (proc(5)); pure functions of bytes.

Each returns None, or leaves a field None, where the text does not say: unknown, never zero.
"""

from __future__ import annotations

import os
from typing import Final, cast

from msgspec import Struct

from otel_untether.notice import printable
from otel_untether.proc_diag.snapshot import ProcessState, SocketDiag, TcpState

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

# include/net/tcp_states.h, by number.
TCP_STATES: Final[tuple[TcpState | None, ...]] = (
    None, "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
    "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV",
)  # fmt: skip


class Stat(Struct, frozen=True):
    """/proc/<pid>/stat, what we use of it; CPU in seconds, RSS in bytes, start in ticks."""

    name: str
    state: ProcessState
    ppid: int
    pgid: int
    sid: int
    tty: int  # the controlling terminal's device number, 0 without one
    cpu_user: float
    cpu_system: float
    cpu_waited: float
    threads: int
    start_time: float
    rss: int


def parse_stat(raw: bytes) -> Stat:
    """Parse a stat line; the name stands in parentheses and may itself contain some."""
    opening, closing = raw.index(b"("), raw.rindex(b")")
    fields = raw[closing + 2 :].split(maxsplit=22)
    return Stat(
        _name(raw[opening + 1 : closing]),
        cast("ProcessState", fields[0].decode()),
        int(fields[1]),
        int(fields[2]),
        int(fields[3]),
        int(fields[4]),
        int(fields[11]) / TICKS_PER_SECOND,
        int(fields[12]) / TICKS_PER_SECOND,
        (int(fields[13]) + int(fields[14])) / TICKS_PER_SECOND,
        int(fields[17]),
        float(fields[19]),
        int(fields[21]) * PAGE_SIZE,
    )


def _name(raw: bytes) -> str:
    """Return a name that steers no terminal: a process may call itself anything."""
    return printable(raw.decode(errors="replace"))


def parse_field(raw: bytes | None, name: bytes) -> int | None:
    """Return the first number on the line `name:` (status, io, meminfo) or `name` (cgroup)."""
    if raw is None:
        return None
    at = raw.find(b"\n" + name) + 1
    if at == 0 and not raw.startswith(name):
        return None
    words = raw[at + len(name) :].split(maxsplit=2)
    if words and words[0] == b":":
        words = words[1:]
    number = words[0] if words else b""
    return int(number) if number.isdigit() else None


def parse_wchan(raw: bytes | None) -> str | None:
    """Return the kernel function a process waits in; "0" is running, or none of our business."""
    return raw.decode(errors="replace") if raw and raw != b"0" else None


def parse_pressure(raw: bytes | None, kind: bytes) -> float | None:
    """Return avg10 of the `some` or `full` line of a PSI file, in per cent."""
    for line in (raw or b"").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == kind and words[1].startswith(b"avg10="):
            return float(words[1][6:])
    return None


def parse_net_tcp(raw: bytes) -> dict[int, SocketDiag]:
    """Parse /proc/net/tcp or tcp6 by inode; connections nobody holds (inode 0) are left out."""
    sockets: dict[int, SocketDiag] = {}
    for line in raw.splitlines()[1:]:
        words = line.split()
        if len(words) < 10 or not (inode := int(words[9])):
            continue
        state = TCP_STATES[int(words[3], 16)]
        if state is not None:
            send, _, receive = words[4].partition(b":")
            port = int(words[2].rpartition(b":")[2], 16)
            sockets[inode] = SocketDiag(inode, state, port, int(send, 16), int(receive, 16))
    return sockets


def parse_thread(raw: bytes) -> tuple[str, ProcessState, int]:
    """Parse of a stat line a thread's name, state, and CPU time in ticks."""
    opening, closing = raw.index(b"("), raw.rindex(b")")
    fields = raw[closing + 2 :].split(maxsplit=13)
    name = _name(raw[opening + 1 : closing])
    state = cast("ProcessState", fields[0].decode())
    return name, state, int(fields[11]) + int(fields[12])


def parse_stack(raw: bytes | None) -> tuple[str, ...] | None:
    r"""Return the functions of a /proc/<pid>/stack, innermost first; None where there are none.

    >>> parse_stack(b"[<0>] pipe_read+0x1f0/0x3e0\n[<0>] vfs_read+0x2a/0x90\n")
    ('pipe_read', 'vfs_read')
    """
    words = [line.split() for line in (raw or b"").decode(errors="replace").splitlines()]
    return tuple(line[1].partition("+")[0] for line in words if len(line) > 1) or None


def parse_refusals(raw: bytes | None, raw6: bytes | None = None) -> int | None:
    r"""Return how many attempts to reach somebody failed: refused, no route, or unreachable.

    `raw` is /proc/<pid>/net/snmp, `raw6` snmp6, None where there is no IPv6. A name service that
    does not run refuses by ICMP, as UDP has no other way.

    >>> parse_refusals(b"Ip: OutNoRoutes\nIp: 2\nTcp: ActiveOpens AttemptFails\nTcp: 9 3\n")
    5
    >>> parse_refusals(
    ...     b"Ip: OutNoRoutes\nIp: 2\nIcmp: InDestUnreachs\nIcmp: 1\nTcp: AttemptFails\nTcp: 3\n",
    ...     b"Ip6InReceives 9\nIp6OutNoRoutes 4\nIcmp6InDestUnreachs 1\n",
    ... )
    11
    """
    lines = [line.split() for line in (raw or b"").splitlines()]
    named = zip(lines[::2], lines[1::2], strict=False)
    counts = {
        name: int(n)
        for names, values in named
        for name, n in zip(names[1:], values[1:], strict=False)
    }
    wanted = [counts.get(b"OutNoRoutes"), counts.get(b"AttemptFails")]
    known = [number for number in wanted if number is not None]
    if len(known) < len(wanted):
        return None
    six = [parse_field(raw6, name) for name in (b"Ip6OutNoRoutes", b"Icmp6InDestUnreachs")]
    return sum(known) + counts.get(b"InDestUnreachs", 0) + sum(number or 0 for number in six)
