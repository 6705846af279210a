"""Three freezes that were reported from production: cause and next step at first sight.

Each is acted out by a scripted agent under the real `run`. Whoever looks, while it lasts or
after, finds within the first ten lines what it is and what to do.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import eventually

AGENT = Path(__file__).with_name("frozen_agent.py")
OTEL_UNTETHER = [sys.executable, "-m", "otel_untether"]
QUICK = {
    "STALL_TIMEOUT": "1.5",
    "SUBAGENT_TIMEOUT": "2",
    "TOOL_TIMEOUT": "2",
    "SAMPLE_INTERVAL": "0.2",
}
FIRST = 10


@pytest.fixture
def silent_model() -> Iterator[int]:
    """The port of a server that accepts what comes, reads it and says nothing."""
    held = []

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                held.append(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in held:
        connection.close()


class Machine:
    """A machine with runs of its own."""

    def __init__(self, path: Path, port: int) -> None:
        self.path, self.port = path, port
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        settings = {f"OTEL_UNTETHER_{key}": value for key, value in QUICK.items()}
        self.environ = (
            kept
            | settings
            | {
                "OTEL_UNTETHER_STATE_DIR": str(path),
                "PYTHONIOENCODING": "utf-8",
                "COLUMNS": "110",
            }
        )

    @contextlib.contextmanager
    def frozen(self, way: str, session_id: str) -> Iterator[Path]:
        """Run the agent until it has been warned of; the folder of its run."""
        before = set(self.path.glob("runs/*"))
        (self.path / f"{session_id}.frozen").unlink(missing_ok=True)
        command = [sys.executable, str(AGENT), way, str(self.port), session_id]
        with subprocess.Popen(
            [*OTEL_UNTETHER, "run", "--engine", "claude", "--", *command],
            env=self.environ,
            cwd=Path(__file__).parents[3],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as run:
            try:
                eventually(lambda: self._warned(before, session_id), timeout=90)
                (folder,) = set(self.path.glob("runs/*")) - before
                yield folder
            finally:
                run.send_signal(signal.SIGTERM)
                run.wait(60)

    def _warned(self, before: set[Path], session_id: str) -> bool:
        """Whether it was warned of after the agent had frozen; a slow machine's pauses are not."""
        marks = list(self.path.glob(f"{session_id}.frozen"))
        return any(
            int(at) > mark.stat().st_mtime_ns and at in traces.read_text()
            for mark in marks
            for folder in set(self.path.glob("runs/*")) - before
            for traces in folder.glob("traces.jsonl")
            for at in (dump.stem.partition("-")[2] for dump in folder.glob("stall-*.json"))
        )

    def report(self, *arguments: str) -> str:
        """What the command prints."""
        done = subprocess.run(
            [*OTEL_UNTETHER, "report", *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def first_lines(self, form: str, folder: Path) -> str:
        """The first ten lines that somebody reads, in one of three forms, as one text."""
        if form == "html":
            page = folder.parent / "report.html"
            self.report(str(folder), "--html", str(page))
            lines = visible(page.read_text(encoding="utf-8"))
        else:
            lines = self.report(str(folder), *(["--markdown"] if form == "markdown" else []))
        return " ".join(" ".join(lines.splitlines()[:FIRST]).split()).replace("\\", "")


def visible(page: str) -> str:
    """A page's text, a line for each block, without what is not shown."""
    page = re.sub(r"(?s)<(style|script|title)\b.*?</\1>", "", page)
    page = re.sub(
        r"</?(?:p|h\d|li|ul|ol|dl|div|section|tr|header|main|body|html|head)\b[^>]*>", "\n", page
    )
    text = re.sub(r"<[^>]+>", "", page)
    return "\n".join(line for line in text.splitlines() if line.strip())


@pytest.fixture
def machine(tmp_path: Path, silent_model: int) -> Machine:
    return Machine(tmp_path, silent_model)


def looks(machine: Machine, way: str, session_id: str | None = None) -> Iterator[tuple[str, str]]:
    """How a freeze looks in each form, while it lasts and after."""
    forms = ("terminal", "html", "markdown")
    with machine.frozen(way, session_id or str(uuid.uuid4())) as folder:
        for form in forms:
            yield f"{form}, running", machine.first_lines(form, folder)
    for form in forms:
        yield f"{form}, over", machine.first_lines(form, folder)


def test_two_subagents_then_no_connection_and_a_busy_core(machine: Machine) -> None:
    for when, said in looks(machine, "subagents"):
        assert "spinning" in said, when
        assert re.search(r"\d+ % CPU", said), when
        assert re.search(r"restart it; top -H -p \S+ names the thread", said), when
        assert "agent Explore" in said, when
        assert "agent Plan" in said, when
        assert re.search(r"it had one connection until .*, none since", said), when
        assert ("stalled (spinning), still running" in said) == ("running" in when)


def test_who_follows_sees_how_it_ends(machine: Machine) -> None:
    """Where stdout is no terminal, that is all that is printed."""
    with machine.frozen("bash", str(uuid.uuid4())) as folder:
        following = subprocess.Popen(
            [*OTEL_UNTETHER, "report", str(folder), "--follow"],
            env=machine.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
    said, _ = following.communicate(timeout=60)
    assert said.startswith("claude 0.0.0-scripted-demo  terminated (SIGTERM) while stalled")
    assert following.returncode == 0


def test_a_command_ended_then_one_silent_connection(machine: Machine) -> None:
    for when, said in looks(machine, "bash"):
        assert "model_silent" in said, when
        assert "waiting for the model on 127.0.0.1:" in said, when
        assert "wait for the CLI's own timeout" in said, when
        assert "ESTABLISHED, last byte received" in said, when
        assert "last event Bash finished" in said, when


def test_a_resumed_session_that_freezes_again(machine: Machine) -> None:
    session_id = str(uuid.uuid4())
    with machine.frozen("resumed", session_id) as before:
        run_id = before.name.partition("-")[2]
    for when, said in looks(machine, "resumed", session_id):
        assert "it resumes a session that froze before" in said, when
        assert run_id in said, when
        assert "begin a new session instead of resuming this one again" in said, when
        assert "waiting for the model" in said, when
