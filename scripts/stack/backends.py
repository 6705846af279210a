"""The real collector, Jaeger, Prometheus and Alertmanager on loopback, configured as we ship them.

Only addresses and directories are overridden: through the variables the configuration files
name, and in Prometheus' file, which has none, by replacing the host names of the compose
network. Prometheus' flags are read from `docker-compose.yml` as the compose plugin sees it.
`Hurried` also shortens what alerts wait for, and has them told to a receiver.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from .spans import flatten

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "collector-config"
_GIVEN: set[int] = set()
PATIENCE = 300.0  # a busy machine takes its time; who waits for nothing loses nothing


def free_port() -> int:
    """Return a loopback port nobody listens on, of those that no client is given by the kernel."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        if port in _GIVEN:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _GIVEN.add(port)
            return port


def eventually(what: str, check: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Return the first true result of `check`; fail, saying `what`, when patience runs out."""
    deadline = time.monotonic() + patience
    last: object = None
    while time.monotonic() < deadline:
        try:
            if last := check():
                return last
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            last = error
        time.sleep(0.2)
    raise AssertionError(f"after {patience:.0f} s still not: {what} (last: {last!r})")


def text_at(url: str) -> str:
    """Return the text at `url`."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


def get(url: str, **parameters: str) -> Any:
    """Return the JSON at `url`."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    with urllib.request.urlopen(url + query, timeout=10) as response:
        return json.load(response)


@dataclass
class Backend:
    """One process: how to start it, and where it says that it is ready (http:// or tcp://)."""

    name: str
    command: list[str]
    ready: str
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    then: Callable[[], object] | None = None  # what to do once it answers

    def start(self) -> Self:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=os.environ | self.environment
            )
        eventually(f"{self.name} is ready", self._answers)
        if self.then is not None:
            self.then()
        return self

    def kill(self) -> None:
        """End it as a power cut would."""
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as its service manager would."""
        self.end(signal.SIGTERM)

    def end(self, how: signal.Signals) -> None:
        """End it by a signal, and wait."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended:\n{self.log.read_text()[-3000:]}")
        place = urllib.parse.urlsplit(self.ready)
        if place.scheme == "tcp":
            socket.create_connection((place.hostname, place.port), 2).close()
            return True
        with urllib.request.urlopen(self.ready, timeout=2) as response:
            return bool(response.status == 200)


class Stack:
    """All of them, wired as `docker-compose.yml` wires them."""

    def __init__(self, binaries: dict[str, str], directory: Path) -> None:
        self._binaries = binaries
        self._directory = directory
        self._exit = ExitStack()
        names = "grpc http health collector_metrics jaeger_otlp jaeger_health jaeger_http "
        names += "jaeger_grpc jaeger_metrics prometheus alertmanager node"
        self.ports = {name: free_port() for name in names.split()}
        self.logs = directory / "logs.jsonl"
        self.jaeger = self._jaeger()
        self.prometheus = self._prometheus()
        self.alertmanager = self._alertmanager()
        self.collector = self._collector()
        self.node = self._node()
        self.backends = [self.jaeger, self.prometheus, self.alertmanager, self.node, self.collector]

    def __enter__(self) -> Self:
        with ExitStack() as starting:  # one that does not start takes the others with it
            for backend in self.backends:
                starting.callback(backend.kill)  # nothing they hold is wanted any more
                backend.start()
            self._exit = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def endpoint(self, protocol: str = "http/protobuf") -> str:
        """Return what `OTEL_EXPORTER_OTLP_ENDPOINT` has to be."""
        return self._url("grpc" if protocol == "grpc" else "http")

    def _at(self, name: str) -> str:
        return f"127.0.0.1:{self.ports[name]}"

    def _url(self, name: str, path: str = "") -> str:
        return f"http://{self._at(name)}{path}"

    def _backend(
        self, name: str, command: list[str], ready: str, environment: dict[str, str]
    ) -> Backend:
        return Backend(name, command, ready, self._directory / f"{name}.log", environment)

    def _collector(self) -> Backend:
        return self._backend(
            "collector",
            [self._binaries["OTELCOL_BIN"], "--config", str(CONFIG / "otel-collector.yaml")],
            self._url("health"),
            {
                "OTELCOL_HEALTH_ENDPOINT": self._at("health"),
                "OTELCOL_QUEUE_DIRECTORY": str(self._directory / "queue"),
                "OTELCOL_GRPC_ENDPOINT": self._at("grpc"),
                "OTELCOL_HTTP_ENDPOINT": self._at("http"),
                "OTELCOL_LOGS_FILE": str(self.logs),
                "OTELCOL_METRICS_HOST": "127.0.0.1",
                "OTELCOL_METRICS_PORT": str(self.ports["collector_metrics"]),
                "JAEGER_OTLP_ENDPOINT": self._at("jaeger_otlp"),
                "PROMETHEUS_OTLP_ENDPOINT": self._url("prometheus", "/api/v1/otlp"),
                "PROMETHEUS_WRITE_ENDPOINT": self._url("prometheus", "/api/v1/write"),
            },
        )

    def _jaeger(self) -> Backend:
        command = [self._binaries["JAEGER_BIN"], "--config", str(CONFIG / "jaeger/config.yaml")]
        # The module has no web interface in it, only a placeholder; a build of jaeger-ui does.
        if assets := os.environ.get("JAEGER_UI_ASSETS"):
            command += ["--config", f"yaml:extensions::jaeger_query::ui::assets_path: {assets}"]
        return self._backend(
            "jaeger",
            command,
            self._url("jaeger_health", "/status"),
            {
                "JAEGER_HEALTH_ENDPOINT": self._at("jaeger_health"),
                "JAEGER_DATA_DIRECTORY": str(self._directory / "jaeger"),
                "JAEGER_UI_CONFIG": str(CONFIG / "jaeger/ui.json"),
                "JAEGER_QUERY_HTTP_ENDPOINT": self._at("jaeger_http"),
                "JAEGER_QUERY_GRPC_ENDPOINT": self._at("jaeger_grpc"),
                "JAEGER_OTLP_GRPC_ENDPOINT": self._at("jaeger_otlp"),
                "JAEGER_METRICS_HOST": "127.0.0.1",
                "JAEGER_METRICS_PORT": str(self.ports["jaeger_metrics"]),
                "PROMETHEUS_ENDPOINT": self._url("prometheus"),
            },
        )

    def _prometheus(self) -> Backend:
        config = shutil.copytree(CONFIG / "prometheus", self._directory / "prometheus-config")
        file = config / "prometheus.yaml"
        text = file.read_text()
        for host, name in {
            "otel-collector:8888": "collector_metrics",
            "jaeger:8888": "jaeger_metrics",
            "localhost:9090": "prometheus",
            "alertmanager:9093": "alertmanager",
            "node-exporter:9100": "node",
        }.items():
            text = text.replace(host, self._at(name))
        file.write_text(text)
        own = {
            "--config.file": str(file),
            "--storage.tsdb.path": str(self._directory / "prometheus"),
            "--web.listen-address": self._at("prometheus"),
        }
        command = [self._binaries["PROMETHEUS_BIN"], *self._flags("prometheus", own)]
        return self._backend("prometheus", command, self._url("prometheus", "/-/ready"), {})

    def _alertmanager(self) -> Backend:
        own = {
            "--config.file": str(self._alertmanager_config()),
            "--storage.path": str(self._directory / "alertmanager"),
            "--web.listen-address": self._at("alertmanager"),
        }
        command = [self._binaries["ALERTMANAGER_BIN"], *self._flags("alertmanager", own)]
        return self._backend("alertmanager", command, self._url("alertmanager", "/-/ready"), {})

    def _flags(self, service: str, own: dict[str, str]) -> list[str]:
        """Return the flags that the compose file gives a service, with `own` in their place."""
        shipped = compose_services(self._binaries["COMPOSE_BIN"])[service]["command"]
        flags = [flag for flag in shipped if flag.partition("=")[0] not in own]
        return flags + [f"{key}={value}" for key, value in own.items()]

    def _node(self) -> Backend:
        own = {"--web.listen-address": self._at("node")}
        command = [self._binaries["NODE_EXPORTER_BIN"], *self._flags("node-exporter", own)]
        return self._backend("node", command, self._url("node", "/"), {})

    def _alertmanager_config(self) -> Path:
        return CONFIG / "alertmanager/alertmanager.yaml"

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the spans of a trace as Jaeger's stable API gives them, resource included."""
        return flatten(get(self._url("jaeger_http", f"/api/v3/traces/{trace_id}")))

    def spans_of(self, service: str) -> list[dict[str, Any]]:
        """Return the spans of the traces `service` has in Jaeger; [] while there are none."""
        now = datetime.now(UTC)
        found = get(
            self._url("jaeger_http", "/api/v3/traces"),
            **{
                "query.service_name": service,
                "query.start_time_min": (now - timedelta(hours=1)).isoformat(),
                "query.start_time_max": (now + timedelta(minutes=1)).isoformat(),
            },
        )
        return flatten(found)

    def query(self, promql: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the result vector of an instant query."""
        parameters = {"query": promql} | ({} if at is None else {"time": str(at)})
        answer = get(self._url("prometheus", "/api/v1/query"), **parameters)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, promql: str) -> float:
        """Return the one number an instant query gives; NaN where it gives none."""
        result = self.query(promql)
        assert len(result) <= 1, f"{promql}: expected one series, got {result}"
        return float(result[0]["value"][1]) if result else float("nan")

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule Prometheus has loaded, with its health."""
        groups = get(self._url("prometheus", "/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire, but for the one that always does."""
        series = self.query('ALERTS{alertstate="firing", alertname!="UntetherDeadMansSwitch"}')
        return {one["metric"]["alertname"] for one in series}

    def alerts(self) -> list[dict[str, Any]]:
        """Return what Alertmanager has, with who inhibits whom."""
        found: list[dict[str, Any]] = get(self._url("alertmanager", "/api/v2/alerts"))
        return found


class Hurried(Stack):
    """A stack whose alerts come in seconds, and are told to `receiver`, a webhook's URL.

    How full the disk of the machine is that the tests run on is nobody's news.
    """

    def __init__(self, binaries: dict[str, str], directory: Path, receiver: str) -> None:
        self._receiver = receiver
        super().__init__(binaries, directory)
        self.backends.remove(self.prometheus)  # last, so that it misses nobody while they start
        self.backends.append(self.prometheus)

    def _prometheus(self) -> Backend:
        backend = super()._prometheus()
        config = self._directory / "prometheus-config"
        for file in (config / "prometheus.yaml", *(config / "rules").glob("*.yaml")):
            text = re.sub(r"((?:scrape|evaluation)_interval): \w+", r"\1: 3s", file.read_text())
            text = re.sub(r"( (?:keep_firing_)?for): \w+", r"\1: 12s", text)
            text = text.replace("[1h:1m]", "[1h:3s]").replace("offset 3m", "offset 30s")
            text = text.replace("> 0.85", "> 1")  # of the disk: UntetherDiskFilling
            file.write_text(text)
        backend.command += ["--query.lookback-delta=15s", "--rules.alert.resend-delay=3s"]
        backend.command.remove("--query.lookback-delta=2m")
        return backend

    def _alertmanager_config(self) -> Path:
        config = yaml.safe_load(super()._alertmanager_config().read_text())
        for route in (config["route"], *config["route"]["routes"]):
            route |= {"group_wait": "1s", "group_interval": "1s"}
        for receiver in config["receivers"]:
            receiver["webhook_configs"] = [{"url": f"{self._receiver}/{receiver['name']}"}]
        path = self._directory / "alertmanager.yaml"
        path.write_text(yaml.safe_dump(config))
        return path


class ImportingStack(Stack):
    """A stack whose collector also reads the local runs below a state directory."""

    def __init__(self, binaries: dict[str, str], directory: Path, state: Path) -> None:
        self._state = state
        super().__init__(binaries, directory)

    def _collector(self) -> Backend:
        backend = super()._collector()
        backend.command += ["--config", str(CONFIG / "import.yaml")]
        backend.environment["OTEL_UNTETHER_STATE_DIR"] = str(self._state)
        return backend


def compose_services(plugin: str) -> dict[str, Any]:
    """Return the services of `docker-compose.yml` as the real compose plugin reads it."""
    command = [plugin, "-f", str(ROOT / "docker-compose.yml"), "config", "--format", "json"]
    read = subprocess.run(command, capture_output=True, text=True, check=True)
    services: dict[str, Any] = json.loads(read.stdout)["services"]
    return services
