"""Findings and summaries: in a file beside the queue, until a store is named for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.stack.backends import Stack, eventually
from scripts.stack.scaled import ScaledStack
from tests.stack.agents import Runner
from tests.support.otlp_receiver import http_receiver

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = "untether.session.summary"


def events(file: Path) -> set[str]:
    """Return the names of the events in a file of OTLP-JSON lines."""
    lines = file.read_text().split("\n")[:-1] if file.exists() else []  # the last may be half
    return {
        record.get("eventName", "")
        for line in lines
        for resource in json.loads(line)["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    }


def test_on_one_machine_they_are_in_the_collectors_file(stack: Stack, runner: Runner) -> None:
    assert runner.run().process.returncode == 0
    eventually("the summary is there", lambda: SUMMARY in events(stack.logs))


def test_past_one_machine_they_are_in_the_gateways_file(
    binaries: dict[str, str], tmp_path: Path
) -> None:
    with ScaledStack(binaries, tmp_path) as stack:
        (tmp_path / "state").mkdir()
        assert Runner(stack, tmp_path / "state").run().process.returncode == 0
        file = tmp_path / "gateway-0.jsonl"
        eventually("the summary is there", lambda: SUMMARY in events(file))


def test_a_store_that_is_named_has_them_and_no_file(
    binaries: dict[str, str], tmp_path: Path
) -> None:
    with (
        http_receiver() as store,
        ScaledStack(
            binaries, tmp_path, "scale/gateway-logs.yaml", LOGS_OTLP_ENDPOINT=store.url
        ) as stack,
    ):
        (tmp_path / "state").mkdir()
        assert Runner(stack, tmp_path / "state").run().process.returncode == 0
        eventually(
            "the store has the summary",
            lambda: SUMMARY in {record.event_name for record in store.logs()},
        )
        assert not (tmp_path / "gateway-0.jsonl").exists()
