"""Descriptor 0 of real processes, and their terminals, as a deep look has them."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import subprocess
import termios
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_untether.proc_diag import ProcessLook, Tree, look_deeper
from tests.support import processes
from tests.support.processes import eventually, running

if TYPE_CHECKING:
    from collections.abc import Iterator

READY = "print('ready', flush=True)"


def agent_of(pid: int) -> ProcessLook:
    agent = look_deeper(Tree(pid)).agent_process
    assert agent is not None
    return agent


@contextmanager
def reader(stdin: int) -> Iterator[int]:
    """A process that never reads its standard input."""
    with running(f"import time; {READY}; time.sleep(600)", stdin=stdin) as process:
        yield process.pid


def stdin_of(pid: int) -> tuple[object, ...]:
    stdin = agent_of(pid).stdin
    return stdin.kind, stdin.unread, stdin.writer, stdin.open_ended


def test_unread_bytes_of_a_pipe_are_counted_and_its_writer_told() -> None:
    reading, writing = os.pipe()
    with reader(reading) as pid:
        os.close(reading)
        assert stdin_of(pid) == ("pipe", 0, "watcher", True)
        os.write(writing, b"a prompt\n")
        assert stdin_of(pid) == ("pipe", 9, "watcher", True)
        os.close(writing)
        assert stdin_of(pid) == ("pipe", 9, None, False)


def test_looking_at_a_pipe_takes_nothing_out_and_keeps_nobody_waiting() -> None:
    reading, writing = os.pipe()
    source = f"{READY}\nimport os; os.read(0, 1); print(os.read(0, 99), flush=True)"
    with running(source, stdin=reading) as process:
        os.close(reading)
        tree = Tree(process.pid)
        for _ in range(50):
            look_deeper(tree)
        os.write(writing, b"xall of it")
        for _ in range(50):
            look_deeper(tree)
        assert process.stdout is not None
        assert process.stdout.readline() == b"b'all of it'\n"
        process.wait(60)
        with pytest.raises(BrokenPipeError):  # no reader of ours is left
            os.write(writing, b"more")
    os.close(writing)


def test_a_pipe_between_two_members_is_inside() -> None:
    source = f"""
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
{READY}
time.sleep(600)
"""
    with running(source) as process:
        tree = Tree(process.pid)
        eventually(lambda: len(look_deeper(tree).processes) == 2)
        assert look_deeper(tree).processes[1].stdin.writer == "inside"


def test_a_pipe_held_by_somebody_else_leads_outside() -> None:
    """As standard input that we have inherited from a shell does."""
    source = "import os, time; os.dup2(os.pipe()[0], 50); print(1, flush=True); time.sleep(600)"
    with running(source) as other:
        borrowed = os.open(f"/proc/{other.pid}/fd/50", os.O_RDONLY | os.O_NONBLOCK)
        with reader(borrowed) as pid:
            os.close(borrowed)
            assert stdin_of(pid) == ("pipe", 0, "outside", True)


def test_other_kinds_of_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "prompt"
    file.write_text("hello")
    with file.open() as opened, reader(opened.fileno()) as pid:
        assert stdin_of(pid) == ("file", None, None, False)
    with reader(subprocess.DEVNULL) as pid:
        assert stdin_of(pid) == ("null", 0, None, False)


def test_a_named_pipe_is_no_file_that_has_an_end(tmp_path: Path) -> None:
    """Anybody may open it and write, were there nobody who has it open now."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with reader(reading) as pid:
        os.close(reading)
        assert stdin_of(pid) == ("pipe", 0, "outside", True)
        writing = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        os.write(writing, b"123")
        assert stdin_of(pid) == ("pipe", 3, "outside", True)
        os.close(writing)
        assert stdin_of(pid) == ("pipe", 3, "outside", True)


def test_a_device_as_standard_input_may_say_anything() -> None:
    with Path("/dev/zero").open() as zero, reader(zero.fileno()) as pid:
        assert stdin_of(pid) == ("other", None, None, None)


def test_a_socket_as_standard_input_as_node_makes_it() -> None:
    ours, theirs = socket.socketpair()
    with reader(theirs.fileno()) as pid:
        theirs.close()
        ours.sendall(b"12345")
        assert stdin_of(pid) == ("socket", 5, "watcher", True)
        ours.close()
        assert stdin_of(pid) == ("socket", 5, "nowhere", False)


def test_a_terminal_held_and_one_that_controls() -> None:
    master, slave = os.openpty()
    with reader(slave) as pid:
        look = agent_of(pid)
        assert (look.stdin.kind, look.stdin.open_ended) == ("terminal", True)
        assert look.holds_terminal is True
        assert look.terminal is False  # a session of its own, that has taken none
    take = "import fcntl, termios, time; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    source = f"{take}; {READY}; time.sleep(600)"
    with running(source, stdin=slave) as process:
        assert agent_of(process.pid).terminal is True
    os.close(master)
    os.close(slave)


def test_a_process_without_a_terminal_has_none() -> None:
    with processes.sleeper() as pid:
        look = agent_of(pid)
    assert look.terminal is False
    assert look.holds_terminal is False


def test_fionread_is_what_the_kernel_says() -> None:
    """The count is the pipe's own, whoever asks."""
    reading, writing = os.pipe()
    os.write(writing, bytes(3_000))
    with reader(reading) as pid:
        count = array.array("i", [0])
        fcntl.ioctl(reading, termios.FIONREAD, count)
        assert stdin_of(pid)[1] == count[0] == 3_000
    os.close(reading)
    os.close(writing)
