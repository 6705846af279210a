"""Real processes below a real supervisor, in a process of its own (`watched_run.py`)."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from otel_untether.supervisor import run as supervisor
from otel_untether.supervisor.options import Options
from tests.processes.supervisor import watched_run

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = [sys.executable, watched_run.__file__]
ROOT = Path(watched_run.__file__).parents[3]


def watched(
    *command: str, observer: str = "recording", **environ: str
) -> tuple[list[str], dict[str, str]]:
    """Return the command line and environment that run `command` below a supervisor."""
    return [*RUN, observer, *command], {**os.environ, "PYTHONPATH": str(ROOT), **environ}


def run(
    *command: str, observer: str = "recording", stdin: Any = subprocess.DEVNULL, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    argv, env = watched(*command, observer=observer, **environ)
    return subprocess.run(argv, env=env, stdin=stdin, capture_output=True, check=False)


def start(*command: str, observer: str = "recording", **options: Any) -> subprocess.Popen[bytes]:
    argv, env = watched(*command, observer=observer, **options.pop("environ", {}))
    return subprocess.Popen(argv, env=env, **{"stdout": subprocess.PIPE, **options})


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rss(pid: int) -> int:
    """Return a process's resident memory in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("status", [0, 1, 71, 255])
def test_the_exit_status_is_the_commands(status: int) -> None:
    assert run("sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("name", ["SIGABRT", "SIGKILL", "SIGTERM", "SIGSEGV"])
def test_a_death_by_signal_is_ours_too(name: str, tmp_path: Path) -> None:
    """A shell's loop, xargs and make tell it from an exit code of 128 and its number."""
    number = signal.Signals[name]
    report = tmp_path / "report"
    ended = run("sh", "-c", f"kill -{number:d} $$", WATCHED_REPORT=str(report))
    assert ended.returncode == -number
    saw = json.loads(report.read_text())
    assert (saw["exit_code"], saw["signal"]) == (None, number)


@pytest.mark.parametrize(("name", "status"), [("no-such-command", 127), ("/etc", 126)])
def test_a_command_that_cannot_start_is_named(name: str, status: int) -> None:
    ended = run(name)
    assert ended.returncode == status
    assert ended.stderr.startswith(f"otel-untether: {name}: ".encode())
    assert ended.stderr.count(b"\n") == 1


def awkward_bytes() -> Iterator[tuple[str, bytes]]:
    yield "random binary", random.Random(7).randbytes(3_000_000)
    yield "a line of 10 MiB", b"x" * (10 << 20) + b"\n"
    yield "invalid UTF-8 and NULs", b"\xff\xfe\0\n\xc3\x28\0\0" * 1000
    yield "no final newline", b'{"type":"result"}'
    yield "nothing", b""


@pytest.mark.parametrize("data", [pytest.param(d, id=name) for name, d in awkward_bytes()])
def test_the_bytes_are_the_commands(data: bytes, tmp_path: Path) -> None:
    """On both streams; and what is observed is what was delivered."""
    (tmp_path / "data").write_bytes(data)
    report = tmp_path / "report"
    command = f"cat {tmp_path}/data; cat {tmp_path}/data >&2"
    ended = run("sh", "-c", command, WATCHED_REPORT=str(report))
    assert hashlib.sha256(ended.stdout).digest() == hashlib.sha256(data).digest()
    assert hashlib.sha256(ended.stderr).digest() == hashlib.sha256(data).digest()
    saw = json.loads(report.read_text())
    assert saw["sha256"] == hashlib.sha256(data).hexdigest()
    assert (saw["stdout"], saw["stderr"], saw["gaps"]) == (len(data), len(data), 0)


def test_an_observer_that_does_not_read_is_told_how_much_came(tmp_path: Path) -> None:
    report = tmp_path / "report"
    command = "head -c 100000 /dev/zero; sleep 0.2; head -c 3000000 /dev/zero"
    ended = run("sh", "-c", command, observer="deaf", WATCHED_REPORT=str(report))
    assert ended.stdout == bytes(3_100_000)
    saw = json.loads(report.read_text())
    assert (saw["stdout"], saw["gaps"]) == (3_100_000, 0)
    assert saw["sha256"] != hashlib.sha256(ended.stdout).hexdigest()


def test_what_was_copied_before_nobody_wanted_it_is_not_read_either(tmp_path: Path) -> None:
    """A flood of an agent whose format nobody knows took the observer a minute."""
    release, report = tmp_path / "release", tmp_path / "report"
    command = f"echo first; sleep 0.5; head -c 3000000 /dev/zero; : > {release}"
    run(
        "sh", "-c", command, observer="uninterested",
        WATCHED_RELEASE=str(release), WATCHED_REPORT=str(report), WATCHED_EXIT_TIMEOUT="60",
    )  # fmt: skip
    saw = json.loads(report.read_text())
    assert (saw["stdout"], saw["gaps"]) == (3_000_006, 0)
    assert saw["sha256"] == hashlib.sha256(b"first\n").hexdigest()


def test_a_lot_of_stderr_before_stdout_blocks_nothing() -> None:
    code = "import sys; sys.stderr.write('e' * (1 << 20)); sys.stderr.flush(); print('out')"
    ended = run(*python(code))
    assert (ended.stdout, len(ended.stderr)) == (b"out\n", 1 << 20)


def test_one_file_for_both_streams_keeps_their_order() -> None:
    """`2>&1`: the lines come out in the order in which they were written."""
    code = "import os\nfor i in range(500): os.write(1 + i % 2, b'%d\\n' % i)"
    with start(*python(code), stderr=subprocess.STDOUT) as process:
        output, _ = process.communicate()
    assert output == b"".join(b"%d\n" % i for i in range(500))


def test_stdin_reaches_the_command() -> None:
    argv, env = watched("cat")
    data = random.Random(1).randbytes(300_000)
    assert subprocess.run(argv, env=env, input=data, capture_output=True, check=True).stdout == data


def test_an_empty_stdin_ends() -> None:
    assert run("cat").returncode == 0


def test_a_descriptor_opened_by_the_shell_is_inherited(tmp_path: Path) -> None:
    argv, env = watched("sh", "-c", "echo through three >&3")
    script = f'exec "$@" 3>{tmp_path}/three'
    subprocess.run(["sh", "-c", script, "sh", *argv], env=env, check=True)
    assert (tmp_path / "three").read_text() == "through three\n"


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_descriptor_is_closed_for_the_command_too(closing: str, tmp_path: Path) -> None:
    probe = (
        "import os\n"
        "def is_open(fd):\n"
        "    try: os.fstat(fd)\n"
        "    except OSError: return False\n"
        "    return True\n"
        f"open({str(tmp_path / 'open')!r}, 'w').write(str([is_open(fd) for fd in range(3)]))"
    )
    command = python(probe)
    script = f'exec "$@" {closing}'
    # Python itself opens nothing on the closed descriptors before its first statement.
    subprocess.run(["sh", "-c", script, "sh", *command], check=True, capture_output=True)
    alone = (tmp_path / "open").read_text()
    argv, env = watched(*command)
    subprocess.run(["sh", "-c", script, "sh", *argv], env=env, check=True, capture_output=True)
    assert (tmp_path / "open").read_text() == alone


def test_a_consumer_that_leaves_kills_the_command_as_without_us(tmp_path: Path) -> None:
    """The very next write fails, not the one after it: SIGPIPE, exit status 141."""
    report = tmp_path / "report"
    code = "import os, time, signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
    code += "os.write(1, b'one\\n')\ntime.sleep(1)\nos.write(1, b'two\\n')\n"
    code += f"open({str(tmp_path / 'alive')!r}, 'w')"
    with start(*python(code), environ={"WATCHED_REPORT": str(report)}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"one\n"
        process.stdout.close()
        assert process.wait() == -signal.SIGPIPE
    assert not (tmp_path / "alive").exists()
    assert json.loads(report.read_text())["signal"] == signal.SIGPIPE


def test_a_command_that_survives_its_consumer_is_waited_for() -> None:
    """With its own exit status, though nobody reads what it says."""
    code = "import os, time\nos.write(1, b'one\\n')\ntime.sleep(0.5)\n"
    code += "try: os.write(1, b'two\\n')\nexcept BrokenPipeError: os._exit(33)"
    with start(*python(code)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 33


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_success_is_none_where_output_was_lost() -> None:
    """A script with `set -e` must not go on with a file that is cut."""
    argv, env = watched("echo", "x")
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(argv, env=env, stdout=full, stderr=subprocess.DEVNULL, check=False)
    assert ended.returncode == 74


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_full_disk_is_told_and_ends_the_stream() -> None:
    argv, env = watched("sh", "-c", "while echo x; do :; done 2>/dev/null; exit 9")
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(argv, env=env, stdout=full, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == -signal.SIGPIPE
    message = b"otel-untether: stdout cannot be written: No space left on device; it is closed\n"
    assert ended.stderr == message


def test_a_consumer_that_does_not_block_gets_everything() -> None:
    """An O_NONBLOCK stdout, as Node leaves behind, refuses bytes for a while; none is lost."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with start("head", "-c", "3000000", "/dev/zero", stdout=write) as process:
        os.close(write)
        time.sleep(0.3)
        with os.fdopen(read, "rb") as consumer:
            assert len(consumer.read()) == 3_000_000
        assert process.wait() == 0


def test_a_slow_consumer_slows_the_command_and_costs_no_memory(tmp_path: Path) -> None:
    progress = tmp_path / "progress"
    code = "import os\nfor i in range(2000):\n os.write(1, bytes(65536))\n"
    code += f" open({str(progress)!r}, 'w').write(str(i))"
    with start(*python(code)) as process:
        assert process.stdout is not None
        process.stdout.read(100_000)
        time.sleep(0.5)
        before = rss(process.pid)
        for _ in range(20):
            process.stdout.read(300_000)
            time.sleep(0.02)
        time.sleep(0.3)
        written = int(progress.read_text()) * 65536
        assert rss(process.pid) - before < 8 << 20
        assert written < 6_100_000 + (6 << 20)
        process.stdout.close()
        process.wait()


def test_a_consumer_that_does_not_read_is_noticed() -> None:
    """So that nobody takes the agent's silence for its own."""
    with start("head", "-c", "9000000", "/dev/zero", observer="blocked", stderr=-1) as process:
        time.sleep(2.5)
        _, errors = process.communicate()
    assert errors == b"blocked for True\n"


def test_a_job_that_outlives_the_command_is_not_waited_for_and_keeps_its_output() -> None:
    """As without us: the status comes with the command's end, the job's output when it comes."""
    job = "(read x; echo late) & exit 5"
    hold, release = os.pipe()
    with start("sh", "-c", job, stdin=hold, environ={"WATCHED_DRAIN_TIMEOUT": "0.1"}) as process:
        assert process.stdout is not None
        assert process.wait(60) == 5
        os.write(release, b"x\n")
        assert process.stdout.read() == b"late\n"
    for fd in (hold, release):
        os.close(fd)


def test_what_was_written_is_delivered_to_a_slow_consumer_after_the_end() -> None:
    """Also when a grandchild keeps the pipe open beyond the grace."""
    command = "head -c 700000 /dev/zero; sleep 2 >&1 & exit 0"
    with start("sh", "-c", command, environ={"WATCHED_DRAIN_TIMEOUT": "0.2"}) as process:
        assert process.stdout is not None
        time.sleep(1)
        assert len(process.stdout.read()) == 700_000
        assert process.wait() == 0


def test_the_consumer_sees_the_end_before_telemetry_is_done() -> None:
    environ = {"WATCHED_EXIT_TIMEOUT": "4"}
    with start(
        "echo", "x", observer="hanging", stderr=subprocess.DEVNULL, environ=environ
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"x\n"
        assert process.poll() is None
        assert process.wait() == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_sent_to_us_reaches_the_command(name: str) -> None:
    number = signal.Signals[name]
    code = "import signal, sys, time\n"
    code += f"signal.signal({number:d}, lambda *_: sys.exit(40))\n"
    code += "print('ready', flush=True)\ntime.sleep(30)"
    with start(*python(code)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait() == 40


def test_a_signal_kills_a_command_that_does_not_handle_it() -> None:
    with start("sh", "-c", "echo ready; exec sleep 30") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait() == -signal.SIGTERM


def test_an_alarm_that_was_set_before_us_ends_the_command() -> None:
    """`perl -e 'alarm 9; exec @ARGV' …`: the timer is ours then, and its signal the kernel's."""
    argv, env = watched("sleep", "30")
    code = "import os, signal, sys\nsignal.alarm(2)\nos.execv(sys.argv[1], sys.argv[1:])"
    ended = subprocess.run([*python(code), *argv], env=env, check=False)
    assert ended.returncode == -signal.SIGALRM


def test_an_ignored_signal_stays_ignored_for_both() -> None:
    """As under nohup."""
    argv, env = watched("sh", "-c", "echo ready; sleep 0.5; echo alive")
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *argv]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert process.stdout.read() == b"alive\n"
        assert process.wait() == 0


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM", "USR1"])
def test_a_signal_ignored_at_the_start_reaches_an_agent_that_handles_it(name: str) -> None:
    """Under nohup, or as a shell's job in the background, which has INT and QUIT ignored.

    A shell cannot set a trap for what was ignored when it started; most other programs can.
    """
    code = f"""if True:
        import signal, sys

        def end(*_):
            print("heard", flush=True)
            sys.exit(0)

        signal.signal(signal.SIG{name}, end)
        print("ready", flush=True)
        while True:
            signal.pause()
    """
    argv, env = watched(*python(code))
    command = ["sh", "-c", f'trap "" {name}; exec "$@"', "sh", *argv]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(getattr(signal, f"SIG{name}"))
        assert process.stdout.read() == b"heard\n"
        assert process.wait() == 0


def test_ignored_child_signals_do_not_cost_the_exit_status() -> None:
    code = "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    code += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    argv, env = watched("sh", "-c", "exit 6")
    ended = subprocess.run([sys.executable, "-c", code, *argv[1:]], env=env, check=False)
    assert ended.returncode == 6


def test_a_terminating_signal_ends_the_delivery_to_a_stuck_consumer(tmp_path: Path) -> None:
    """One that comes while the agent lives is the agent's; one ignored by nohup ends nothing."""
    said = tmp_path / "said"
    # Less than the agent's pipe holds however it is read, more than the consumer's does.
    agent = f"head -c 60000 /dev/zero; touch '{said}'"
    argv, env = watched("sh", "-c", agent)
    nohup = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *argv]
    with subprocess.Popen(nohup, env=env, stdout=subprocess.PIPE, pipesize=4096) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(said.exists, 60)
        wait_until(lambda: len(children.read_text().split()) == 1, 60)  # the observer
        assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        process.terminate()
        assert process.wait() == -signal.SIGTERM


def test_an_observer_that_raises_is_reported_once(tmp_path: Path) -> None:
    """And it still learns of the end, so that its spans are closed."""
    report = tmp_path / "report"
    command = "for i in 1 2 3; do echo $i; sleep 0.05; done; echo e >&2; exit 4"
    ended = run("sh", "-c", command, observer="raising", WATCHED_REPORT=str(report))
    assert (ended.returncode, ended.stdout) == (4, b"1\n2\n3\n")
    lines = ended.stderr.splitlines()
    assert b"e" in lines
    assert [line for line in lines if line.startswith(b"otel-untether: telemetry failed")] == [
        line for line in lines if line != b"e"
    ]
    assert len(lines) == 2
    assert json.loads(report.read_text())["exit_code"] == 4


def test_an_observer_that_cannot_be_made_is_reported_in_one_line() -> None:
    ended = run("sh", "-c", "echo out; exit 4", observer="broken")
    assert (ended.returncode, ended.stdout) == (4, b"out\n")
    assert ended.stderr == (
        b"otel-untether: telemetry failed, the agent is unaffected: "
        b"ImportError: no telemetry for 3 words\n"
    )


def test_an_observer_that_hangs_holds_nothing_up() -> None:
    """Not the bytes, more of them than are kept for it, nor the exit beyond its deadline."""
    size = 100 << 20
    began = time.monotonic()
    with start(
        "head", "-c", str(size), "/dev/zero",
        observer="hanging", stderr=-1, environ={"WATCHED_EXIT_TIMEOUT": "0.5"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        read = 0
        while chunk := process.stdout.read(1 << 20):
            read += len(chunk)
        delivered = time.monotonic() - began
        _, errors = process.communicate()
    assert (read, process.returncode) == (size, 0)
    assert time.monotonic() - began - delivered < 10
    lines = errors.decode().splitlines()
    assert lines[0].startswith("otel-untether: telemetry was not finished within 0.5 s")
    assert "passed on but not observed" in lines[1]


@pytest.mark.skipif(sys.platform != "linux", reason="policies of Linux")
def test_the_observer_takes_the_core_from_nobody() -> None:
    with start("cat", stdin=subprocess.PIPE) as process:
        tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: os.SCHED_BATCH in map(policy, tasks.read_text().split()))
        assert policy(process.pid) == policy(os.getpid())
        process.communicate(b"")


def policy(pid: str | int) -> int | None:
    try:
        return os.sched_getscheduler(int(pid))
    except ProcessLookupError:
        return None


def test_what_an_observer_missed_is_told_though_it_finished_in_time(tmp_path: Path) -> None:
    size = 100 << 20
    release, report = tmp_path / "release", tmp_path / "report"
    ended = run(
        "sh", "-c", f"head -c {size} /dev/zero; : > {release}", observer="held",
        WATCHED_RELEASE=str(release), WATCHED_REPORT=str(report), WATCHED_EXIT_TIMEOUT="60",
    )  # fmt: skip
    saw = json.loads(report.read_text())
    assert (saw["gaps"], saw["stdout"] < size) == (1, True)
    missed = size - saw["stdout"]
    assert ended.stderr.decode() == (
        f"otel-untether: {missed} bytes of stdout were passed on but not observed\n"
    )


def test_the_observer_is_called_in_silence(tmp_path: Path) -> None:
    report = tmp_path / "report"
    run("sleep", "2.3", WATCHED_REPORT=str(report))
    saw = json.loads(report.read_text())
    assert 1 <= saw["ticks"] <= saw["lasted"]
    assert saw["lasted"] > 2.2


def test_the_summary_comes_after_the_commands_own_stderr() -> None:
    ended = run("sh", "-c", "echo last words >&2", WATCHED_SUMMARY="42 tools")
    assert ended.stderr == b"last words\n42 tools\n"


def test_an_orphan_is_adopted_and_reaped() -> None:
    """It stays below us once its parent is gone, and leaves no zombie when it ends."""
    code = "import os, subprocess, sys\n"
    code += "p = subprocess.Popen(['sh', '-c', 'sleep 0.3 & echo $!'], stdout=1)\np.wait()\n"
    code += "import time; time.sleep(3)"
    with start(*python(code)) as process:
        assert process.stdout is not None
        orphan = int(process.stdout.readline())
        status = Path(f"/proc/{orphan}/status")
        wait_until(lambda: f"PPid:\t{process.pid}\n" in status.read_text())
        wait_until(lambda: not status.exists())
        process.terminate()
        process.wait()


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_many_runs_leave_nothing_behind() -> None:
    """No descriptor, thread, zombie or signal mask; the streams are this process's own."""
    options = Options()
    command = ["sh", "-c", "echo x; echo y >&2"]
    supervisor.run(command, options, watched_run.Recording)
    fds, threads = descriptors(), threading.active_count()
    children = set(psutil.Process().children())
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    for _ in range(50):
        assert supervisor.run(command, options, watched_run.Recording) == 0
    assert descriptors() <= fds
    assert threading.active_count() <= threads
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert not set(psutil.Process().children()) - children
