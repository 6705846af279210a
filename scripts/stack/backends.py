"""The real collector, Jaeger and Prometheus, on loopback, with the configuration we ship.

Only addresses and directories are overridden: through the variables the configuration files
name, and in Prometheus' file, which has none, by replacing the host names of the compose
network. Prometheus' flags are read from `docker-compose.yml` as the compose plugin sees it.
"""

from __future__ import annotations

import json
import os
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

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "collector-config"
PATIENCE = 300.0  # a busy machine takes its time; who waits for nothing loses nothing


def free_port() -> int:
    """Return a loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def get(url: str, **parameters: str) -> Any:
    """Return the JSON at `url`."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    with urllib.request.urlopen(url + query, timeout=10) as response:
        return json.load(response)


def flatten(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every span of an OTLP document, with `resource` and plain attributes.

    Jaeger's own warnings, which it writes as attributes, are under `warnings`.
    """
    return [
        span
        | {
            "attributes": (attributes := plain(span.get("attributes", []))),
            "warnings": attributes.pop("@jaeger@warnings", []),
            "resource": plain(part["resource"]["attributes"]),
        }
        for part in found["result"]["resourceSpans"]
        for scope in part["scopeSpans"]
        for span in scope["spans"]
    ]


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return OTLP's key-value pairs as a dict; 64-bit integers are strings there."""
    return {pair["key"]: value_of(pair["value"]) for pair in attributes}


def value_of(value: dict[str, Any]) -> Any:
    """Return what an OTLP AnyValue holds."""
    ((kind, held),) = value.items()
    if kind == "arrayValue":
        return [value_of(item) for item in held.get("values", [])]
    return int(held) if kind == "intValue" else held


@dataclass
class Backend:
    """One process: how to start it, and where it says that it is ready."""

    name: str
    command: list[str]
    ready: str
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=os.environ | self.environment
            )
        eventually(f"{self.name} is ready", self._answers)
        return self

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as its service manager would."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended:\n{self.log.read_text()[-3000:]}")
        with urllib.request.urlopen(self.ready, timeout=2) as response:
            return bool(response.status == 200)


class Stack:
    """The three of them, wired as `docker-compose.yml` wires them."""

    def __init__(self, binaries: dict[str, str], directory: Path) -> None:
        self._binaries = binaries
        self._directory = directory
        self._exit = ExitStack()
        names = "grpc http health collector_metrics jaeger_otlp jaeger_health jaeger_http "
        names += "jaeger_grpc jaeger_metrics prometheus gateway gateway_health gateway_metrics"
        self.ports = {name: free_port() for name in names.split()}
        self.logs = directory / "logs.jsonl"
        self.jaeger = self._jaeger()
        self.prometheus = self._prometheus()
        self.collector = self._collector()
        self.backends = [self.jaeger, self.prometheus, self.collector]

    def __enter__(self) -> Self:
        with ExitStack() as starting:  # one that does not start takes the others with it
            for backend in self.backends:
                starting.callback(backend.stop)
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
        }.items():
            text = text.replace(host, self._at(name))
        file.write_text(text.replace("alertmanager:9093", f"127.0.0.1:{free_port()}"))
        own = {
            "--config.file": str(file),
            "--storage.tsdb.path": str(self._directory / "prometheus"),
            "--web.listen-address": self._at("prometheus"),
        }
        shipped = compose_services(self._binaries["COMPOSE_BIN"])["prometheus"]["command"]
        flags = [flag for flag in shipped if flag.partition("=")[0] not in own]
        flags += [f"{key}={value}" for key, value in own.items()]
        command = [self._binaries["PROMETHEUS_BIN"], *flags]
        return self._backend("prometheus", command, self._url("prometheus", "/-/ready"), {})

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


class ScaledStack(Stack):
    """An agent collector, a gateway that samples, Jaeger and Prometheus: `scale/`."""

    def __init__(
        self, binaries: dict[str, str], directory: Path, keep_percent: int, decision_wait: str
    ) -> None:
        self._sampling = {
            "OTELCOL_KEEP_PERCENT": str(keep_percent),
            "OTELCOL_DECISION_WAIT": decision_wait,
        }
        super().__init__(binaries, directory)
        self.gateway = self._gateway()
        self.backends.insert(2, self.gateway)

    def _collector(self) -> Backend:
        return self._backend(
            "agent",
            [self._binaries["OTELCOL_BIN"], "--config", str(CONFIG / "scale/agent.yaml")],
            self._url("health"),
            {
                "OTELCOL_HEALTH_ENDPOINT": self._at("health"),
                "OTELCOL_QUEUE_DIRECTORY": str(self._directory / "agent-queue"),
                "OTELCOL_GRPC_ENDPOINT": self._at("grpc"),
                "OTELCOL_HTTP_ENDPOINT": self._at("http"),
                "OTELCOL_METRICS_HOST": "127.0.0.1",
                "OTELCOL_METRICS_PORT": str(self.ports["collector_metrics"]),
                "GATEWAY_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(self.ports["gateway"]),
                "GATEWAY_CA": str(self._directory / "tls.crt"),
            },
        )

    def _gateway(self) -> Backend:
        make_certificate(self._directory)
        return self._backend(
            "gateway",
            [self._binaries["OTELCOL_BIN"], "--config", str(CONFIG / "scale/gateway.yaml")],
            self._url("gateway_health"),
            self._sampling
            | {
                "OTELCOL_HEALTH_ENDPOINT": self._at("gateway_health"),
                "OTELCOL_QUEUE_DIRECTORY": str(self._directory / "gateway-queue"),
                "OTELCOL_GRPC_ENDPOINT": self._at("gateway"),
                "OTELCOL_METRICS_HOST": "127.0.0.1",
                "OTELCOL_METRICS_PORT": str(self.ports["gateway_metrics"]),
                "GATEWAY_CERT": str(self._directory / "tls.crt"),
                "GATEWAY_KEY": str(self._directory / "tls.key"),
                "JAEGER_OTLP_ENDPOINT": self._at("jaeger_otlp"),
                "JAEGER_INSECURE": "true",
                "METRICS_OTLP_ENDPOINT": self._url("prometheus", "/api/v1/otlp"),
            },
        )


def make_certificate(directory: Path) -> None:
    """Leave a certificate of loopback and its key in `directory`: ``tls.crt``, ``tls.key``."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(directory / "tls.key"), "-out", str(directory / "tls.crt")),
        ],
        check=True,
        capture_output=True,
    )


def compose_services(plugin: str) -> dict[str, Any]:
    """Return the services of `docker-compose.yml` as the real compose plugin reads it."""
    command = [plugin, "-f", str(ROOT / "docker-compose.yml"), "config", "--format", "json"]
    read = subprocess.run(command, capture_output=True, text=True, check=True)
    services: dict[str, Any] = json.loads(read.stdout)["services"]
    return services
