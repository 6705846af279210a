"""Processes and peers in words: whom to look at, at three in the morning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_untether.session.wording import count, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_untether.diagnosis.scene import Connection
    from otel_untether.proc_diag.deep_look import ThreadLook
    from otel_untether.proc_diag.snapshot import ProcessSnapshot

_SHOWN = 3


def named(processes: Sequence[ProcessSnapshot]) -> str:
    """Return the first one's name and pid, and how many more there are."""
    first, more = one(processes[0]), len(processes) - 1
    return f"{first} and {count(more, 'other')}" if more else first


def one(process: ProcessSnapshot) -> str:
    """Return "git (pid 4711)"."""
    pid = process.identity.pid
    return f"{process.name} (pid {pid})" if process.name else f"process {pid}"


def in_state(process: ProcessSnapshot, thread: ThreadLook | None = None) -> str:
    """Return "git (pid 4711, state S in wait_woken)", of the thread at fault where one is."""
    state = thread.state if thread else process.state
    wchan = thread.wchan if thread else process.wchan
    where = f", state {state}" if state else ""
    where += f" in {wchan}" if wchan else ""
    if thread is not None and thread.tid != process.identity.pid:
        where += f", thread {thread.name or thread.tid}"
    return f"{process.name or 'process'} (pid {process.identity.pid}{where})"


def listed(processes: Sequence[ProcessSnapshot]) -> str:
    """Return the names and pids of a few, and how many more there are."""
    text = ", ".join(one(process) for process in processes[:_SHOWN])
    more = len(processes) - _SHOWN
    return f"{text} and {more} more" if more > 0 else text


def peer(connection: Connection) -> str:
    """Return "api.example:443", "a UNIX socket (/run/x.sock)", "port 443", "a UDP socket"."""
    if connection.family == "unix":
        return f"a UNIX socket ({connection.remote or 'unnamed'})"
    if connection.remote is None:
        return f"port {connection.port}" if connection.port else f"a {connection.family} socket"
    kind = "" if connection.family == "tcp" else f" ({connection.family.upper()})"
    return f"{connection.remote}{kind}"


def silence_of(connection: Connection) -> str:
    """Return ", silent for 4 min 58 s"; nothing where that is not known."""
    age = connection.receive_age
    return "" if age is None else f", silent for {duration(age)}"
