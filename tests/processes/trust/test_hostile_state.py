"""A state directory that somebody else can change, or has changed.

Each test is named after the harm.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.store import run_folder
from tests.processes.trust.commands import tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes.trust.commands import Victim

GIB = 1 << 30
ESCAPE = "\x1b]0;PWNED\x07\x1b[2J\u202e\x9b31m"
NEWER = "20991231T000000.000000Z-"


def recorded(**changes: Any) -> bytes:
    """Return a run.json."""
    facts = {"run_id": "bad0", "started": 10**18, "ended": 10**18 + 5, "outcome": "completed"}
    return json.dumps(facts | changes).encode()


def span(number: int, parent: int | None = None, **changes: Any) -> dict[str, Any]:
    """Return a span as a traces.jsonl has it."""
    found = {
        "traceId": f"{1:032x}",
        "spanId": f"{number:016x}",
        "name": "execute_tool x",
        "kind": 1,
        "startTimeUnixNano": str(10**18 + number),
        "endTimeUnixNano": str(10**18 + number + 5),
        "attributes": [],
        "status": {},
    }
    if parent is not None:
        found["parentSpanId"] = f"{parent:016x}"
    return found | changes


def export(*spans: dict[str, Any]) -> bytes:
    """Return a line of a traces.jsonl."""
    message = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": list(spans)}]}]}
    return json.dumps(message).encode() + b"\n"


def fifo(path: Path) -> None:
    """A reader would wait for a writer that never comes."""
    os.mkfifo(path)


def device(path: Path) -> None:
    """Without end."""
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    """Not a file."""
    path.mkdir()


def huge(path: Path) -> None:
    """10 GB, and not one newline."""
    with path.open("wb") as file:
        file.truncate(10 * GIB)


def nested(path: Path) -> None:
    """JSON as deep as no parser likes it."""
    path.write_bytes(b"[" * 200_000 + b"\n" + b'{"a":' * 200_000 + b"\n")


def text(content: bytes) -> Callable[[Path], None]:
    """Anything else."""

    def put(path: Path) -> None:
        path.write_bytes(content)

    return put


ABSURD = 2**70
RECORDS: dict[str, Callable[[Path], None]] = {
    "fifo": fifo,
    "device": device,
    "folder": folder,
    "huge": huge,
    "nested": nested,
    "year": text(recorded(started=10**23, ended=10**24)),
    "negative": text(recorded(started=-(10**18))),
    "ended": text(recorded(ended=9_000_000_000_000_000_000)),
    "escapes": text(recorded(run_id=ESCAPE, engine=ESCAPE, outcome=ESCAPE, model=ESCAPE)),
    "long": text(recorded(run_id="x" * 500_000, engine="y" * 400_000)),
    "cost": text(recorded(cost_usd=1e308)),
    "pid": text(recorded(watcher={"pid": ABSURD, "started": "1"}, ended=None)),
    "types": text(b'{"run_id": [], "started": {}}'),
}
LINES: dict[str, Callable[[Path], None]] = {
    "fifo": fifo,
    "device": device,
    "folder": folder,
    "huge": huge,
    "nested": nested,
    "absurd_times": text(
        export(span(1, startTimeUnixNano=str(ABSURD), endTimeUnixNano="-1"))
        + export(span(2, 1, startTimeUnixNano="9" * 5000, endTimeUnixNano="1e400"))
        + b'{"t": 1e400, "cpu": NaN, "rss": -1e308}\n'
        + b'{"t": %d, "cpu": 1e308, "rss": "x"}\n' % ABSURD
    ),
    "chain": text(export(*(span(number, number - 1) for number in range(1, 5_000)))),
    "circle": text(export(span(1, 2), span(2, 3), span(3, 1))),
    "wide": text(export(*(span(number, 1) for number in range(1, 20_000)))),
    "escapes": text(
        export(span(1, name=ESCAPE, attributes=[{"key": ESCAPE, "value": {"stringValue": ESCAPE}}]))
    ),
    "types": text(
        b"null\n7\n[]\n{}\n"
        b'{"resourceSpans": [7, {"scopeSpans": {"a": 1}}, {"scopeSpans": [{"spans": [[], 1]}]}]}\n'
        b'{"at": {}, "kind": [], "span": {"spanId": {}, "startTimeUnixNano": []}}\n'
        b'{"at": 5, "kind": "start", "scope": 1, "span": {"spanId": "a", "attributes": 1}}\n'
        b'{"at": 5, "kind": "end", "spanId": {}}\n'
        + export(span(1, attributes=[1, {"key": []}], events=[None, {"attributes": 7}], status=[]))
    ),
}
FILES = (run_folder.TRACES, run_folder.JOURNAL, run_folder.SAMPLES, run_folder.LOGS,
         run_folder.METRICS, run_folder.DELIVERED)  # fmt: skip


@pytest.fixture
def healthy(victim: Victim) -> str:
    """The id of a run that nothing is wrong with."""
    assert victim.run("true").returncode == 0
    victim.wait_until_kept()
    (path,) = victim.state.glob("runs/*")
    return path.name.rpartition("-")[2]


def spoiled(victim: Victim, number: int = 0) -> Path:
    """Make the folder of a newer run, for somebody to spoil."""
    path = victim.state / "runs" / f"{NEWER}bad{number}"
    path.mkdir(mode=0o700)
    return path


def is_unhurt(victim: Victim, *command: str, **environ: str) -> str:
    """A command ends soon, in words, with little memory; return what it said."""
    done = victim.start(*command, memory=4 * GIB, **environ)
    told = done.stdout + done.stderr
    assert "Traceback" not in told
    assert "MemoryError" not in told
    assert not set("\x1b\x9b\x07\u202e") & set(told)
    assert done.returncode in (0, 1, 2)
    return told


def nothing_is_hurt(victim: Victim, healthy: str) -> None:
    """Neither what reads all runs nor a new one."""
    assert healthy in is_unhurt(victim, "report", "--list")
    is_unhurt(victim, "resend", "--all", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert "fine\n" in is_unhurt(victim, "run", "--", "echo", "fine")


@pytest.mark.parametrize("kind", RECORDS)
def test_a_hostile_record_does_not_hurt_its_report(victim: Victim, kind: str) -> None:
    path = victim.state / "runs" / f"{NEWER}bad0"
    path.mkdir(parents=True, mode=0o700)
    RECORDS[kind](path / run_folder.RECORD)
    (path / run_folder.TRACES).write_bytes(export(span(1)))
    assert "execute_tool x" in is_unhurt(victim, "report", "--json", str(path))
    is_unhurt(victim, "report")


def test_hostile_records_hurt_no_other_run(victim: Victim, healthy: str) -> None:
    for number, make in enumerate(RECORDS.values()):
        path = spoiled(victim, number)
        make(path / run_folder.RECORD)
        (path / run_folder.TRACES).write_bytes(export(span(1)))
    nothing_is_hurt(victim, healthy)


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "died"])
def test_hostile_files_do_not_hurt_a_run_s_report(victim: Victim, kind: str, ended: object) -> None:
    """Of one that ended, and of one whose watcher died, so that it is recovered."""
    path = victim.state / "runs" / f"{NEWER}bad0"
    path.mkdir(parents=True, mode=0o700)
    spoil(path, kind, ended=bool(ended))
    is_unhurt(victim, "report")
    is_unhurt(victim, "report", "--json", str(path))


def test_hostile_files_hurt_no_other_run(victim: Victim, healthy: str) -> None:
    for number, kind in enumerate(LINES):
        spoil(spoiled(victim, number), kind, ended=number % 2 == 0)
    nothing_is_hurt(victim, healthy)


def spoil(path: Path, kind: str, *, ended: bool) -> None:
    """Make every file of a run one of that kind."""
    for name in FILES:
        LINES[kind](path / name)
    dead = {"pid": 1, "started": "1", "boot": "another"}
    record = recorded() if ended else recorded(ended=None, watcher=dead)
    (path / run_folder.RECORD).write_bytes(record)


@pytest.mark.parametrize("where", ["state", "state/runs", "."])
def test_a_directory_that_others_may_write_to_is_not_used(
    victim: Victim, tmp_path: Path, where: str
) -> None:
    """They could put links in place of our files."""
    shared = tmp_path / "shared"
    (shared / "state" / "runs").mkdir(parents=True)
    (shared / where).chmod(0o777)
    before = tree(shared)
    environ = {"OTEL_UNTETHER_STATE_DIR": str(shared / "state")}
    done = victim.run("echo", "fine", **environ)
    assert (done.returncode, done.stdout) == (0, "fine\n")
    assert "is writable for others (mode 0777)" in done.stderr
    assert tree(shared) == before


@pytest.mark.parametrize("command", [["report"], ["resend", "--all"], ["run", "--", "true"]])
def test_runs_in_a_directory_of_others_are_neither_recovered_nor_deleted(
    victim: Victim, command: list[str]
) -> None:
    """Whoever may write there could have us write, and delete, elsewhere."""
    assert victim.run("true").returncode == 0
    victim.wait_until_kept()
    (path,) = victim.state.glob("runs/*")
    dead = {"pid": 1, "started": "1", "boot": "another"}
    record = recorded(run_id=path.name.rpartition("-")[2], ended=None, watcher=dead, started=1)
    (path / run_folder.RECORD).write_bytes(record)
    victim.state.chmod(0o777)
    before = tree(victim.state)
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    done = victim.start(*command, memory=None, OTEL_UNTETHER_KEEP_DAYS="0.001", **environ)
    assert "Traceback" not in done.stderr
    assert tree(victim.state) == before


def test_the_users_umask_exposes_nothing(victim: Victim) -> None:
    before = os.umask(0)
    try:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
        assert victim.run("sleep", "0.2", **environ).returncode == 0
        assert victim.start("resend", memory=None, **environ).returncode == 1
    finally:
        os.umask(before)
    for path in (victim.state, *victim.state.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
