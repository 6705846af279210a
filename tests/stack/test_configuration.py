"""The files we ship, judged by the programs that will read them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.stack import recipes
from scripts.stack.backends import CONFIG, ROOT, compose_services

# Files that are given to one collector together, later ones over earlier ones.
COLLECTOR_CONFIGS = [
    ("otel-collector.yaml",),
    ("otel-collector.yaml", "import.yaml"),
    ("scale/agent.yaml",),
    ("scale/agent.yaml", "scale/agent-kubernetes.yaml"),
    ("scale/agent.yaml", "scale/kafka-producer.yaml"),
    ("scale/gateway.yaml",),
    ("scale/gateway.yaml", "scale/plaintext.yaml"),
    ("scale/gateway.yaml", "scale/gateway-sampling.yaml"),
    ("scale/gateway.yaml", "scale/gateway-logs.yaml"),
    ("scale/gateway.yaml", "scale/kafka-consumer.yaml"),
    ("scale/gateway.yaml", "scale/gateway-sampling.yaml", "scale/kafka-consumer.yaml"),
]
JAEGER_CONFIGS = ["jaeger/config.yaml", "scale/jaeger-opensearch.yaml"]
RULES = sorted((CONFIG / "prometheus/rules").glob("*.yaml"))
RULE_TESTS = sorted((CONFIG / "prometheus/tests").glob("*.yaml"))
MANIFESTS = sorted((CONFIG / "scale/kubernetes").glob("*.yaml"))


def check(*command: str) -> None:
    """Run a checker; its words are the failure's."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def alerts() -> list[str]:
    groups = load(CONFIG / "prometheus/rules/alerts.yaml")["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("names", COLLECTOR_CONFIGS, ids="+".join)
def test_the_collector_accepts_its_configuration(
    binaries: dict[str, str], names: tuple[str, ...]
) -> None:
    check(binaries["OTELCOL_BIN"], "validate", *(f"--config={CONFIG / name}" for name in names))


@pytest.mark.parametrize("name", JAEGER_CONFIGS)
def test_jaeger_accepts_its_configuration(binaries: dict[str, str], name: str) -> None:
    check(binaries["JAEGER_BIN"], "validate", "--config", str(CONFIG / name))


def test_a_misspelt_key_is_not_accepted(binaries: dict[str, str], tmp_path: Path) -> None:
    """The validators these tests rely on do look."""
    broken = tmp_path / "broken.yaml"
    text = (CONFIG / "otel-collector.yaml").read_text()
    broken.write_text(text.replace("limit_percentage", "limit_percent"))
    command = [binaries["OTELCOL_BIN"], "validate", "--config", str(broken)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_promtool_accepts_configuration_and_rules(binaries: dict[str, str]) -> None:
    promtool = binaries["PROMTOOL_BIN"]
    check(promtool, "check", "config", str(CONFIG / "prometheus/prometheus.yaml"))
    check(promtool, "check", "config", "--syntax-only", str(CONFIG / "scale/prometheus.yaml"))
    check(promtool, "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES))


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem) for p in RULE_TESTS])
def test_alerts_fire_when_they_should(binaries: dict[str, str], path: Path) -> None:
    check(binaries["PROMTOOL_BIN"], "test", "rules", str(path))


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_is_tested_firing_and_silent_and_has_a_runbook(alert: str) -> None:
    cases = [
        case
        for path in RULE_TESTS
        for test in load(path)["tests"]
        for case in test.get("alert_rule_test", ())
        if case["alertname"] == alert
    ]
    always = alert == "UntetherDeadMansSwitch"
    assert {bool(case.get("exp_alerts")) for case in cases} == ({True} if always else {True, False})
    assert f"\n## {alert}\n" in (ROOT / "docs/runbooks.md").read_text()


def test_amtool_accepts_alertmanagers_configuration(binaries: dict[str, str]) -> None:
    check(binaries["AMTOOL_BIN"], "check-config", str(CONFIG / "alertmanager/alertmanager.yaml"))


def test_every_alert_links_to_its_runbook_and_to_what_there_is_to_see() -> None:
    """Where these are is said once, as labels of Prometheus that its alerts do not carry."""
    groups = load(CONFIG / "prometheus/rules/alerts.yaml")["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        told = rule["annotations"]
        slug = rule["alert"].lower()
        assert told["runbook_url"] == "{{ $externalLabels.runbooks }}#" + slug
        assert told["dashboard_url"].startswith("{{ $externalLabels.grafana }}/d/untether-")
    for name in ("prometheus/prometheus.yaml", "scale/prometheus.yaml"):
        config = load(CONFIG / name)
        named = {"runbooks", "grafana", "jaeger"}
        assert named <= config["global"]["external_labels"].keys()
        (relabel,) = config["alerting"]["alert_relabel_configs"]
        assert set(relabel["regex"].split("|")) == named


def test_alerts_that_inhibit_or_are_inhibited_exist() -> None:
    rules = load(CONFIG / "alertmanager/alertmanager.yaml")["inhibit_rules"]
    matchers = [m for rule in rules for m in rule["source_matchers"] + rule["target_matchers"]]
    named = {name for m in matchers for name in m.split('"')[1].split("|")}
    assert named <= set(alerts())


def test_compose_publishes_on_loopback_only_and_bounds_memory(binaries: dict[str, str]) -> None:
    services = compose_services(binaries["COMPOSE_BIN"])
    assert set(services) == {
        "otel-collector",
        "jaeger",
        "prometheus",
        "alertmanager",
        "grafana",
    } | {"node-exporter"}
    for name, service in services.items():
        assert {port["host_ip"] for port in service["ports"]} == {"127.0.0.1"}, name
        assert int(service["mem_limit"]) > 0, name
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name
        assert not any("PASSWORD" in variable for variable in service.get("environment", ()))


def test_compose_mounts_files_that_are_there(binaries: dict[str, str]) -> None:
    for service in compose_services(binaries["COMPOSE_BIN"]).values():
        for volume in service["volumes"]:
            assert volume["type"] == "volume" or Path(volume["source"]).exists(), volume


def test_compose_runs_the_versions_that_are_tested(binaries: dict[str, str]) -> None:
    services = compose_services(binaries["COMPOSE_BIN"])
    assert services["otel-collector"]["image"].endswith(f":{recipes.COLLECTOR_VERSION}")
    minor = recipes.PROMETHEUS_VERSION.removeprefix("0.3")
    assert services["prometheus"]["image"].endswith(f":v3.{minor}")
    assert services["alertmanager"]["image"].endswith(f":v{recipes.ALERTMANAGER_VERSION}")
    assert services["node-exporter"]["image"].endswith(f":v{recipes.NODE_EXPORTER_VERSION}")


@pytest.mark.parametrize("path", [pytest.param(p, id=p.name) for p in MANIFESTS])
def test_kubernetes_manifests_fit_their_schemas(path: Path) -> None:
    check(str(Path(sys.executable).with_name("kubernetes-validate")), "--strict", str(path))


def test_the_same_limits_stand_in_every_collector() -> None:
    names = ("otel-collector.yaml", "scale/agent.yaml", "scale/gateway.yaml")
    for limits in ("transform/first_cut", "transform/limits"):
        one, two, three = (load(CONFIG / name)["processors"][limits] for name in names)
        assert one == two == three


def test_kubernetes_runs_the_configuration_that_is_validated() -> None:
    """The ConfigMaps are made of the files above, and containers are told to read those."""
    kustomization = load(CONFIG / "scale/kustomization.yaml")
    carried = {n for config in kustomization["configMapGenerator"] for n in config["files"]}
    validated = {Path(name).name for names in COLLECTOR_CONFIGS for name in names}
    assert carried <= validated
    read = re.findall(
        r"--config=/etc/otelcol/([\w.-]+)", "".join(path.read_text() for path in MANIFESTS)
    )
    assert set(read) == carried


def test_kustomize_builds_what_the_sidecar_needs(binaries: dict[str, str]) -> None:
    """It is applied by itself: what it mounts has to be there under that name, in its namespace."""
    command = [binaries["KUSTOMIZE_BIN"], "build", str(CONFIG / "scale")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    documents = list(yaml.safe_load_all(built.stdout))
    there = {(d["kind"], d["metadata"]["name"], d["metadata"].get("namespace")) for d in documents}
    job = load(CONFIG / "scale/kubernetes/sidecar.yaml")
    assert ("ConfigMap", "otel-agent", job["metadata"]["namespace"]) in there
    (carried,) = (d for d in documents if d["metadata"]["name"] == "otel-agent" and "data" in d)
    assert yaml.safe_load(carried["data"]["agent.yaml"]) == load(CONFIG / "scale/agent.yaml")


def test_dashboards_are_what_their_source_makes() -> None:
    check(sys.executable, "-m", "scripts.dashboards", "--check")


def test_kubernetes_pods_are_as_restricted_as_can_be() -> None:
    """What the Pod Security Standard "restricted" asks for, which the namespace enforces."""
    namespace = load(CONFIG / "scale/kubernetes/namespace.yaml")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pods = [
        document["spec"]["template"]["spec"]
        for path in MANIFESTS
        for document in yaml.safe_load_all(path.read_text())
        if "template" in document.get("spec", {})
    ]
    assert len(pods) == 3
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in pod["volumes"])
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_sidecar_may_speak_to_the_gateway() -> None:
    job = load(CONFIG / "scale/kubernetes/sidecar.yaml")
    labels = job["spec"]["template"]["metadata"]["labels"]
    policies = [
        document
        for document in yaml.safe_load_all((CONFIG / "scale/kubernetes/gateway.yaml").read_text())
        if document["kind"] == "NetworkPolicy"
    ]
    selectors = [
        peer["podSelector"]["matchLabels"].items()
        for policy in policies
        for rule in policy["spec"]["ingress"]
        for peer in rule.get("from", ())
    ]
    assert any(selector <= labels.items() for selector in selectors)
    maps = {
        volume["configMap"]["name"]
        for volume in job["spec"]["template"]["spec"]["volumes"]
        if "configMap" in volume
    }
    kustomization = load(CONFIG / "scale/kustomization.yaml")
    assert maps <= {made["name"] for made in kustomization["configMapGenerator"]}
    assert kustomization["generatorOptions"]["disableNameSuffixHash"] is True


def in_bytes(text: str) -> int:
    units = {"Mi": 1 << 20, "Gi": 1 << 30}
    return int(text[:-2]) * units[text[-2:]]


def test_a_sidecar_waits_before_it_stops_and_its_queues_have_room() -> None:
    """Told to stop it keeps what it has, and its volume goes with the pod."""
    pod = load(CONFIG / "scale/kubernetes/sidecar.yaml")["spec"]["template"]["spec"]
    (collector,) = pod["initContainers"]
    assert collector["restartPolicy"] == "Always"
    waits = collector["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert 0 < waits < pod["terminationGracePeriodSeconds"]
    (queue,) = (e["value"] for e in collector["env"] if e["name"] == "OTELCOL_QUEUE_BYTES")
    (volume,) = (v["emptyDir"] for v in pod["volumes"] if v["name"] == "queue")
    assert 3 * int(queue) < in_bytes(volume["sizeLimit"])


def test_nobody_can_stop_prometheus_over_the_network(binaries: dict[str, str]) -> None:
    command = compose_services(binaries["COMPOSE_BIN"])["prometheus"]["command"]
    assert not [word for word in command if "lifecycle" in word or "admin" in word]
