"""Dumps of stalls, read back whatever state they are in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_untether.report import dumps
from tests.unit.report.report_sessions import at

NAME = f"stall-{at(40)}.json"
PROCESS = {
    "identity": {"pid": 4711, "start_time": 1000},
    "ppid": 4700,
    "name": "claude",
    "state": "S",
    "wchan": "ep_poll",
    "threads": 12,
    "fds": 31,
    "rss": 1 << 20,
    "cpu_user": 1.5,
    "cpu_system": 0.5,
}
DOCUMENT = {
    "last_events": [[at(3), "ToolStarted", "Bash"], [at(9), "ToolFinished", None]],
    "stderr_tail": ["warning: slow", ""],
    "tree": {
        "diag": {"at": 70.0, "host": {"load1": 1.5, "pressure_memory_full": 12.0}},
        "processes": [{"process": PROCESS, "command": ["claude", "secret"]}],
        "sockets": [
            {
                "state": "ESTABLISHED",
                "remote": "10.0.0.7:443",
                "receive_age": 298.0,
                "send_queue": 0,
            }
        ],
    },
}


def read(folder: Path, document: Any) -> tuple[tuple[dumps.Dump, ...], list[str]]:
    """Read a folder with one dump."""
    problems: list[str] = []
    (folder / NAME).write_text(json.dumps(document))
    return dumps.read(folder, problems), problems


def test_what_matters_of_a_dump_is_read(tmp_path: Path) -> None:
    """Processes with their ages, sockets, the last events, stderr, pressure."""
    (dump,), problems = read(tmp_path, DOCUMENT)
    assert not problems
    assert dump.at == at(40)
    process = dump.process(4711)
    assert process is not None
    assert (process.wchan, process.age, process.cpu) == ("ep_poll", 60.0, 2.0)
    assert dump.sockets[0].remote == "10.0.0.7:443"
    assert dump.sockets[0].receive_age == 298.0
    assert dump.events == (
        dumps.DumpedEvent(at(3), "ToolStarted", "Bash"),
        dumps.DumpedEvent(at(9), "ToolFinished", None),
    )
    assert dump.stderr == ("warning: slow",)
    assert ("pressure_memory_full", 12.0) in dump.pressure


def test_command_lines_are_not_read(tmp_path: Path) -> None:
    """What is made of a dump is shown to others."""
    (dump,), _ = read(tmp_path, DOCUMENT)
    assert "secret" not in repr(dump)


def test_a_torn_dump_is_told_and_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / f"stall-{at(20)}.json").write_text('{"tree": {')
    found, problems = read(tmp_path, DOCUMENT)
    assert len(found) == 1
    assert problems == [f"stall-{at(20)}.json: torn"]


def test_an_age_that_cannot_be_is_none(tmp_path: Path) -> None:
    """In a container the two clocks begin at different moments."""
    young = {**PROCESS, "identity": {"pid": 1, "start_time": 1e9}}
    (dump,), _ = read(tmp_path, {"tree": {"diag": {"at": 70.0, "processes": [young]}}})
    assert dump.processes[0].age is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {
        "last_events": JSON,
        "stderr_tail": JSON,
        "tree": st.fixed_dictionaries(
            {"diag": st.fixed_dictionaries({"at": JSON, "host": JSON, "processes": JSON})}
            | {"processes": st.lists(st.fixed_dictionaries({"process": JSON})), "sockets": JSON}
        ),
    }
)


@given(JSON | SHAPED)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_survived(tmp_path: Path, document: Any) -> None:
    """Files may be anybody's."""
    read(tmp_path, document)
