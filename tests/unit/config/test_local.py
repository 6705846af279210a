"""The settings file that lies in the working directory."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.config import local, settings
from otel_untether.config.settings import KEYS, Config, WatchdogConfig

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = Config().values()


def load(tmp_path: Path, text: str, **environ: str) -> Config:
    """Load the settings where this file lies in the working directory."""
    (tmp_path / "otel-untether.toml").write_text(text)
    return settings.load(None, environ, str(tmp_path), str(tmp_path / "home"))


def without_words(config: Config) -> Config:
    """Return the settings as if nothing had been said."""
    return config._replace(notices=())


def test_it_may_vary_a_threshold_and_that_is_said(tmp_path: Path) -> None:
    loaded = load(tmp_path, "[watchdog]\ntool_timeout = 1800\n")
    file = str(tmp_path / "otel-untether.toml")
    assert loaded.watchdog == WatchdogConfig(tool_timeout=1800)
    assert loaded.sources["watchdog.tool_timeout"] == file
    assert loaded.notices == (
        f"{file}, of the working directory: sets watchdog.tool_timeout = 1800",
    )


def test_the_user_s_own_file_stays_in_force_beside_it(tmp_path: Path) -> None:
    own = tmp_path / "home/.config/otel-untether/otel-untether.toml"
    own.parent.mkdir(parents=True)
    own.write_text("[watchdog]\nstall_auto_kill = true\n[telemetry]\nkeep_runs = 3\n")
    loaded = load(tmp_path, "[watchdog]\nhook_timeout = 700\n")
    assert loaded.watchdog.stall_auto_kill is True
    assert (loaded.telemetry.keep_runs, loaded.watchdog.hook_timeout) == (3, 700)


def test_the_environment_wins_and_it_is_not_said_otherwise(tmp_path: Path) -> None:
    loaded = load(tmp_path, "[watchdog]\ntool_timeout = 700\n", OTEL_UNTETHER_TOOL_TIMEOUT="650")
    assert loaded.watchdog.tool_timeout == 650
    assert (
        "not taken: watchdog.tool_timeout (OTEL_UNTETHER_TOOL_TIMEOUT is set)"
        in (loaded.notices[0])
    )


@pytest.mark.parametrize("key", [key for key in KEYS if not key.is_threshold], ids=lambda k: k.path)
def test_nothing_but_thresholds_is_taken(tmp_path: Path, key: settings.Key) -> None:
    value = {"flag": "true", "kill": "true", "native": '"off"'}
    value |= {"causes": '["wedged"]', "path": '"/x"'}
    loaded = load(tmp_path, f"[{key.section}]\n{key.name} = {value.get(key.kind, '1')}\n")
    assert without_words(loaded)._replace(files=()) == Config()
    assert f"not taken: {key.path} (not for a working directory to set)" in loaded.notices[0]


@pytest.mark.parametrize("factor", [0.001, 0.24, 4.1, 1e12, -1.0, 0.0])
@pytest.mark.parametrize("key", [key for key in KEYS if key.is_threshold], ids=lambda k: k.path)
def test_a_threshold_beyond_its_bounds_is_not_taken(
    tmp_path: Path, key: settings.Key, factor: float
) -> None:
    loaded = load(tmp_path, f"[watchdog]\n{key.name} = {DEFAULTS[key.path] * factor}\n")
    assert loaded.watchdog == WatchdogConfig()
    assert f"not taken: {key.path} (expected" in loaded.notices[0]


@pytest.mark.parametrize("kill", ["true", "dry-run"])
def test_where_killing_is_on_nothing_is_made_less_patient(tmp_path: Path, kill: str) -> None:
    text = "[watchdog]\ntool_timeout = 599\nmcp_tool_timeout = 1000\n"
    loaded = load(tmp_path, text, OTEL_UNTETHER_STALL_AUTO_KILL=kill).watchdog
    assert (loaded.tool_timeout, loaded.mcp_tool_timeout) == (600, 1000)


@pytest.mark.parametrize(
    "content",
    [b"[watchdog\n", b"\xff", b"watchdog = 5", b"x = " + b"[" * 100_000, b"#" * (2 << 20), b""],
)
def test_whatever_it_holds_the_agent_starts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "otel-untether.toml").write_bytes(content)
    loaded = settings.load(None, {}, str(tmp_path), str(tmp_path / "home"))
    assert loaded.watchdog == WatchdogConfig()
    assert "otel-untether.toml" in loaded.notices[0]


def test_thresholds_that_contradict_each_other_are_told_and_not_taken(tmp_path: Path) -> None:
    loaded = load(tmp_path, "[watchdog]\nstall_timeout = 1000\n")
    assert loaded.watchdog == WatchdogConfig()
    assert loaded.notices[0].endswith("otel-untether.toml is not used")


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "dangling", "device"])
def test_what_is_no_regular_file_is_told_and_not_read(tmp_path: Path, kind: str) -> None:
    """A FIFO would keep the agent from starting."""
    file = tmp_path / "otel-untether.toml"
    match kind:
        case "fifo":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "link":
            (tmp_path / "other").write_text("[watchdog]\ntool_timeout = 1800\n")
            file.symlink_to("other")
        case "dangling":
            file.symlink_to("nowhere")
        case "device":
            file.symlink_to("/dev/zero")
    loaded = settings.load(None, {}, str(tmp_path), str(tmp_path / "home"))
    assert loaded.watchdog == WatchdogConfig()
    assert re.fullmatch(r".*otel-untether\.toml: cannot be read: .*; not used", loaded.notices[0])


def test_a_file_of_another_user_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "otel-untether.toml"
    file.write_text("[watchdog]\ntool_timeout = 1800\n")
    if os.geteuid() == 0:
        os.chown(file, 54_321, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    found = local.read(str(file), DEFAULTS, killing=False)
    assert found.values == {}
    assert "not a regular file of this user" in found.notice


def test_in_the_user_s_own_folder_it_is_the_user_s_own_file(tmp_path: Path) -> None:
    folder = tmp_path / "home/.config/otel-untether"
    folder.mkdir(parents=True)
    (folder / "otel-untether.toml").write_text("[telemetry]\nkeep_runs = 3\n")
    loaded = settings.load(None, {}, str(folder), str(tmp_path / "home"))
    assert (loaded.telemetry.keep_runs, loaded.notices) == (3, ())


def test_it_is_one_line_however_much_it_holds_and_steers_no_terminal(tmp_path: Path) -> None:
    names = [f'"\\u001b[2J\\u202e{number}{"x" * 500}" = 1' for number in range(1000)]
    (line,) = load(tmp_path, "[watchdog]\n" + "\n".join(names)).notices
    assert line.isprintable()
    assert len(line) < 1000 + len(str(tmp_path))
    assert line.endswith("and 994 more")


@given(st.dictionaries(st.text(max_size=5), st.floats() | st.booleans() | st.text(max_size=3)))
def test_any_table_leaves_every_threshold_within_its_bounds(table: dict[str, object]) -> None:
    for path, value in table.items():
        assert local._problem(f"watchdog.{path}", value, DEFAULTS, killing=False)


@given(st.sampled_from([key for key in KEYS if key.is_threshold]), st.floats())
def test_any_number_is_refused_or_within_its_bounds(key: settings.Key, value: float) -> None:
    default = DEFAULTS[key.path]
    if not local._problem(key.path, value, DEFAULTS, killing=False):
        assert default / 4 <= value <= default * 4
