"""What a session leaves behind, told and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether import semconv
from otel_untether.kill.left_behind import described, end_left_behind
from otel_untether.proc_diag import Identity, ProcessSnapshot, Tree, identify
from tests.support.processes import end_tree, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@pytest.fixture
def agent() -> Iterator[subprocess.Popen[bytes]]:
    """A shell with a server in a session of its own, which ends when it is given a line."""
    script = "setsid sleep 600 >/dev/null & echo $!; read x"
    process = subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    yield process
    end_tree(process)


def server_of(agent: subprocess.Popen[bytes]) -> Identity:
    assert agent.stdout is not None
    pid = int(agent.stdout.readline())
    # Its shell has said so before it becomes the server itself.
    eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
    server = identify(pid)
    assert server is not None
    return server


def leave(agent: subprocess.Popen[bytes], tree: Tree) -> None:
    """Let the agent end; nobody has waited for it yet."""
    tree.walk(tree.backend.begin())
    assert agent.stdin is not None
    agent.stdin.write(b"\n")
    agent.stdin.flush()
    eventually(lambda: _ended(agent.pid))


class Records(list[tuple[str, "Mapping[str, Any]"]]):
    def __call__(self, event: str, facts: Mapping[str, Any]) -> None:
        self.append((event, facts))


def test_what_outlives_the_agent_is_ended_once_it_is_recorded(
    agent: subprocess.Popen[bytes],
) -> None:
    server, tree, records = server_of(agent), Tree(agent.pid), Records()
    leave(agent, tree)
    try:
        report = end_left_behind(tree, grace=5, record=records)
        assert report.refused is None
        assert report.terminated == (server,)
        assert report.survivors == ()
        eventually(lambda: identify(server.pid) != server or _ended(server.pid))
        event, facts = records[0]
        assert event == semconv.EVENT_KILL_DECIDED
        assert facts == {semconv.LEFT_BEHIND: (f"{server.pid} sleep",)}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGKILL)


def _ended(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return ") Z " in file.read()


def test_nothing_left_is_nothing_done(agent: subprocess.Popen[bytes]) -> None:
    server, tree, records = server_of(agent), Tree(agent.pid), Records()
    leave(agent, tree)
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: tree.left_behind() == ())
    assert end_left_behind(tree, grace=5, record=records).terminated == ()
    assert records == []


def test_a_living_agent_is_not_what_a_session_left_behind(
    agent: subprocess.Popen[bytes],
) -> None:
    server, tree, records = server_of(agent), Tree(agent.pid), Records()
    report = end_left_behind(tree, grace=5, record=records)
    assert report.refused == "the agent has not ended"
    assert records == []
    assert identify(server.pid) == server


def test_one_whose_name_is_unknown_is_described_all_the_same() -> None:
    assert described([ProcessSnapshot(Identity(7, 1.0))]) == ("7 ?",)
