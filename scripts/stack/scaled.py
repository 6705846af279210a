"""Agent collector, gateways, Kafka, Jaeger on OpenSearch: `collector-config/scale` on loopback."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .backends import CONFIG, PATIENCE, Backend, Stack, free_port
from .java import java

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# The one place where topics are made as `kafka-producer.yaml` tells the operator to.
TOPICS = ("otlp_spans", "otlp_metrics", "otlp_logs")
_KAFKA = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={directory}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


class ScaledStack(Stack):
    """A collector as the sessions' agent, gateways, Jaeger and Prometheus.

    `overlays` are laid over `gateway.yaml`, `settings` are further variables of the gateways'.
    """

    def __init__(
        self,
        binaries: dict[str, str],
        directory: Path,
        *overlays: str,
        gateways: int = 1,
        **settings: str,
    ) -> None:
        self._overlays = overlays
        self._settings = settings
        make_certificate(directory)
        super().__init__(binaries, directory)
        self.ports |= {f"gateway_metrics_{n}": free_port() for n in range(gateways)}
        self.ports.setdefault("gateway", free_port())
        self.gateways = [self._gateway(n) for n in range(gateways)]
        self.agent = self.collector
        self.backends[-1:] = [*self.gateways, self.agent]

    def _agent_configs(self) -> tuple[str, ...]:
        return ("scale/agent.yaml",)

    def _agent_settings(self) -> dict[str, str]:
        return {
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.ports.setdefault("gateway", free_port())),
            "GATEWAY_CA": str(self._directory / "tls.crt"),
        }

    def _collector(self) -> Backend:
        return self._otelcol(
            "agent",
            self._agent_configs(),
            self._url("health"),
            self._agent_settings()
            | {
                "OTELCOL_HEALTH_ENDPOINT": self._at("health"),
                "OTELCOL_GRPC_ENDPOINT": self._at("grpc"),
                "OTELCOL_HTTP_ENDPOINT": self._at("http"),
                "OTELCOL_METRICS_PORT": str(self.ports["collector_metrics"]),
            },
        )

    def _gateway(self, number: int) -> Backend:
        health = free_port()
        port = self.ports["gateway"] if number == 0 else free_port()
        return self._otelcol(
            f"gateway-{number}",
            ("scale/gateway.yaml", *self._overlays),
            f"http://127.0.0.1:{health}",
            self._settings
            | {
                "OTELCOL_HEALTH_ENDPOINT": f"127.0.0.1:{health}",
                "OTELCOL_GRPC_ENDPOINT": f"127.0.0.1:{port}",
                "OTELCOL_METRICS_PORT": str(self.ports[f"gateway_metrics_{number}"]),
                "OTELCOL_INSTANCE_ID": f"gateway-{number}",
                "OTELCOL_LOGS_FILE": str(self._directory / f"gateway-{number}.jsonl"),
                "GATEWAY_CERT": str(self._directory / "tls.crt"),
                "GATEWAY_KEY": str(self._directory / "tls.key"),
                "JAEGER_OTLP_ENDPOINT": self._at("jaeger_otlp"),
                "JAEGER_INSECURE": "true",
                "METRICS_OTLP_ENDPOINT": self._url("prometheus", "/api/v1/otlp"),
                "METRICS_WRITE_ENDPOINT": self._url("prometheus", "/api/v1/write"),
            },
        )

    def _otelcol(
        self, name: str, configs: tuple[str, ...], ready: str, settings: dict[str, str]
    ) -> Backend:
        command = [self._binaries["OTELCOL_BIN"]]
        command += [f"--config={CONFIG / config}" for config in configs]
        queue = {"OTELCOL_QUEUE_DIRECTORY": str(self._directory / f"{name}-queue")}
        host = {"OTELCOL_METRICS_HOST": "127.0.0.1"}
        return self._backend(name, command, ready, queue | host | settings)


class FleetStack(ScaledStack):
    """All of `scale/`: Kafka between agent and gateways, Jaeger on OpenSearch."""

    def __init__(self, binaries: dict[str, str], directory: Path, gateways: int = 2) -> None:
        self._broker, self._opensearch_port = free_port(), free_port()
        (directory / "password").write_text("none\n")
        super().__init__(
            binaries,
            directory,
            "scale/kafka-consumer.yaml",
            gateways=gateways,
            **self._kafka_settings(),
        )
        self.kafka = self._kafka()
        self.opensearch = self._opensearch()
        self.backends[:0] = [self.kafka, self.opensearch]
        self.kafka.then = self.make_topics

    def _kafka_settings(self) -> dict[str, str]:
        return {"KAFKA_BROKERS": f"127.0.0.1:{self._broker}", "KAFKA_INSECURE": "true"}

    def _agent_configs(self) -> tuple[str, ...]:
        return ("scale/agent.yaml", "scale/kafka-producer.yaml")

    def _agent_settings(self) -> dict[str, str]:
        return self._kafka_settings()

    def _kafka(self) -> Backend:
        """Return a broker whose storage is formatted."""
        properties = self._directory / "kafka.properties"
        properties.write_text(
            _KAFKA.format(
                broker=self._broker, controller=free_port(), directory=self._directory / "kafka"
            )
        )
        arguments = ("--cluster-id", "MkU3OEVBNTcwNTJENDM2Qk", "--config", str(properties))
        self._run_kafka("kafka.tools.StorageTool", "format", *arguments, "--standalone")
        return self._backend(
            "kafka",
            java(self._binaries["KAFKA_LIB"], "kafka.Kafka", str(properties), memory="512m"),
            f"tcp://127.0.0.1:{self._broker}",
            {},
        )

    def produce(self, topic: str, lines: Sequence[str]) -> None:
        """Put lines of text into a topic, as its own command does."""
        main = "org.apache.kafka.tools.ConsoleProducer"
        place = ("--bootstrap-server", f"127.0.0.1:{self._broker}")
        self._run_kafka(main, *place, "--topic", topic, told="\n".join(lines))

    def rewind(self, since: float) -> None:
        """Have the gateways read again what came since a time; they have to be stopped.

        :param since: seconds since the epoch.
        """
        moment = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        self._run_kafka(
            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            *("--bootstrap-server", f"127.0.0.1:{self._broker}", "--group", "otel-gateway"),
            *("--topic", "otlp_spans", "--reset-offsets", "--to-datetime", moment, "--execute"),
        )

    def _run_kafka(self, main: str, *arguments: str, told: str = "") -> str:
        command = java(self._binaries["KAFKA_LIB"], main, *arguments, memory="256m")
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE, input=told
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def make_topics(self, partitions: int = 4) -> None:
        """Make the topics, as the producer's file says, on a single broker."""
        for topic in TOPICS:
            self._run_kafka(
                "org.apache.kafka.tools.TopicCommand",
                *("--bootstrap-server", f"127.0.0.1:{self._broker}"),
                *("--create", "--if-not-exists", "--topic", topic),
                *("--partitions", str(partitions), "--replication-factor", "1"),
                *("--config", "max.message.bytes=67108864"),
            )

    def _opensearch(self) -> Backend:
        home = self._directory / "opensearch"
        (home / "config").mkdir(parents=True)
        return self._backend(
            "opensearch",
            java(
                self._binaries["OPENSEARCH_LIB"],
                "SingleNode",
                *(str(home), str(self._opensearch_port)),
                memory="1g",
                flags=("-Dopensearch.set.netty.runtime.available.processors=false",),
            ),
            f"{self.opensearch_url}/_cluster/health?wait_for_status=yellow",
            {},
        )

    def flood(self, *, full: bool) -> None:
        """Block writing as OpenSearch does where its disk is nearly full, or end that."""
        body = json.dumps({"index.blocks.read_only_allow_delete": full or None}).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{self.opensearch_url}/jaeger-*/_settings"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT")):
            pass

    @property
    def opensearch_url(self) -> str:
        """Where OpenSearch answers."""
        return f"http://127.0.0.1:{self._opensearch_port}"

    def _jaeger(self) -> Backend:
        backend = super()._jaeger()
        backend.command = [
            self._binaries["JAEGER_BIN"],
            f"--config={CONFIG / 'scale/jaeger-opensearch.yaml'}",
        ]
        backend.environment |= {
            "OPENSEARCH_URL": self.opensearch_url,
            "OPENSEARCH_PASSWORD_FILE": str(self._directory / "password"),
            "OPENSEARCH_CA_FILE": str(self._directory / "tls.crt"),
        }
        return backend


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
