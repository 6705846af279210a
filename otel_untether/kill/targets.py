"""Processes that are about to be signalled: held so that no other is hit, and all of them found."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING, Final

from otel_untether.proc_diag.linux.kernel_files import listing, read
from otel_untether.proc_diag.linux.procfs import Stat, parse_stat
from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Identify = Callable[[int], Identity | None]

_HAS_PIDFD: Final = hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")


class Target:
    """One process, held so that no other can be mistaken for it."""

    def __init__(self, member: ProcessSnapshot, fd: int | None, identify: Identify) -> None:
        self.identity = member.identity
        self.name = member.name
        self._fd = fd
        self._identify = identify

    @classmethod
    def hold(cls, member: ProcessSnapshot, identify: Identify) -> Target | None:
        """Hold a process; None when it has gone, or somebody else has its pid."""
        fd = None
        if _HAS_PIDFD:
            try:
                fd = os.pidfd_open(member.identity.pid)
            except ProcessLookupError:
                return None
            except OSError:  # no such call, or no descriptors left: by number, then
                fd = None
        target = cls(member, fd, identify)
        if identify(member.identity.pid) != member.identity:
            target.close()
            return None
        return target

    @property
    def fd(self) -> int | None:
        """The pidfd, which polls readable once the process has ended; None without one."""
        return self._fd

    def send(self, number: signal.Signals) -> bool:
        """Signal it; False when it has gone or is not ours to signal."""
        try:
            if self._fd is not None:
                signal.pidfd_send_signal(self._fd, number)
            elif self._identify(self.identity.pid) == self.identity:
                os.kill(self.identity.pid, number)
            else:
                return False
        except OSError:
            return False
        return True

    def gone(self) -> bool:
        """Whether it has ended, waited for or not."""
        if self._fd is None:
            return self._identify(self.identity.pid) != self.identity
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))

    def halted(self) -> bool:
        """Whether it does not run and cannot begin to, as far as /proc tells."""
        raw = read(f"/proc/{self.identity.pid}/stat")
        return raw is None or parse_stat(raw).state not in ("R", "S")

    def close(self) -> None:
        """Let go of it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def await_exit(targets: Iterable[Target], seconds: float) -> None:
    """Wait until one of them ends, `seconds` at most."""
    fds = [target.fd for target in targets if target.fd is not None]
    if not fds:
        time.sleep(seconds)
        return
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    poll.poll(max(1, round(seconds * 1000)))


def strays(known: Mapping[Identity, Target], older: set[int]) -> Iterator[ProcessSnapshot]:
    """Yield who belongs to `known` but was orphaned before the tree's own look found it.

    They are children of somebody known who still lives, or members of a session that somebody
    known began: a session holds nobody but descendants of its leader (setsid(2)). Its number
    is trusted while no stranger has that pid. Linux only; elsewhere there is no /proc to read.

    `older` is the caller's to keep from call to call: the pids of those who were there before
    any of `known`, hence no descendants, and need not be read again.
    """
    if not known:
        return
    young = dict(_young(min(identity.start_time for identity in known), older))
    parents = {target.identity.pid for target in known.values() if not target.gone()}
    leaders = {identity.pid: identity for identity in known}
    for pid, stat in young.items():
        leader, holder = leaders.get(stat.sid), young.get(stat.sid)
        ours = leader is not None and stat.sid not in older
        mate = ours and (holder is None or Identity(stat.sid, holder.start_time) == leader)
        if mate or stat.ppid in parents:
            identity = Identity(pid, stat.start_time)
            yield ProcessSnapshot(identity, stat.ppid, stat.pgid, stat.sid, stat.name, stat.state)


def _young(since: float, older: set[int]) -> Iterator[tuple[int, Stat]]:
    """Yield who was started at `since` or later."""
    for pid in [int(name) for name in listing("/proc") or () if name.isdigit()]:
        raw = None if pid in older else read(f"/proc/{pid}/stat")
        if raw and (stat := parse_stat(raw)).start_time >= since:
            yield pid, stat
        elif raw:
            older.add(pid)
