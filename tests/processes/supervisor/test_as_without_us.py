"""Corners in which a process in the middle shows, unless it takes care."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_untether.supervisor.signals import is_stopped
from tests.processes.supervisor.test_run import python, run, start, wait_until, watched
from tests.processes.supervisor.test_terminal import TICKING, Terminal, shell

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["shell"]
PR_SET_PDEATHSIG = 1
# Speaks once the relay is a subreaper, which it becomes when it has asked for that signal.
ADOPTED = """
import os, subprocess, time
relay = f'PPid:\\t{os.getppid()}\\n'
while True:
    orphan = int(subprocess.check_output(['sh', '-c', 'sleep 5 >/dev/null & echo $!']))
    if relay in open(f'/proc/{orphan}/status').read():
        break
    time.sleep(0.05)
print(os.getpid(), flush=True)
time.sleep(60)
"""
STOPPING = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); print('con' + 'tinued')"


def test_an_agent_that_stops_itself_gives_the_shell_back(shell: Terminal, tmp_path: Path) -> None:
    """As full-screen programs do at Ctrl-Z: they tidy up, then send themselves SIGSTOP."""
    script = tmp_path / "stopping.py"
    script.write_text(STOPPING)
    argv, env = watched(sys.executable, str(script))
    prefix = f"PYTHONPATH={env['PYTHONPATH']} "
    shell.press(prefix.encode() + " ".join(argv).encode() + b"\n")
    shell.expect(b"Stopped")
    shell.expect(b"$ ")
    shell.press(b"fg\n")
    shell.expect(b"continued")
    shell.expect(b"$ ")


def test_without_a_shell_that_waits_a_stop_is_the_agents_alone(tmp_path: Path) -> None:
    report = tmp_path / "report"
    environ = {"WATCHED_REPORT": str(report)}
    agent = python("import os; print(os.getpid(), flush=True); input()")
    read, write = os.pipe()
    with start(*agent, stdin=read, start_new_session=True, environ=environ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(pid))
        assert not is_stopped(process.pid)
        os.kill(pid, signal.SIGCONT)
        os.write(write, b"x\n")
        assert process.wait(60) == 0
    for fd in (read, write):
        os.close(fd)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_our_death_was_to_mean_for_us_it_means_for_the_agent(number: int) -> None:
    """PR_SET_PDEATHSIG of whoever spawned us: bare, the agent would have died with it."""
    argv, env = watched(*python(ADOPTED))
    code = (
        "import ctypes, os, sys, time\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        f"    ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, {number:d}, 0, 0, 0)\n"
        "    os.execv(sys.argv[1], sys.argv[1:])\n"
        "time.sleep(60)"
    )
    spawner = subprocess.Popen([sys.executable, "-c", code, *argv], env=env, stdout=subprocess.PIPE)
    assert spawner.stdout is not None
    agent = int(spawner.stdout.readline())
    spawner.kill()
    spawner.wait()
    wait_until(lambda: not Path(f"/proc/{agent}").exists())
    spawner.stdout.close()


@pytest.mark.parametrize("number", [0, 7])
def test_who_writes_to_the_agent_sees_at_once_that_it_reads_no_more(number: int) -> None:
    """On its standard input, as in `yes | …`, or on what else it was given (`7< <(…)`)."""
    read, write = os.pipe()
    argv, env = watched("sh", "-c", f"exec {number}<&-; echo closed; exec sleep 60")
    moved = ["sh", "-c", 'exec "$@" 7<&0 </dev/null', "sh"] if number else []
    command = [*moved, *argv]
    with subprocess.Popen(command, env=env, stdin=read, stdout=subprocess.PIPE) as process:
        os.close(read)
        assert process.stdout is not None
        assert process.stdout.readline() == b"closed\n"
        poller = select.poll()
        poller.register(write, 0)  # tells of an error alone: nobody is left to read
        assert poller.poll(60_000) == [(write, select.POLLERR)]
        process.terminate()
    os.close(write)


def lines_of(*command: str, summary: str, stderr: int) -> list[bytes]:
    argv, env = watched(*command, WATCHED_SUMMARY=summary)
    ended = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=stderr, check=False)
    return ended.stdout.splitlines()


@pytest.mark.parametrize("size", [100_000, 250_000])
def test_what_an_agent_writes_to_a_file_and_exits_is_all_there(size: int, tmp_path: Path) -> None:
    """As Node does it: at once, without waiting, and without a second try after `exit`."""
    code = f"import os; os.set_blocking(1, False); os.write(1, bytes({size})); os._exit(0)"
    argv, env = watched(*python(code))
    with (tmp_path / "out").open("wb") as out:
        ended = subprocess.run(argv, env=env, stdout=out, check=False)
    assert (ended.returncode, (tmp_path / "out").stat().st_size) == (0, size)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP])
def test_who_continues_the_agent_by_its_pid_continues_all(
    shell: Terminal, tmp_path: Path, number: int
) -> None:
    """We stopped with it, so that the shell could see it; nobody would continue us."""
    script, said = tmp_path / "ticking.py", tmp_path / "pids"
    who = f"open({str(said)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}}')"
    script.write_text(f"import os\n{who}\n{TICKING}")
    argv, env = watched(sys.executable, str(script))
    shell.press(f"PYTHONPATH={env['PYTHONPATH']} {' '.join(argv)} | cat\n".encode())
    shell.expect(b"tick 3")
    agent, relay = map(int, said.read_text().split())
    os.kill(agent, number)
    wait_until(lambda: is_stopped(relay))
    os.kill(agent, signal.SIGCONT)
    shell.expect(b"done")


def test_a_reader_of_both_streams_sees_their_end_when_the_agent_closes_them() -> None:
    code = "import os, sys; os.close(1); os.close(2); sys.stdin.read()"
    argv, env = watched(*python(code))
    with subprocess.Popen(argv, env=env, stdin=-1, stdout=-1, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.read() == b""
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(60) == 0


def test_one_file_for_both_streams_holds_the_agents_lines_alone() -> None:
    """`2>&1 | jq` expects nothing else."""
    said = lines_of("echo", '{"a": 1}', summary="done in 1 s", stderr=subprocess.STDOUT)
    assert [json.loads(line) for line in said] == [{"a": 1}]


def test_our_line_begins_on_a_line_of_its_own() -> None:
    ended = run("sh", "-c", "printf unfinished >&2", WATCHED_SUMMARY="done in 1 s")
    assert ended.stderr == b"unfinished\ndone in 1 s\n"


@pytest.mark.parametrize("name", ["SIGABRT", "SIGALRM", "SIGXCPU", "SIGPWR", "SIGRTMIN"])
def test_every_signal_that_can_be_caught_reaches_the_command(name: str) -> None:
    number = getattr(signal, name)
    code = "import signal, sys, time\n"
    code += f"signal.signal({number:d}, lambda *_: sys.exit(40))\n"
    code += "print('ready', flush=True)\ntime.sleep(30)"
    with start(*python(code)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait() == 40


def test_a_killed_observer_is_told_once_and_the_agent_goes_on() -> None:
    code = "print('ready', flush=True); print(input(), flush=True); raise SystemExit(9)"
    with start(*python(code), stdin=-1, stderr=-1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(observer_of(process.pid), signal.SIGKILL)
        output, errors = process.communicate(b"said\n")
        assert (output, process.returncode) == (b"said\n", 9)
    (line,) = errors.splitlines()
    assert line.startswith(b"otel-untether: the observing process was killed")


def observer_of(relay: int) -> int:
    """Return the child of a relay that leads a session of its own."""
    children: Sequence[str] = Path(f"/proc/{relay}/task/{relay}/children").read_text().split()
    return next(int(child) for child in children if os.getsid(int(child)) == int(child))


def test_a_frozen_observer_holds_nothing_up() -> None:
    """Not even SIGSTOP: bytes pass, the exit comes when it is due."""
    code = "print('ready', flush=True); input(); print('x' * 3_000_000)"
    with start(*python(code), stdin=-1, stderr=-1, environ={"WATCHED_EXIT_TIMEOUT": "0.3"}) as one:
        assert one.stdout is not None
        one.stdout.readline()
        observer = observer_of(one.pid)
        os.kill(observer, signal.SIGSTOP)
        output, _ = one.communicate(b"\n", timeout=20)
        assert (len(output), one.returncode) == (3_000_001, 0)
        os.kill(observer, signal.SIGKILL)
