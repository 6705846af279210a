from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_untether.cli import run as run_command
from otel_untether.engines import NAMES, registry
from tests.support.processes import eventually

ROOT = Path(run_command.__file__).parents[2]
INIT = (
    '{"type":"system","subtype":"init","session_id":"5f0c9a1e-0000-4000-8000-000000000001",'
    '"claude_code_version":"2.1.0","model":"m","tools":[]}'
)
# A run whose observer notes at its end what it has imported, and that ends before the first tick,
# however busy the machine is.
SHORT_RUN = """
import os, sys
from otel_untether import cli
from otel_untether.supervisor.observer_process import Observation, Session

carry_out = Observation.carry_out

def noting(observation):
    carry_out(observation)
    with open(".imported", "w") as file:
        file.write(" ".join(sys.modules))
    os.rename(".imported", "imported")

Observation.carry_out = noting
Session._tick = lambda *_: None
sys.exit(cli.main())
"""


def run(
    *arguments: str, cwd: Path, stdout: int = subprocess.PIPE, **environ: str
) -> subprocess.CompletedProcess[str]:
    env = {name: os.environ[name] for name in ("PATH",)}
    env |= {"PYTHONPATH": str(ROOT), "HOME": str(cwd), "XDG_STATE_HOME": str(cwd / "state")}
    return subprocess.run(
        [sys.executable, "-m", "otel_untether", "run", *arguments],
        cwd=cwd,
        env=env | environ,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        (["--", "claude", "-p"], {"argv": ["claude", "-p"]}),
        (["claude", "-p", "--", "x"], {"argv": ["claude", "-p", "--", "x"]}),
        (["--", "--odd-name"], {"argv": ["--odd-name"]}),
        (["-q", "claude", "-q"], {"argv": ["claude", "-q"], "no_summary": True}),
        (["--no-summary", "--", "x"], {"argv": ["x"], "no_summary": True}),
        (["--engine", "codex", "x"], {"argv": ["x"], "engine": "codex"}),
        (["--engine=codex", "--config=a=b", "x"],
         {"argv": ["x"], "engine": "codex", "config": "a=b"}),
        (["--exit-timeout", "0.5", "--", "x"], {"argv": ["x"], "exit_timeout": 0.5}),
        (["--kill", "--stall-timeout", "60", "x"],
         {"argv": ["x"], "auto_kill": "true", "stall_timeout": 60.0}),
        (["--dry-run", "--state-dir=s", "x"],
         {"argv": ["x"], "auto_kill": "dry-run", "state_dir": "s"}),
    ],
)  # fmt: skip
def test_a_command_line_is_read_alike_quickly_and_by_argparse(
    arguments: list[str], read: dict[str, object]
) -> None:
    expected = vars(run_command.RunOptions()) | read
    options = run_command.quick(arguments)
    assert options is not None
    assert vars(options) == expected
    assert vars(run_command._parsed(arguments)) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        "", "--", "-q", "--help", "-h x", "--engine", "--engine clod x", "--engine -- x",
        "--engine= x", "--config", "--config= x", "--exit-timeout -1 x", "--exit-timeout inf x",
        "--nonsense x", "-qq x", "--no-summary=1 x", "- x", "--=x y",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_argparse(arguments: str) -> None:
    assert run_command.quick(arguments.split()) is None


def test_the_engines_are_those_of_the_registry() -> None:
    assert registry.names() == NAMES


def test_the_commands_bytes_and_status_are_ours(tmp_path: Path) -> None:
    ended = run("--", "sh", "-c", "printf 'a\\0b'; exit 71", cwd=tmp_path)
    assert (ended.stdout, ended.returncode) == ("a\0b", 71)


def test_the_commands_options_are_its_own(tmp_path: Path) -> None:
    ended = run("-q", "echo", "--engine", "--", "-q", cwd=tmp_path)
    assert ended.stdout == "--engine -- -q\n"


def test_the_environment_differs_by_the_trace_context_alone(tmp_path: Path) -> None:
    ended = run("-q", "--", "env", "-0", cwd=tmp_path, ODD="a\nb", BAGGAGE="k=v")
    inside = dict(entry.split("=", 1) for entry in ended.stdout.split("\0") if entry)
    assert inside.pop("TRACEPARENT").endswith("-01")
    assert inside == {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "ODD": "a\nb",
        "BAGGAGE": "k=v",
    }


def test_modules_on_the_agents_path_are_none_of_ours(tmp_path: Path) -> None:
    """A project's `select.py` is for its own Python; the last is where this project lies.

    Also where the standard library's own folder is on the path, before them.
    """
    shadows = tmp_path / "src"
    shadows.mkdir()
    for name in ("select", "mmap", "resource", "fcntl", "json", "logging", "uuid", "msgspec"):
        (shadows / f"{name}.py").write_text("raise SystemExit(3)\n")
    (shadows / "opentelemetry").mkdir()
    (shadows / "opentelemetry" / "__init__.py").touch()
    path = f"{os.path.dirname(os.__file__)}:{shadows}:{ROOT}"  # noqa: PTH120
    command = [sys.executable, "-c", "from otel_untether.cli import main; raise SystemExit(main())"]
    ended = subprocess.run(
        [*command, "run", "--", "sh", "-c", "echo $PYTHONPATH; exit 7"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": path,
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "OTEL_TRACES_EXPORTER": "console",
        },
        cwd=shadows,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (7, f"{path}\n")
    (said,) = ended.stderr.splitlines()
    assert ", trace " in said


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "de_DE.UTF-8"])
def test_the_locale_is_the_one_we_were_given(locale: str, tmp_path: Path) -> None:
    """Python changes LC_CTYPE of its own environment in the C locale (PEP 538)."""
    ended = run("-q", "--", "printenv", "LC_CTYPE", cwd=tmp_path, LC_CTYPE=locale)
    assert ended.stdout == f"{locale}\n"


def test_an_environment_may_have_an_entry_without_a_name(tmp_path: Path) -> None:
    """Some programs inherit `=C:=C:\\x` from others; it is nobody's reason not to start."""
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    code = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "def strings(values):\n"
        "    return (ctypes.c_char_p * (len(values) + 1))(*values, None)\n"
        "argv = [os.fsencode(word) for word in sys.argv[1:]]\n"
        "env = [b'='.join((k, v)) for k, v in os.environb.items()] + [b'=C:=C:x']\n"
        "libc.execve(argv[0], strings(argv), strings(env))\n"
    )
    argv = [sys.executable, "-m", "otel_untether", "run", "-q", "--", "echo", "x"]
    ended = subprocess.run(
        [sys.executable, "-c", code, *argv], env=environ, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"x\n", b"")


def test_no_summary_leaves_stderr_to_the_command(tmp_path: Path) -> None:
    assert run("--", "true", cwd=tmp_path).stderr.count("\n") >= 1
    quiet = run("--no-summary", "--", "sh", "-c", "echo e >&2", cwd=tmp_path)
    assert "e\n" in quiet.stderr
    assert "trace" not in quiet.stderr


def test_the_status_is_the_commands_where_our_outputs_are_closed(tmp_path: Path) -> None:
    """Python has no `sys.stdout` then."""
    shell = '"$0" -m otel_untether run -q -- sh -c "exit 3" <&- >&- 2>&-'
    env = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    command = ["sh", "-c", shell, sys.executable]
    assert subprocess.run(command, env=env, cwd=tmp_path, check=False).returncode == 3


def test_the_exit_timeout_is_known_before_an_agent_that_ends_at_once(tmp_path: Path) -> None:
    """It is not the default that holds until telemetry is imported."""
    ended = run("--exit-timeout", "0", "true", cwd=tmp_path)
    assert "not finished within 0 s" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a command is missing; expected otel-untether run -- COMMAND"),
        (["--"], "a command is missing"),
        (["--engine", "clod", "true"], "unknown engine 'clod': expected one of claude, codex"),
        (["--exit-timeout", "soon", "true"], "expected seconds, 0 or more, not 'soon'"),
        (["--exit-timeout", "-1", "true"], "expected seconds, 0 or more, not '-1'"),
        (["--exit-timeout", "nan", "true"], "expected seconds, 0 or more, not 'nan'"),
        (["--config", "none.toml", "true"], "none.toml: cannot be read"),
        (["--nonsense", "true"], "unrecognized arguments: --nonsense"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], message: str, tmp_path: Path) -> None:
    ended = run(*arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stdout == ""


def test_a_bad_setting_is_refused_before_the_agent_starts(tmp_path: Path) -> None:
    """An operator who asked for a watchdog must not find out later that there was none."""
    (tmp_path / "otel-untether.toml").write_text("[watchdog]\nstall_timeot = 1\n")
    ended = run("--config", "otel-untether.toml", "touch", "started", cwd=tmp_path)
    assert ended.returncode == 2
    assert "otel-untether.toml: unknown key watchdog.stall_timeot" in ended.stderr
    assert not (tmp_path / "started").exists()


def test_help_has_examples(tmp_path: Path) -> None:
    ended = run("--help", cwd=tmp_path)
    assert ended.returncode == 0
    assert "otel-untether run -- claude -p" in ended.stdout


BEFORE_THE_SPAWN = """
import sys
from otel_untether import cli
from otel_untether.supervisor import agent_run

def told(_run):
    heavy = {"argparse", "typing", "dataclasses", "enum", "re", "msgspec", "psutil", "pathlib"}
    print(sorted(heavy & set(sys.modules)), flush=True)
    return 0

agent_run.AgentRun.carry_out = told
cli.main()
"""


@pytest.mark.parametrize("kept_at", [None, "kept"])
def test_nothing_heavy_is_imported_before_the_agent_runs(
    tmp_path: Path, kept_at: str | None
) -> None:
    """What is imported by then delays the agent's first byte."""
    command = [sys.executable, "-S", "-c", BEFORE_THE_SPAWN, "run", "--", "true"]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    if kept_at is not None:
        env["OTEL_UNTETHER_STATE_DIR"] = str(tmp_path / kept_at)
    loaded = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, check=True)
    assert loaded.stdout == b"[]\n"


def test_a_short_run_imports_nothing_that_only_a_long_one_needs(tmp_path: Path) -> None:
    """Most of the processor's time that a short run takes is that of imports."""
    rare = {
        "otel_untether.session.redactor",
        *(
            "gzip",
            "hmac",
            "html",
            "pkgutil",
            "secrets",
            "psutil",
            "importlib.metadata",
            "hashlib",
            "signal",
        ),
        *("opentelemetry.sdk", "opentelemetry.metrics", "google", "requests"),
        *(f"otel_untether.{room}" for room in ("diagnosis", "kill", "report", "stall")),
        *(f"otel_untether.proc_diag.{name}" for name in ("deep_look", "details", "linux.deep")),
        *("otel_untether.watching.judge", "otel_untether.engines.pi"),
    }
    agent = tmp_path / "claude"
    agent.write_text(f"#!/bin/sh\necho '{INIT}'\n")
    agent.chmod(0o755)
    command = [sys.executable, "-c", SHORT_RUN, "run", "--", "./claude", "-p", "hello"]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, check=True)
    noted = tmp_path / "imported"
    eventually(noted.exists, timeout=90)
    seen = set(noted.read_text().split())
    assert "otel_untether.engines.claude.stream" in seen
    assert sorted(rare & seen) == []


def test_what_is_typed_is_in_force(tmp_path: Path) -> None:
    """One line, no file: an agent that would hang for ever is warned of, then ended."""
    agent = [sys.executable, "-m", "otel_untether.demo", "--pace", "0.05", "--stall", "wedged"]
    done = run(
        *("--kill", "--stall-timeout", "1", "--state-dir", str(tmp_path / "kept")),
        *("--engine", "claude", "--", *agent),
        cwd=tmp_path,
        OTEL_UNTETHER_LIVENESS_TIMEOUT="2",
        OTEL_UNTETHER_SAMPLE_INTERVAL="0.25",
        OTEL_UNTETHER_KILL_GRACE="1",
    )
    assert "otel-untether: silent for" in done.stderr
    assert "claude killed (wedged)" in done.stderr
    assert len(list((tmp_path / "kept" / "runs").iterdir())) == 1


@pytest.mark.parametrize(
    "arguments", [["--stall-timeout", "0"], ["--stall-timeout", "soon"], ["--state-dir"]]
)
def test_a_wrong_option_is_an_error_before_the_agent_starts(
    arguments: list[str], tmp_path: Path
) -> None:
    done = run(*arguments, "--", "touch", "started", cwd=tmp_path)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert not (tmp_path / "started").exists()
