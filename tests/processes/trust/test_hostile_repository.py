"""A repository that was cloned, and the agent that works in it, against who watches there.

Each test is named after the harm. A file in the working directory is written by whoever wrote the
repository, or by the agent itself.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.processes.trust.commands import tree

if TYPE_CHECKING:
    from tests.processes.trust.commands import Victim

OLD = 100 * 86_400
RECORDING = Path(__file__).parents[2] / "conformance" / "recordings" / "claude" / "claude_ok.jsonl"


def put(victim: Victim, text: str) -> None:
    """Put a settings file into the repository."""
    (victim.folder / "otel-untether.toml").write_text(text)


def precious(folder: Path) -> Path:
    """Make an old file that means something to its user."""
    folder.mkdir(parents=True)
    for name in ("notes", "0123456789abcdef0123456789abcdef.json", "chat.jsonl"):
        (folder / name).write_text("{}")
        os.utime(folder / name, (time.time() - OLD, time.time() - OLD))
    return folder


def test_the_users_files_are_not_deleted_by_a_state_dir_of_the_repository(victim: Victim) -> None:
    before = tree(precious(victim.home / ".codex" / "sessions"))
    put(victim, f'[telemetry]\nstate_dir = "{victim.home}/.codex"\nkeep_days = 1e-7\n')
    done = victim.run("true")
    assert done.returncode == 0
    assert tree(victim.home / ".codex" / "sessions") == before
    assert not (victim.home / ".codex" / "runs").exists()
    assert "telemetry.state_dir (not for a working directory to set)" in done.stderr
    assert len(list(victim.state.glob("runs/*"))) == 1


@pytest.mark.parametrize("how", ["environment", "own file"])
def test_files_that_are_not_ours_stay_even_where_the_user_points_us_at_them(
    victim: Victim, how: str
) -> None:
    """A Symfony project has a folder var/sessions, too."""
    before = tree(precious(victim.folder / "var" / "sessions"))
    environ = {"OTEL_UNTETHER_KEEP_DAYS": "0.001", "OTEL_UNTETHER_STATE_DIR": "var"}
    if how == "own file":
        own = victim.home / ".config" / "otel-untether"
        own.mkdir(parents=True)
        path = victim.folder / "var"
        (own / "otel-untether.toml").write_text(f'[telemetry]\nstate_dir = "{path}"\n')
        del environ["OTEL_UNTETHER_STATE_DIR"]
    assert victim.run("true", **environ).returncode == 0
    assert tree(victim.folder / "var" / "sessions") == before


@pytest.mark.parametrize("name", ["sessions", "runs"])
def test_nothing_is_deleted_or_written_through_a_link_in_the_state_directory(
    victim: Victim, name: str
) -> None:
    before = tree(precious(victim.home / "precious"))
    state = victim.folder / "state"
    state.mkdir()
    (state / name).symlink_to(victim.home / "precious")
    environ = {"OTEL_UNTETHER_STATE_DIR": "state", "OTEL_UNTETHER_KEEP_DAYS": "0.001"}
    done = victim.run("true", **environ)
    assert done.returncode == 0
    assert tree(victim.home / "precious") == before


def test_a_folder_called_like_a_run_keeps_what_is_not_ours(victim: Victim) -> None:
    folder = victim.state / "runs" / "20200101T000000.000000Z-5f0c"
    precious(folder / "sub")
    (folder / "thesis.tex").write_text("x")
    for path in (folder / "thesis.tex", folder / "sub", folder):
        os.utime(path, (time.time() - OLD, time.time() - OLD))
    victim.state.chmod(0o700)
    assert victim.run("sleep", "1", OTEL_UNTETHER_KEEP_DAYS="0.001").returncode == 0
    assert (folder / "thesis.tex").read_text() == "x"
    assert len(list((folder / "sub").iterdir())) == 3


def test_content_is_not_captured_because_the_repository_says_so(victim: Victim) -> None:
    put(victim, "[capture]\ncontent = true\nmax_length = 100000\n")
    done = victim.start("run", "--engine", "claude", "--", "cat", str(RECORDING))
    assert "capture.content (not for a working directory to set)" in done.stderr
    victim.wait_until_kept()
    (traces,) = victim.state.glob("runs/*/traces.jsonl")
    assert "gen_ai.tool.call.arguments" not in traces.read_text()
    assert "gen_ai.tool.call.result" not in traces.read_text()


def test_the_history_is_not_wiped_by_a_repository(victim: Victim) -> None:
    for _ in range(3):
        assert victim.run("true").returncode == 0
    put(victim, "[telemetry]\nkeep_runs = 1\nkeep_days = 1e-9\nkeep_megabytes = 1e-9\n")
    assert victim.run("sleep", "1").returncode == 0
    assert len(list(victim.state.glob("runs/*"))) == 4


def test_a_working_agent_is_not_killed_because_the_repository_says_so(victim: Victim) -> None:
    causes = '["wedged", "model_silent", "tool_hung", "startup_hang"]'
    put(
        victim,
        "[watchdog]\nstall_auto_kill = true\nkill_confirmations = 1\nliveness_timeout = 0.5\n"
        f"startup_timeout = 0.5\nstall_timeout = 0.3\nkill_causes = {causes}\n",
    )
    done = victim.start("run", "--engine", "claude", "--", "sleep", "3")
    assert done.returncode == 0
    assert "killing" not in done.stderr


def test_the_operators_own_watchdog_is_neither_hastened_nor_blinded(victim: Victim) -> None:
    put(victim, "[watchdog]\nliveness_timeout = 1e12\nstall_timeout = 0.3\ntool_timeout = 0.3\n")
    environ = {"OTEL_UNTETHER_STALL_AUTO_KILL": "true"}
    document = json.loads(victim.start("config", "--json", memory=None, **environ).stdout)[
        "watchdog"
    ]
    assert document["stall_auto_kill"]["value"] is True
    for name, value in {"liveness": 600, "stall": 300, "tool": 600}.items():
        assert document[f"{name}_timeout"]["value"] == value


def test_the_exit_is_not_held_up_by_a_repository(victim: Victim) -> None:
    put(victim, "[telemetry]\nexit_timeout = 1e9\n")
    document = json.loads(victim.start("config", "--json").stdout)
    assert document["telemetry"]["exit_timeout"]["value"] == 2.0


@pytest.mark.parametrize(
    "text",
    ["[watchdog]\nstall_timeot = 1\n", "x = ", "[watchdog]\ntool_timeout = 'soon'\n",
     "[watchdog]\nstall_timeout = 1000\n", '["\\u001b]0;PWNED\\u0007"]\nx = 1\n', "\x00"],
)  # fmt: skip
def test_the_agent_starts_whatever_the_repositorys_file_says(victim: Victim, text: str) -> None:
    put(victim, text)
    done = victim.run("echo", "started")
    assert (done.returncode, done.stdout) == (0, "started\n")
    assert "otel-untether.toml" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_fifo_for_a_settings_file_does_not_keep_the_agent_from_starting(victim: Victim) -> None:
    os.mkfifo(victim.folder / "otel-untether.toml")
    done = victim.run("echo", "started")
    assert (done.returncode, done.stdout) == (0, "started\n")
    assert "not a regular file of this user; not used" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["demo"], ["replay", str(RECORDING), str(RECORDING)], ["replay", str(RECORDING)],
     ["report"], ["resend"], ["config"], ["doctor"], ["run", "--", "true"]],
    ids=lambda arguments: f"{arguments[0]}{len(arguments)}",
)  # fmt: skip
def test_no_python_of_the_working_directory_is_executed(
    victim: Victim, arguments: list[str]
) -> None:
    pwned = "import pathlib; pathlib.Path(__file__).with_name('PWNED').touch(); raise SystemExit(9)"
    names = ("otel_untether", "opentelemetry", "msgspec", "socket", "selectors", "random", "json",
             "psutil", "sitecustomize", "anyio", "google", "grpc", "requests")  # fmt: skip
    for name in names:
        (victim.folder / name).mkdir()
        (victim.folder / name / "__init__.py").write_text(pwned)
    done = victim.start(*arguments)
    assert not list(victim.folder.rglob("PWNED"))
    assert "Traceback" not in done.stderr


def test_a_run_says_in_one_line_what_it_took_from_the_repository(victim: Victim) -> None:
    put(victim, "[watchdog]\ntool_timeout = 700\n[telemetry]\nkeep_runs = 1\n")
    lines = [
        line for line in victim.run("true").stderr.splitlines() if "otel-untether.toml" in line
    ]
    assert len(lines) == 1
    assert "sets watchdog.tool_timeout = 700; not taken: telemetry.keep_runs" in lines[0]
