"""`doctor` and `config`: what they find, and what they say to do about it."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from otel_untether.cli import checks, collector_check, main
from otel_untether.cli.collector_check import endpoints
from otel_untether.config.settings import KEYS
from tests.support.otlp_receiver import grpc_receiver, http_receiver

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "XDG_", "UNTETHER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


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


def test_an_endpoint_that_takes_an_empty_export_is_fine() -> None:
    """One of each signal is really posted."""
    with http_receiver() as receiver:
        (check,) = endpoints({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})
        assert check.status == "ok"
        assert [signal for signal, _ in receiver.requests] == ["traces", "logs", "metrics"]
        assert not receiver.spans()
    assert "traces, logs, metrics" in check.text


def test_grpc_is_spoken_where_it_is_asked_for() -> None:
    with grpc_receiver() as receiver:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        }
        assert [check.status for check in endpoints(environ)] == ["ok"]


def test_a_port_for_the_other_protocol_is_told() -> None:
    """Each is a receiver: to start a collector is no advice, and what it says no text."""
    with grpc_receiver() as grpc, http_receiver() as http:
        over_http = {"OTEL_EXPORTER_OTLP_ENDPOINT": grpc.url}
        over_grpc = {"OTEL_EXPORTER_OTLP_ENDPOINT": http.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        found = [*endpoints(over_http), *endpoints(over_grpc)]
    assert ["speaks no HTTP/1" in check.text for check in found] == [True, False]
    assert ["speaks no gRPC" in check.text for check in found] == [False, True]
    assert all("4317" in check.advice and "4318" in check.advice for check in found)


def test_a_certificate_that_is_not_there_is_named() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:4318",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/such.pem",
    }
    (check,) = endpoints(environ)
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in check.text
    assert "/no/such.pem" in check.text
    assert check.advice == "correct it"


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "OTEL_EXPORTER_OTLP_HEADERS"), (404, "signals"), (503, "resend")]
)
def test_an_endpoint_that_refuses_what_is_posted_says_why(status: int, advice: str) -> None:
    """It accepts connections, and takes nothing."""
    with http_receiver(status) as receiver:
        found = list(endpoints({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}))
    assert {check.status for check in found} == {"problem"}
    assert str(status) in found[0].text
    assert advice in found[0].advice


def test_an_endpoint_that_refuses_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{port}/v1/traces"}
    (check,) = endpoints(environ)
    assert check.status == "problem"
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in check.text
    assert "refused" in check.text.lower()


@pytest.mark.parametrize("url", ["http://", "http://host:port", "http://[::1", "localhost:4318"])
def test_an_endpoint_that_is_no_url_says_what_was_expected(url: str) -> None:
    (check,) = endpoints({"OTEL_EXPORTER_OTLP_ENDPOINT": url})
    assert (check.status, check.advice) == ("problem", "expected http://host:4318")


def test_a_url_that_is_wrong_is_not_shown_with_its_password() -> None:
    (check,) = endpoints({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:hunter2@:4318"})
    assert check.status == "problem"
    assert "hunter2" not in " ".join(check)


def test_a_protocol_that_nobody_knows_is_a_problem() -> None:
    """Nothing is sent by it, so that it must not look well."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier/pigeon",
    }
    (check,) = endpoints(environ)
    assert check.status == "problem"
    assert "'carrier/pigeon' is not a protocol; expected grpc" in check.text


def test_a_signal_that_is_not_exported_is_not_tried() -> None:
    with http_receiver() as receiver:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_LOGS_EXPORTER": "none"}
        list(endpoints(environ))
        assert [signal for signal, _ in receiver.requests] == ["traces", "metrics"]


def test_a_file_of_opentelemetry_is_looked_at_before_its_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_check, "find_spec", lambda name: name)
    environ = {"OTEL_CONFIG_FILE": str(tmp_path / "none.yaml"), "OTEL_EXPORTER_OTLP_ENDPOINT": "x"}
    (check,) = endpoints(environ)
    assert (check.status, "cannot be read" in check.text) == ("problem", True)
    (tmp_path / "otel.yaml").write_text("file_format: '0.3'\n")
    (check,) = endpoints({"OTEL_CONFIG_FILE": str(tmp_path / "otel.yaml")})
    assert check.status == "ok"


def test_a_file_of_opentelemetry_needs_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_check, "find_spec", lambda _: None)
    (tmp_path / "otel.yaml").write_text("")
    (check,) = endpoints({"OTEL_CONFIG_FILE": str(tmp_path / "otel.yaml")})
    assert (check.status, check.advice) == ("problem", "pip install opentelemetry-configuration")


def test_no_endpoint_is_fine_and_says_where_runs_go() -> None:
    (check,) = endpoints({})
    assert (check.status, "report" in check.text) == ("ok", True)


def test_a_disabled_sdk_is_pointed_out() -> None:
    assert next(endpoints({"OTEL_SDK_DISABLED": "true"})).status == "warning"


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
    assert line.split() == ["kill_grace", "=", "2", "#", "s,", "OTEL_UNTETHER_KILL_GRACE"]


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


def test_config_explains_what_a_setting_is_and_what_sets_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its meaning, its range, its variable, its option; and still it is TOML."""
    main(["config", "--explain"])
    out = capsys.readouterr().out
    assert "# silence before the first warning: a positive number of seconds" in out
    assert "# OTEL_UNTETHER_STALL_TIMEOUT, `run --stall-timeout`" in out
    assert "OTEL_UNTETHER_STALL_AUTO_KILL, `run --kill, --dry-run`" in out


def test_config_says_that_content_is_captured_by_opentelemetrys_own_switch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not said here leaves the machine all the same."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    main(["config"])
    line = next(line for line in capsys.readouterr().out.splitlines() if "content =" in line)
    assert line.split()[:3] == ["content", "=", "true"]
    assert line.endswith("# OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")


def test_a_variable_that_is_no_settings_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_UNTETHER_XYZ", "1")
    assert main(["config"]) == 0
    assert "OTEL_UNTETHER_XYZ: no such setting" in capfd.readouterr().err
