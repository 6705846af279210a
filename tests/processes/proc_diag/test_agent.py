"""The agent behind launchers, in real trees."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from otel_untether import proc_diag
from tests.support.processes import end_tree, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_untether.proc_diag.snapshot import TreeSnapshot

AGENT = f"exec {sys.executable} -c 'import time; time.sleep(600)'"


@contextmanager
def launched(argv: Sequence[str]) -> Iterator[proc_diag.Tree]:
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield proc_diag.Tree(process.pid)
    finally:
        end_tree(process)


def found(tree: proc_diag.Tree, name: str) -> TreeSnapshot:
    """Look until the agent of this name has been found."""
    diags: list[TreeSnapshot] = []

    def look() -> bool:
        diags.extend(proc_diag.sample([tree]))
        leader = diags[-1].leader
        return leader is not None and leader.name == name

    eventually(look)
    return diags[-1]


PYTHON = sys.executable.rpartition("/")[2][:15]


@pytest.mark.parametrize(
    ("argv", "launchers"),
    [
        (["sh", "-c", f"({AGENT}); true"], ["sh"]),
        (["timeout", "600", "sh", "-c", f"({AGENT}); true"], ["timeout", "sh"]),
        (["sh", "-c", f"({AGENT}) | cat"], ["sh"]),
        (["sh", "-c", f"sleep 600 & ({AGENT}); true"], ["sh"]),
    ],
    ids=["sh", "timeout", "pipeline", "background"],
)
def test_the_agent_is_found_behind_its_launchers(argv: list[str], launchers: list[str]) -> None:
    with launched(argv) as tree:
        diag = found(tree, PYTHON)
        assert [one.name for one in diag.launchers] == launchers
        assert diag.alive is True
        look = proc_diag.look_deeper(tree)
        assert diag.leader is not None
        assert look.agent == diag.leader.identity
        assert look.agent_process is not None
        assert look.launchers == tuple(one.identity for one in diag.launchers)


def test_launchers_are_no_children() -> None:
    with launched(["timeout", "600", "sh", "-c", f"({AGENT}); true"]) as tree:
        assert found(tree, PYTHON).children == ()


def test_a_shim_starts_the_agent_with_all_it_has() -> None:
    """As npm's does, and `subprocess.run` without redirections."""
    shim = "import subprocess; subprocess.run(['sleep', '600'])"
    with launched([sys.executable, "-c", shim]) as tree:
        assert [one.name for one in found(tree, "sleep").launchers] == [PYTHON]


def test_cpu_of_the_agent_is_measured_from_when_it_was_found() -> None:
    """What the launcher used before is not the agent's."""
    burn = "exec python3 -c 'while True: pass'"
    with launched(["sh", "-c", f"({burn}); true"]) as tree:
        diag = found(tree, "python3")
        assert diag.leader_cpu_rate is None or diag.leader_cpu_rate < 2
        (later,) = proc_diag.sample([tree])
        assert later.leader_cpu_rate is not None
