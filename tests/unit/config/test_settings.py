"""Settings: where they come from, what wins, and how bad ones are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.config import files
from otel_untether.config import settings as config
from otel_untether.config.settings import (
    KEYS,
    CaptureConfig,
    Config,
    ConfigError,
    Key,
    TelemetryConfig,
)
from otel_untether.config.settings import WatchdogConfig as Watchdog

if TYPE_CHECKING:
    from pathlib import Path


OWN = "home/.config/otel-untether/otel-untether.toml"
HERE = "cwd/otel-untether.toml"


def load(tmp_path: Path, path: str | None = None, **environ: str) -> Config:
    home, cwd = tmp_path / "home", tmp_path / "cwd"
    home.mkdir(exist_ok=True)
    cwd.mkdir(exist_ok=True)
    return config.load(path, environ, str(cwd), str(home))


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_defaults_need_no_file(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded == Config()
    assert {loaded.source(key) for key in KEYS} == {"default"}


def test_every_key_is_described_once_and_only_real_ones_are() -> None:
    sections: dict[str, Any] = {
        "watchdog": Watchdog,
        "telemetry": TelemetryConfig,
        "capture": CaptureConfig,
    }
    described = [key.path for key in KEYS]
    fields = [f"{name}.{field}" for name, table in sections.items() for field in table._fields]
    assert sorted(described) == sorted(fields)
    assert len({key.variable for key in KEYS}) == len(KEYS)


def test_every_default_is_acceptable() -> None:
    for key in KEYS:
        value = Config().value(key)
        assert key.check(value, "default") == value


def test_untether_s_table_is_a_base_and_its_other_keys_are_its_own(tmp_path: Path) -> None:
    file = write(
        tmp_path / "home/.untether/untether.toml",
        "[watchdog]\nliveness_timeout = 900\nreap_orphans = true\n[progress]\nx = 1\n",
    )
    loaded = load(tmp_path)
    assert loaded.watchdog.liveness_timeout == 900.0
    assert loaded.sources == {"watchdog.liveness_timeout": file}


def test_untether_s_own_variable_moves_the_base(tmp_path: Path) -> None:
    file = write(tmp_path / "u.toml", "[watchdog]\ntool_timeout = 1200\n")
    assert load(tmp_path, UNTETHER_CONFIG_PATH=file).watchdog.tool_timeout == 1200.0


def test_later_places_win(tmp_path: Path) -> None:
    write(tmp_path / "home/.untether/untether.toml", "[watchdog]\ntool_timeout=1\nkill_grace=1\n")
    write(tmp_path / OWN, "[watchdog]\nkill_grace=2\nhook_timeout=2\n")
    loaded = load(tmp_path, OTEL_UNTETHER_HOOK_TIMEOUT="3").watchdog
    assert (loaded.tool_timeout, loaded.kill_grace, loaded.hook_timeout) == (1, 2, 3)


def test_a_file_that_was_asked_for_is_the_only_one_of_ours_that_is_read(tmp_path: Path) -> None:
    write(tmp_path / OWN, "[watchdog]\nkill_grace=1\n")
    write(tmp_path / HERE, "[watchdog]\nhook_timeout=700\n")
    asked = write(tmp_path / "asked.toml", "[watchdog]\ntool_timeout=7\n")
    loaded = load(tmp_path, asked)
    assert (loaded.files, loaded.notices) == ((asked,), ())
    assert loaded.watchdog.kill_grace == Watchdog().kill_grace
    assert loaded.watchdog.hook_timeout == Watchdog().hook_timeout


def test_a_named_file_beats_the_variable_and_is_relative_to_the_working_directory(
    tmp_path: Path,
) -> None:
    write(tmp_path / "cwd/mine.toml", "[capture]\ncontent = true\n")
    loaded = load(tmp_path, "mine.toml", OTEL_UNTETHER_CONFIG="/nowhere/else.toml")
    assert loaded.capture.content is True


def test_a_relative_xdg_config_home_is_not_honoured(tmp_path: Path) -> None:
    """The specification has it ignored; it would be the working directory again."""
    write(tmp_path / "cwd/x/otel-untether/otel-untether.toml", "[telemetry]\nkeep_runs = 3\n")
    assert load(tmp_path, XDG_CONFIG_HOME="x") == Config()


def test_where_nobody_knows_a_home_a_folder_of_that_name_is_not_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` in a cloned repository would be trusted as the user's own settings."""
    write(tmp_path / "~/.config/otel-untether/otel-untether.toml", "[telemetry]\nkeep_runs = 3\n")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    assert config.load(environ={}).telemetry.keep_runs == Config().telemetry.keep_runs
    assert not files.anything_set({})


@pytest.mark.parametrize(
    "text", ["runbooks.md", "javascript:alert(1)", "https://a b", "https://", "https://a#b"]
)
def test_a_link_is_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"OTEL_UNTETHER_RUNBOOKS.*a URL that begins with"):
        load(tmp_path, OTEL_UNTETHER_RUNBOOKS=text)
    address = "https://runbooks.example/runbooks.md"
    assert load(tmp_path, OTEL_UNTETHER_RUNBOOKS=address).watchdog.runbooks == address


def test_a_path_may_begin_with_a_tilde(tmp_path: Path) -> None:
    write(tmp_path / OWN, '[telemetry]\nstate_dir = "~/runs"\n')
    found = load(tmp_path).telemetry.state_dir
    assert found is not None
    assert found.endswith("/runs")
    assert found.startswith("/")


def test_a_path_below_a_home_that_nobody_knows_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / OWN, '[telemetry]\nstate_dir = "~/runs"\n')
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(ConfigError, match="nobody knows the home in '~/runs'"):
        load(tmp_path)


@pytest.mark.parametrize("content", ["a = " + "[" * 100_000, "#" * (2 << 20)])
def test_a_monstrous_file_is_refused_in_words(tmp_path: Path, content: str) -> None:
    file = write(tmp_path / OWN, content)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(file)


def test_names_from_a_file_cannot_steer_the_terminal(tmp_path: Path) -> None:
    write(tmp_path / OWN, '["\\u001b]0;PWNED\\u0007\\u202e"]\nx = 1\n')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value).isprintable()


def test_xdg_config_home_is_honoured(tmp_path: Path) -> None:
    write(tmp_path / "x/otel-untether/otel-untether.toml", "[telemetry]\nkeep_runs = 3\n")
    assert load(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "x")).telemetry.keep_runs == 3


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_file_that_was_asked_for_must_be_readable(tmp_path: Path, how: str) -> None:
    missing = str(tmp_path / "missing.toml")
    path, environ = (
        (missing, {}) if how == "argument" else (None, {"OTEL_UNTETHER_CONFIG": missing})
    )
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read: No such file"):
        load(tmp_path, path, **environ)


def test_a_directory_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, str(tmp_path))


@pytest.mark.parametrize("content", [b"[watchdog\n", b"\xff\xfe\x00", b"watchdog = [[["])
def test_malformed_toml_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.toml: not valid TOML"):
        load(tmp_path, str(tmp_path / "bad.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[watchdog]\ntool_timout = 5", 'unknown key watchdog.tool_timout; did you mean "tool_ti'),
        ("stall_timeout = 300", r"stall_timeout belongs in the table \[watchdog\]"),
        ("[telemetry]\nstall_timeout = 5", r"stall_timeout belongs in the table \[watchdog\]"),
        ("[watchdog]\nzzz = 5", "unknown key watchdog.zzz"),
        ("[watchdgo]\nx = 5", r"unknown table \[watchdgo\]; did you mean \"watchdog\""),
        ("watchdog = 5", r"watchdog: expected a table, \[watchdog\]"),
        ("[watchdog]\ntool_timeout = 0", "watchdog.tool_timeout: expected a positive number of s"),
        ("[watchdog]\ntool_timeout = -1.5", "expected a positive number of seconds, got -1.5"),
        ("[watchdog]\ntool_timeout = nan", "expected a positive number of seconds, got nan"),
        ("[watchdog]\ntool_timeout = inf", "expected a positive number of seconds, got inf"),
        ("[watchdog]\ntool_timeout = true", "expected a positive number of seconds, got True"),
        ('[watchdog]\ntool_timeout = "5 min"', "expected a positive number of seconds, got '5 min"),
        ("[watchdog]\nkill_confirmations = 2.5", "expected a whole number of at least 1, got 2.5"),
        ("[watchdog]\nkill_confirmations = 0", "expected a whole number of at least 1, got 0"),
        ("[watchdog]\ncpu_idle_bound = 1", "expected a number of cores above 0 and below 0.5"),
        ("[capture]\nmax_length = 32769", "expected a whole number from 1 to 32768, got 32769"),
        ("[capture]\nmax_length = 0", "expected a whole number from 1 to 32768, got 0"),
        ('[watchdog]\nstall_auto_kill = "yes"', "expected true, false or \"dry-run\", got 'yes'"),
        ("[watchdog]\nstall_auto_kill = 1", 'expected true, false or "dry-run", got 1'),
        ('[watchdog]\nkill_causes = ["awaiting_approval"]', "expected a list of causes, each one"),
        ('[watchdog]\nkill_causes = "wedged"', "expected a list of causes"),
        ('[capture]\ncontent = "no"', "capture.content: expected true or false, got 'no'"),
        ('[telemetry]\nstate_dir = ""', "telemetry.state_dir: expected an absolute path"),
        ('[telemetry]\nstate_dir = "var"', "expected an absolute path, or one that begins with ~"),
    ],
)
def test_a_bad_value_names_file_key_and_expectation(
    tmp_path: Path, text: str, message: str
) -> None:
    file = write(tmp_path / OWN, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("liveness_timeout=10\nstall_timeout=20", r"liveness_timeout \(.*toml\) is 10 s, expected"),
        ("sample_interval=301", r"sample_interval \(.*\) is 301 s, expected at most .*default"),
        ("stall_auto_kill=true\nkill_causes=[]", "kill_causes .* is empty though"),
    ],
)
def test_contradictions_name_both_sides(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / OWN, f"[watchdog]\n{text}")
    with pytest.raises(ConfigError, match=message):
        load(tmp_path)


def test_one_key_can_be_shortened_alone(tmp_path: Path) -> None:
    """Untouched defaults follow, and say so."""
    loaded = load(tmp_path, OTEL_UNTETHER_LIVENESS_TIMEOUT="2")
    assert loaded.watchdog.stall_timeout == 2
    assert loaded.watchdog.sample_interval == 0.5
    assert loaded.sources["watchdog.stall_timeout"] == "default, lowered to liveness_timeout"


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("OTEL_UNTETHER_STALL_AUTO_KILL", "dry-run", "dry-run"),
        ("OTEL_UNTETHER_STALL_AUTO_KILL", "TRUE", True),
        ("OTEL_UNTETHER_STALL_AUTO_KILL", "off", False),
        ("OTEL_UNTETHER_KILL_CAUSES", "wedged, spinning", ("wedged", "spinning")),
        ("OTEL_UNTETHER_KILL_CONFIRMATIONS", " 5 ", 5),
        ("OTEL_UNTETHER_TOOL_TIMEOUT", "0.25", 0.25),
        ("OTEL_UNTETHER_CAPTURE_CONTENT", "1", True),
        ("OTEL_UNTETHER_STATE_DIR", "/x", "/x"),
    ],
)
def test_the_environment_is_read(tmp_path: Path, variable: str, text: str, value: Any) -> None:
    loaded = load(tmp_path, **{variable: text})
    key = next(key for key in KEYS if key.variable == variable)
    assert loaded.value(key) == value
    assert loaded.source(key) == variable


def test_an_empty_variable_is_unset(tmp_path: Path) -> None:
    assert load(tmp_path, OTEL_UNTETHER_TOOL_TIMEOUT="") == Config()


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1e999"])
def test_a_bad_variable_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="OTEL_UNTETHER_TOOL_TIMEOUT: expected a positive"):
        load(tmp_path, OTEL_UNTETHER_TOOL_TIMEOUT=text)


def test_an_unknown_variable_is_told(tmp_path: Path) -> None:
    (line,) = load(tmp_path, OTEL_UNTETHER_RUN="x").notices
    assert line == "OTEL_UNTETHER_RUN: no such setting; `otel-untether config` lists them"


def test_what_kubernetes_sets_for_a_service_called_like_us_is_not_told(tmp_path: Path) -> None:
    links = {"PORT": "tcp://10.0.0.1:4318", "SERVICE_HOST": "10.0.0.1", "PORT_4318_TCP_PORT": "4"}
    loaded = load(tmp_path, **{f"OTEL_UNTETHER_{name}": value for name, value in links.items()})
    assert loaded == Config()


def test_a_misspelt_variable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='did you mean "STALL_TIMEOUT"'):
        load(tmp_path, OTEL_UNTETHER_STAL_TIMEOUT="5")


def test_values_given_in_code_are_checked_too() -> None:
    Watchdog(stall_timeout=0.5, sample_interval=0.1).check()
    with pytest.raises(ConfigError, match=r"WatchdogConfig\.kill_grace: expected a positive"):
        Watchdog(kill_grace=0).check()
    with pytest.raises(ConfigError, match=r"sample_interval .* is 5 s, expected at most"):
        Watchdog(stall_timeout=1).check()


def test_all_durations_shrink_together_and_nothing_else_does() -> None:
    small, full = Watchdog().scaled(0.01), Watchdog()
    assert small.mcp_tool_timeout == pytest.approx(9.0)
    assert small.sample_interval == pytest.approx(0.05)
    assert (small.cpu_idle_bound, small.kill_confirmations) == (
        full.cpu_idle_bound,
        full.kill_confirmations,
    )


@given(st.sampled_from(KEYS), st.text(max_size=20))
def test_any_text_in_a_variable_is_either_a_good_value_or_an_error_naming_it(
    key: Key, text: str
) -> None:
    try:
        value = key.parse(text, key.variable)
    except ConfigError as error:
        message = str(error)
    else:
        assert key.check(value, "again") == value
        return
    assert message.startswith(f"{key.variable}: expected ")


def test_loading_without_a_file_imports_nothing_heavy() -> None:
    """It runs before the agent is spawned."""
    code = (
        "import sys; from otel_untether.config import settings; settings.load(None, {}, '/', '/');"
        "print(sorted({'dataclasses','tomllib','pathlib','difflib','inspect'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert out.stdout.strip() == "[]"


def test_what_is_typed_wins_over_every_other_place() -> None:
    """And is named as the place it came from."""
    options = {"watchdog.stall_timeout": ("--stall-timeout", "42")}
    loaded = config.load(None, {"OTEL_UNTETHER_STALL_TIMEOUT": "9"}, options=options)
    assert loaded.watchdog.stall_timeout == 42
    assert loaded.sources["watchdog.stall_timeout"] == "--stall-timeout"


def test_the_check_that_may_kill_follows_a_longer_warning_that_is_typed() -> None:
    """`run --stall-timeout 900` needs no second option."""
    options = {"watchdog.stall_timeout": ("--stall-timeout", "900")}
    loaded = config.load(None, {}, options=options)
    assert loaded.watchdog.liveness_timeout == 900
    assert "raised to stall_timeout" in loaded.sources["watchdog.liveness_timeout"]


@pytest.mark.parametrize("value", ["join", "off", "pass"])
def test_what_becomes_of_the_agents_own_telemetry_is_one_of_three_words(value: str) -> None:
    settings = config.load(environ={"OTEL_UNTETHER_NATIVE": value}, home="/nowhere", cwd="/")
    assert settings.telemetry.native == value


@pytest.mark.parametrize("value", ["on", "true", "1", "Join", "nan"])
def test_another_word_is_refused_with_those_there_are(value: str) -> None:
    with pytest.raises(ConfigError, match='OTEL_UNTETHER_NATIVE: expected "join", "off" or "pass"'):
        config.load(environ={"OTEL_UNTETHER_NATIVE": value}, home="/nowhere", cwd="/")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"OTEL_UNTETHER_STATE_DIR": "/kept"}, False),
        ({"OTEL_UNTETHER_STATE_DIR": "kept"}, True),
        ({"OTEL_UNTETHER_STATE_DIR": ""}, True),
        ({"OTEL_UNTETHER_STATE_DIR": "/kept", "OTEL_UNTETHER_KEEP_RUNS": "no"}, True),
    ],
)
def test_where_runs_are_kept_is_no_reason_to_read_settings_before_the_agent_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, expected: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.anything_set({"HOME": str(tmp_path), **variables}) == expected
