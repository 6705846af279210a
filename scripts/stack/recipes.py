"""How each backend is built with the ordinary clients: Go's from its proxy, Maven from Central.

Every recipe is pinned: the versions here, in `collector/manifest.yaml`, `jaeger/go.mod` and
the `pom.xml` files are the ones that build and run together. Releases of the same versions,
on PATH or named by a variable, do as well (see `obtain`).
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import jaeger

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
COLLECTOR_VERSION = "0.158.0"
PROMETHEUS_VERSION = "0.316.0"  # the module's number for Prometheus 3.16
COMPOSE_VERSION = "5.0.2"
ALERTMANAGER_VERSION = "0.33.1"
GITLEAKS_VERSION = "8.18.4"
NODE_EXPORTER_VERSION = "1.9.1"
KUSTOMIZE_VERSION = "5.8.1"


class BuildError(Exception):
    """A build failed; the message ends with what the Go client said last."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One build and what it leaves: variable name to file name, in the directory it is given."""

    title: str
    minutes: int  # cold, on two cores
    build: Callable[[Path], None]
    binaries: dict[str, str]
    commands: dict[str, tuple[str, ...]]  # the names a user's own copy goes by on PATH
    sources: tuple[str, ...] = ()
    tools: tuple[str, ...] = ("go",)  # what it is built with, and run with

    @property
    def digest(self) -> str:
        """Return a hash of everything the result depends on; it names the cache entry."""
        seen = hashlib.sha256(f"{self.title} {inspect.getsource(self.build)}".encode())
        for source in self.sources:
            seen.update((HERE / source).read_bytes())
        return seen.hexdigest()[:12]


def run(*command: str, cwd: Path, **environment: str) -> str:
    """Run one build step at low priority and return its output.

    Raises `BuildError` with the end of what it said.
    """
    result = subprocess.run(
        ("nice", "-n", "15", *command),
        cwd=cwd,
        env=os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        said = result.stdout[-2000:] + result.stderr[-2000:]
        raise BuildError(f"{' '.join(command)}:\n{said}")
    return result.stdout


def install(package: str, into: Path, *flags: str) -> None:
    """Have `go install` put `package` (with its version) into the directory `into`."""
    run("go", "install", "-trimpath", *flags, package, cwd=into, GOBIN=str(into))


def build_collector(into: Path) -> None:
    """Build the collector with the collector builder, from our manifest."""
    install(f"go.opentelemetry.io/collector/cmd/builder@v{COLLECTOR_VERSION}", into)
    run(str(into / "builder"), "--config", str(HERE / "collector/manifest.yaml"), cwd=into)
    (into / "otelcol" / "otelcol").rename(into / "otelcol.bin")


def build_jaeger(into: Path) -> None:
    """Build Jaeger from a copy of its module, with the few lines edited that it needs."""
    module = into / "module"
    shutil.copytree(HERE / "jaeger", module)
    run("go", "mod", "download", jaeger.MODULE, cwd=module)
    jaeger.copy_edited(jaeger.source_directory(module), into / "source")
    run("go", "mod", "edit", "-replace", f"{jaeger.MODULE}=../source", cwd=module)
    run("go", "build", "-trimpath", "-o", str(into / "jaeger"), jaeger.PACKAGE, cwd=module)


def build_prometheus(into: Path) -> None:
    """Build Prometheus and promtool, without the service discoveries of the clouds."""
    for command in ("prometheus", "promtool"):
        package = f"github.com/prometheus/prometheus/cmd/{command}@v{PROMETHEUS_VERSION}"
        install(package, into, "-tags", "remove_all_sd")


def build_compose(into: Path) -> None:
    """Build the compose plugin; it reads and checks a compose file without any engine."""
    install(f"github.com/docker/compose/v5/cmd@v{COMPOSE_VERSION}", into)
    (into / "cmd").rename(into / "docker-compose")


def build_alertmanager(into: Path) -> None:
    """Build Alertmanager and amtool; a page stands in for the web interface, not in the module."""
    module = f"github.com/prometheus/alertmanager@v{ALERTMANAGER_VERSION}"
    (into / "go.mod").write_text("module scratch\n")
    downloaded = run("go", "mod", "download", "-json", module, cwd=into)
    source = into / "source"
    shutil.copytree(json.loads(downloaded)["Dir"], source)
    for directory in (source, *(path for path in source.rglob("*") if path.is_dir())):
        directory.chmod(0o755)  # the module cache is read-only
    page = source / "ui/app/dist/index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("<!doctype html><title>Alertmanager without its interface</title>")
    for command in ("alertmanager", "amtool"):
        run("go", "build", "-trimpath", "-o", str(into / command), f"./cmd/{command}", cwd=source)


def build_node_exporter(into: Path) -> None:
    """Build the exporter of how full the disks are."""
    install(f"github.com/prometheus/node_exporter@v{NODE_EXPORTER_VERSION}", into)


def build_kustomize(into: Path) -> None:
    """Build kustomize, which says what `kubectl apply --kustomize` would apply."""
    install(f"sigs.k8s.io/kustomize/kustomize/v5@v{KUSTOMIZE_VERSION}", into)


def build_kafka(into: Path) -> None:
    """Fetch the jars of a Kafka broker and its tools."""
    jars("kafka", into)


def build_opensearch(into: Path) -> None:
    """Fetch the jars of an OpenSearch node, and compile the few lines that start it from them."""
    jars("opensearch", into)
    source = str(HERE / "opensearch/SingleNode.java")
    run("javac", "-cp", "lib/*", "-d", "lib/classes", source, cwd=into)


def jars(name: str, into: Path) -> None:
    """Have Maven put what `NAME/pom.xml` depends on into the directory ``lib``."""
    shutil.copy(HERE / name / "pom.xml", into)
    goal = ("dependency:copy-dependencies", "-DoutputDirectory=lib")
    run("mvn", "--batch-mode", "--no-transfer-progress", *goal, cwd=into)


def build_gitleaks(into: Path) -> None:
    """Build gitleaks, which judges what our redaction leaves."""
    install(f"github.com/zricethezav/gitleaks/v8@v{GITLEAKS_VERSION}", into)


RECIPES = (
    Recipe(
        f"compose {COMPOSE_VERSION}",
        1,
        build_compose,
        {"COMPOSE_BIN": "docker-compose"},
        {"COMPOSE_BIN": ("docker-compose",)},
    ),
    Recipe(
        f"alertmanager {ALERTMANAGER_VERSION}",
        2,
        build_alertmanager,
        {"ALERTMANAGER_BIN": "alertmanager", "AMTOOL_BIN": "amtool"},
        {"ALERTMANAGER_BIN": ("alertmanager",), "AMTOOL_BIN": ("amtool",)},
    ),
    Recipe(
        f"node_exporter {NODE_EXPORTER_VERSION}",
        1,
        build_node_exporter,
        {"NODE_EXPORTER_BIN": "node_exporter"},
        {"NODE_EXPORTER_BIN": ("node_exporter", "prometheus-node-exporter")},
    ),
    Recipe(
        f"kustomize {KUSTOMIZE_VERSION}",
        1,
        build_kustomize,
        {"KUSTOMIZE_BIN": "kustomize"},
        {"KUSTOMIZE_BIN": ("kustomize",)},
    ),
    Recipe(
        f"gitleaks {GITLEAKS_VERSION}",
        1,
        build_gitleaks,
        {"GITLEAKS_BIN": "gitleaks"},
        {"GITLEAKS_BIN": ("gitleaks",)},
    ),
    Recipe(
        "prometheus 3.16",
        3,
        build_prometheus,
        {"PROMETHEUS_BIN": "prometheus", "PROMTOOL_BIN": "promtool"},
        {"PROMETHEUS_BIN": ("prometheus",), "PROMTOOL_BIN": ("promtool",)},
    ),
    Recipe(
        f"collector {COLLECTOR_VERSION}",
        5,
        build_collector,
        {"OTELCOL_BIN": "otelcol.bin"},
        {"OTELCOL_BIN": ("otelcol-contrib",)},
        ("collector/manifest.yaml",),
    ),
    Recipe(
        "jaeger 2.13",
        5,
        build_jaeger,
        {"JAEGER_BIN": "jaeger"},
        {"JAEGER_BIN": ("jaeger",)},
        ("jaeger.py", "jaeger/go.mod", "jaeger/go.sum", "jaeger/tools.go"),
    ),
    Recipe(
        "kafka 4.4",
        1,
        build_kafka,
        {"KAFKA_LIB": "lib"},
        {"KAFKA_LIB": ()},
        ("kafka/pom.xml",),
        ("java", "mvn"),
    ),
    Recipe(
        "opensearch 2.19",
        1,
        build_opensearch,
        {"OPENSEARCH_LIB": "lib"},
        {"OPENSEARCH_LIB": ()},
        ("opensearch/pom.xml", "opensearch/SingleNode.java"),
        ("java", "javac", "mvn"),
    ),
)
