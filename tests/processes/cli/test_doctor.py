"""`doctor` and `config`: what they find, and what they say to do about it."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from otel_untether.cli import checks, main
from otel_untether.config.settings import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "XDG_", "UNTETHER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


def test_a_good_configuration_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "otel-untether.toml").write_text("[watchdog]\nkill_grace = 3\n")
    check = checks.configuration("otel-untether.toml")
    assert (check.status, check.text.endswith("otel-untether.toml")) == ("ok", True)


def test_what_a_working_directory_sets_is_worth_a_note(tmp_path: Path) -> None:
    (tmp_path / "otel-untether.toml").write_text("[watchdog]\ntool_timeout = 700\n")
    check = checks.configuration()
    assert check.status == "warning"
    assert "sets watchdog.tool_timeout = 700" in check.text


def test_a_bad_configuration_is_a_problem_with_its_message(tmp_path: Path) -> None:
    (tmp_path / "otel-untether.toml").write_text("[watchdog]\nkill_grace = -3\n")
    check = checks.configuration("otel-untether.toml")
    assert check.status == "problem"
    assert "watchdog.kill_grace: expected a positive number" in check.text
    assert "--explain" in check.advice


def test_an_endpoint_that_listens_is_fine(listener: int) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listener}"}
    assert [check.status for check in checks.endpoints(environ)] == ["ok"]


def test_an_endpoint_that_refuses_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{port}/v1/traces"}
    (check,) = checks.endpoints(environ)
    assert check.status == "problem"
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in check.text
    assert "refused" in check.text


@pytest.mark.parametrize("url", ["http://", "http://host:port", "http://[::1"])
def test_an_endpoint_that_is_no_url_says_what_was_expected(url: str) -> None:
    (check,) = checks.endpoints({"OTEL_EXPORTER_OTLP_ENDPOINT": url})
    assert (check.status, check.advice) == ("problem", "expected http://host:4318")


def test_a_url_that_is_wrong_is_not_shown_with_its_password() -> None:
    (check,) = checks.endpoints({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:hunter2@:4318"})
    assert check.status == "problem"
    assert "hunter2" not in " ".join(check)


def test_a_protocol_that_nobody_knows_is_no_reason_to_fail(listener: int) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listener}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier/pigeon",
    }
    assert [check.status for check in checks.endpoints(environ)] == ["ok"]


def test_no_endpoint_is_fine_and_says_where_runs_go() -> None:
    (check,) = checks.endpoints({})
    assert (check.status, "report" in check.text) == ("ok", True)


def test_a_disabled_sdk_is_pointed_out() -> None:
    assert next(checks.endpoints({"OTEL_SDK_DISABLED": "true"})).status == "warning"


def test_the_state_folder_is_tried_for_real(tmp_path: Path) -> None:
    assert checks.state_folder({}, str(tmp_path / "new" / "folder")).status == "ok"
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_a_state_folder_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = checks.state_folder({}, str(tmp_path / "file" / "folder"))
    assert check.status == "problem"
    assert "OTEL_UNTETHER_STATE_DIR" in check.advice


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_machine_lets_us_see_a_process_and_its_own_connections() -> None:
    found = {check.name: check.status for check in checks.process_tree()}
    assert found == {"/proc": "ok", "sock_diag": "ok"}


def test_agents_are_found_on_path_and_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "claude", f"touch {tmp_path}/started")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [check.name for check in checks.agents()] == ["claude"]
    assert not (tmp_path / "started").exists()


def test_versions_are_asked_for_only_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "claude", "echo 9.8.7")
    executable(tmp_path / "codex", "exit 3")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {check.name: check for check in checks.agents(versions=True)}
    assert "9.8.7" in found["claude"].text
    assert found["codex"].status == "problem"
    assert "exited with 3" in found["codex"].text


def test_no_agent_at_all_is_worth_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [check.status for check in checks.agents()] == ["warning"]


def test_doctor_says_what_to_do_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "otel-untether.toml").write_text("[watchdog]\nkill_grase = 3\n")
    assert main(["doctor", "--config", "otel-untether.toml"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  configuration" in out
    assert 'did you mean "kill_grace"' in out
    assert "→ correct it" in out
    assert "\x1b" not in out


def test_doctor_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {"name", "status", "text", "advice"} == set(found[0])


def test_config_prints_every_setting_and_where_it_came_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_UNTETHER_KILL_GRACE", "2")
    assert main(["config"]) == 0
    out = capsys.readouterr().out
    assert all(key.name in out for key in KEYS)
    line = next(line for line in out.splitlines() if "kill_grace" in line)
    assert line.split() == ["kill_grace", "=", "2", "#", "OTEL_UNTETHER_KILL_GRACE"]


def test_what_config_prints_can_be_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["config", "--explain"])
    (tmp_path / "otel-untether.toml").write_text(capsys.readouterr().out)
    assert main(["config", "--json", "--config", "otel-untether.toml"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["watchdog"]["kill_causes"]["value"] == ["wedged"]
    assert document["watchdog"]["kill_causes"]["source"].endswith("otel-untether.toml")


def test_config_refuses_a_wrong_setting_with_exit_2(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_UNTETHER_KILL_GRACE", "soon")
    assert main(["config"]) == 2
    assert "OTEL_UNTETHER_KILL_GRACE: expected a positive" in capfd.readouterr().err
