from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_untether.supervisor.spawn import CommandError, spawn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def output_of(
    argv: Sequence[str], environ: Mapping[str, str] | None = None, mask: Sequence[int] = ()
) -> tuple[bytes, int]:
    """Spawn `argv` with a pipe for its stdout; return what it wrote and its exit code."""
    source, sink = os.pipe()
    pid = spawn(argv, os.environ if environ is None else environ, {1: sink}, mask)
    os.close(sink)
    with os.fdopen(source, "rb") as file:
        output = file.read()
    return output, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def write_script(path: Path, content: bytes, mode: int = 0o755) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_the_environment_is_the_one_given() -> None:
    output, code = output_of(["env"], {"PATH": os.environ["PATH"], "ONLY": "this"})
    assert sorted(output.split()) == [b"ONLY=this", b"PATH=" + os.environb[b"PATH"]]
    assert code == 0


def test_signals_that_python_ignores_are_not_ignored_by_the_child() -> None:
    status, _ = output_of(["cat", "/proc/self/status"])
    fields = dict(line.split(b":\t", 1) for line in status.splitlines() if b":\t" in line)
    ignored = int(fields[b"SigIgn"], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1)
    assert not ignored & (1 << signal.SIGXFSZ - 1)


def test_the_signal_mask_is_the_one_given() -> None:
    status, _ = output_of(["grep", "SigBlk", "/proc/self/status"], mask=[signal.SIGUSR1])
    assert int(status.split()[1], 16) == 1 << signal.SIGUSR1 - 1


def test_a_script_without_an_interpreter_line_is_run_by_the_shell(tmp_path: Path) -> None:
    script = write_script(tmp_path / "script", b'echo "$0 $1"\n')
    assert output_of([script, "one"]) == (f"{script} one\n".encode(), 0)


def test_such_a_script_is_found_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_script(tmp_path / "a-script", b"exit 7\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert output_of(["a-script"]) == (b"", 7)


@pytest.mark.parametrize(
    ("content", "mode", "status", "message"),
    [
        (b"\x7fELF\0\0garbage", 0o755, 126, "Exec format error"),
        (b"#!/bin/sh\n", 0o644, 126, "Permission denied"),
        (b"#!/no/such/interpreter\n", 0o755, 127, "its interpreter was not found"),
    ],
)
def test_a_file_that_cannot_be_run_says_why(
    tmp_path: Path, content: bytes, mode: int, status: int, message: str
) -> None:
    script = write_script(tmp_path / "thing", content, mode)
    with pytest.raises(CommandError, match=message) as raised:
        spawn([script], os.environ, {}, ())
    assert raised.value.status == status
    assert str(raised.value).startswith(script)


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("no-such-command-at-all", 127, "no-such-command-at-all: command not found"),
        ("", 127, "'': no command: posix_spawnp: argv first element cannot be empty"),
        ("/no/such/file", 127, "/no/such/file: no such file"),
        ("/", 126, "/: cannot be executed: Permission denied"),
        ("/etc/hostname/x", 126, "/etc/hostname/x: cannot be executed: Not a directory"),
    ],
)
def test_a_command_that_is_not_there_is_named(name: str, status: int, message: str) -> None:
    with pytest.raises(CommandError) as raised:
        spawn([name], os.environ, {}, ())
    assert (str(raised.value), raised.value.status) == (message, status)


def test_inheritable_descriptors_are_inherited_and_no_others(tmp_path: Path) -> None:
    inherited = os.open(tmp_path / "inherited", os.O_CREAT | os.O_RDWR)
    kept = os.open(tmp_path / "kept", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(inherited, True)  # noqa: FBT003  its signature
    probe = (
        "import os\n"
        f"os.write({inherited}, b'hello')\n"
        "try:\n"
        f"    os.fstat({kept})\n"
        "except OSError:\n"
        "    print('closed')\n"
    )
    output, code = output_of([sys.executable, "-c", probe])
    os.close(inherited)
    os.close(kept)
    assert (output, code) == (b"closed\n", 0)
    assert (tmp_path / "inherited").read_bytes() == b"hello"
    assert stat.S_ISREG((tmp_path / "inherited").stat().st_mode)


def test_the_child_stays_in_our_group_and_session() -> None:
    output, _ = output_of([sys.executable, "-c", "import os; print(os.getpgrp(), os.getsid(0))"])
    assert output.split() == [str(os.getpgrp()).encode(), str(os.getsid(0)).encode()]
