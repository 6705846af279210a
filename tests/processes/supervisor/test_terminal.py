"""The agent on a terminal: what it sees there is what it would see without us."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

from tests.processes.supervisor.test_run import python, watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Terminal:
    """A process that leads a session on a pseudo-terminal of its own."""

    def __init__(self, command: Sequence[str], **environ: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], list(command), {**os.environ, **environ})
        self.output = b""

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def expect(self, text: bytes, seconds: float = 60) -> None:
        """Read until `text` was seen, and forget what came before its end."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert select.select([self._fd], [], [], deadline - time.monotonic())[0], self.output
            self.output += os.read(self._fd, 4096)
        self.output = self.output.split(text, 1)[1]

    def rest(self, seconds: float) -> bytes:
        """Return what else comes within `seconds`."""
        deadline = time.monotonic() + seconds
        while select.select([self._fd], [], [], max(0, deadline - time.monotonic()))[0]:
            try:
                self.output += os.read(self._fd, 4096)
            except OSError:  # EIO: nobody has it open any more
                break
        return self.output

    def status(self) -> int:
        """Return the exit code, once the process has ended."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        os.close(self._fd)


def on_terminal(command: Sequence[str], **environ: str) -> Iterator[Terminal]:
    argv, env = watched(*command, **environ)
    terminal = Terminal(argv, **env)
    yield terminal
    terminal.close()


COUNTING = """
import signal, sys, time
got = []
signal.signal(signal.SIGINT, lambda *_: (got.append(1), print('got', len(got), flush=True)))
print('ready', flush=True)
while len(got) < 3: time.sleep(0.05)
sys.exit(23)
"""


def test_each_ctrl_c_reaches_the_agent_once() -> None:
    for terminal in on_terminal(python(COUNTING)):
        terminal.expect(b"ready")
        for count in (1, 2):
            terminal.press(b"\x03")
            terminal.expect(b"got %d" % count)
            time.sleep(0.2)
        assert b"got" not in terminal.rest(0.3)
        terminal.press(b"\x03")
        assert terminal.status() == 23


def test_an_interactive_agent_keeps_its_terminal() -> None:
    probe = "import os; print([os.isatty(fd) for fd in range(3)], os.get_terminal_size(1).lines)"
    for terminal in on_terminal(python(probe)):
        terminal.expect(b"[True, True, True]")
        assert terminal.status() == 0


def test_a_headless_agents_stdout_is_relayed_to_the_terminal() -> None:
    probe = "import os; print([os.isatty(fd) for fd in range(3)])"
    for terminal in on_terminal(python(probe), WATCHED_TERMINAL="1"):
        terminal.expect(b"[True, False, True]")
        assert terminal.status() == 0


def test_a_resize_reaches_the_agent_once() -> None:
    code = (
        "import signal, time\nsignal.signal(signal.SIGWINCH, lambda *_: print('!', flush=True))\n"
    )
    code += "print('ready', flush=True)\nend = time.time() + 1\n"
    code += "while time.time() < end: time.sleep(0.05)"
    for terminal in on_terminal(python(code)):
        terminal.expect(b"ready")
        terminal.resize(11, 22)
        terminal.expect(b"!")
        assert b"!" not in terminal.rest(0.3)
        terminal.status()


def test_a_hang_up_reaches_the_agent() -> None:
    """As a session's leader we are the only one told (tty_ioctl(4))."""
    for terminal in on_terminal(["sh", "-c", "trap 'exit 44' HUP; echo ready; sleep 30 & wait"]):
        terminal.expect(b"ready")
        break
    terminal.close()
    assert terminal.status() == 44


@pytest.fixture
def shell() -> Iterator[Terminal]:
    terminal = Terminal(["bash", "--norc", "--noprofile", "-i"], PS1="$ ", TERM="dumb")
    terminal.expect(b"$ ")
    yield terminal
    terminal.press(b"exit\n")
    terminal.press(b"exit\n")
    terminal.close()
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.status()


TICKING = """
import time
for i in range(40):
    print('tick', i, flush=True)
    time.sleep(0.05)
print('do' + 'ne', flush=True)
"""


@pytest.mark.parametrize("headless", [False, True])
def test_ctrl_z_gives_the_terminal_back_to_the_shell(
    shell: Terminal, tmp_path: Path, *, headless: bool
) -> None:
    script = tmp_path / "ticking.py"
    script.write_text(TICKING)
    argv, env = watched(sys.executable, str(script))
    prefix = f"PYTHONPATH={env['PYTHONPATH']} " + ("WATCHED_TERMINAL=1 " if headless else "")
    shell.press(prefix.encode() + " ".join(argv).encode() + b"\n")
    shell.expect(b"tick 3")
    shell.press(b"\x1a")
    shell.expect(b"Stopped")
    shell.expect(b"$ ")
    assert b"tick" not in shell.rest(0.4)
    shell.press(b"fg\n")
    shell.expect(b"done")
    shell.expect(b"$ ")
    shell.press(b"echo status $?\n")
    shell.expect(b"status 0")


def test_ctrl_z_where_it_was_ignored_at_the_start(shell: Terminal, tmp_path: Path) -> None:
    """An agent that takes the default back is stopped, and its shell is to see that."""
    script = tmp_path / "ticking.py"
    taken_back = "import signal\nsignal.signal(signal.SIGTSTP, signal.SIG_DFL)\n"
    script.write_text(taken_back + TICKING)
    argv, env = watched(sys.executable, str(script))
    command = f"PYTHONPATH={env['PYTHONPATH']} exec {' '.join(argv)}"
    shell.press(f"(trap '' TSTP; {command})\n".encode())
    shell.expect(b"tick 3")
    shell.press(b"\x1a")
    shell.expect(b"Stopped")
    shell.expect(b"$ ")
    shell.press(b"fg\n")
    shell.expect(b"done")
    shell.expect(b"$ ")
