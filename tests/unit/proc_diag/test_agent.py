"""Which member is the agent: by whose output is whose, as a table of trees."""

from __future__ import annotations

import pytest

from otel_untether.proc_diag.agent import Member, find_agent
from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot

IN, OUT, ERR = "pipe:[1]", "pipe:[2]", "pipe:[3]"
ALL = (IN, OUT, ERR)
TTY = ("/dev/pts/3",) * 3


def member(
    pid: int,
    ppid: int,
    name: str,
    stdio: tuple[str | None, str | None, str | None] = ALL,
    *,
    sid: int = 1,
    started: float | None = None,
    state: str = "S",
) -> Member:
    identity = Identity(pid, 100.0 + pid if started is None else started)
    return Member(
        ProcessSnapshot(identity, ppid, pid, sid, name, state),  # type: ignore[arg-type]
        stdio,
    )


def agent_of(*members: Member) -> tuple[str | None, list[str | None]]:
    agent = find_agent(members[0], members)
    return agent.process.name, [launcher.name for launcher in agent.launchers]


TOOL = ("/dev/null", "pipe:[8]", "pipe:[9]")
TREES = {
    "the spawned process itself": (
        (member(1, 0, "claude"), member(2, 1, "bash", TOOL, sid=2)),
        ("claude", []),
    ),
    "behind npm's shim": ((member(1, 0, "node"), member(2, 1, "codex")), ("codex", ["node"])),
    "relaunched by node": ((member(1, 0, "node"), member(2, 1, "node")), ("node", ["node"])),
    "relaunched by node on a busy machine": (
        (member(1, 0, "MainThread", started=100), member(2, 1, "MainThread", started=3_000)),
        ("MainThread", ["MainThread"]),
    ),
    "another program, long after": (
        (member(1, 0, "agent", started=100), member(2, 1, "other", started=3_000)),
        ("agent", []),
    ),
    "behind timeout and a shell": (
        (member(1, 0, "timeout"), member(2, 1, "sh"), member(3, 2, "claude")),
        ("claude", ["timeout", "sh"]),
    ),
    "behind npx, whose title is a sentence": (
        (member(1, 0, "npm exec @openai"), member(2, 1, "sh"), member(3, 2, "node")),
        ("node", ["npm exec @openai", "sh"]),
    ),
    "fed by a file": (
        (member(1, 0, "sh"), member(2, 1, "claude", ("/tmp/prompt", OUT, ERR))),
        ("claude", ["sh"]),
    ),
    "in a pipeline": (
        (
            member(1, 0, "sh"),
            member(2, 1, "claude", (IN, "pipe:[5]", ERR)),
            member(3, 1, "tee", ("pipe:[5]", "pipe:[6]", ERR)),
            member(4, 1, "jq", ("pipe:[6]", OUT, ERR)),
        ),
        ("claude", ["sh"]),
    ),
    "beside what a shell runs in the background": (
        (
            member(1, 0, "sh"),
            member(2, 1, "server", ("/dev/null", OUT, ERR)),
            member(3, 1, "claude"),
        ),
        ("claude", ["sh"]),
    ),
    "a worker that it forked is not the agent": (
        (member(1, 0, "python"), member(2, 1, "python")),
        ("python", []),
    ),
    "nor is a tool that was started late": (
        (member(1, 0, "claude"), member(2, 1, "make", started=9_000.0)),
        ("claude", []),
    ),
    "nor one in a session of its own": (
        (member(1, 0, "claude"), member(2, 1, "make", sid=2)),
        ("claude", []),
    ),
    "nor an editor at the same terminal": (
        (member(1, 0, "claude", TTY), member(2, 1, "vim", TTY)),
        ("claude", []),
    ),
    "but a shim at a terminal launches": (
        (member(1, 0, "node", TTY), member(2, 1, "codex", TTY)),
        ("codex", ["node"]),
    ),
    "a child that has ended is nobody": (
        (member(1, 0, "sh"), member(2, 1, "claude", state="Z")),
        ("sh", []),
    ),
    "what cannot be read ends the search": (
        (member(1, 0, "sudo"), member(2, 1, "claude", (None, None, None))),
        ("sudo", []),
    ),
}


@pytest.mark.parametrize("case", TREES.values(), ids=TREES)
def test_the_agent_is_who_writes_the_output(
    case: tuple[tuple[Member, ...], tuple[str, list[str]]],
) -> None:
    members, expected = case
    assert agent_of(*members) == expected


def test_a_pipeline_in_a_circle_ends() -> None:
    """Two processes that feed each other are odd, but no reason to look for ever."""
    sh = member(1, 0, "sh")
    one = member(2, 1, "one", ("pipe:[5]", OUT, ERR))
    two = member(3, 1, "two", (OUT, "pipe:[5]", ERR))
    assert agent_of(sh, one, two)[1] == ["sh"]


@pytest.mark.parametrize("name", ["docker", "ssh", "kubectl", "podman", "nsenter"])
def test_a_client_of_something_elsewhere_is_named(name: str) -> None:
    agent = find_agent(member(1, 0, "sh"), [member(1, 0, "sh"), member(2, 1, name)])
    assert agent.remote_client == name


def test_a_tool_that_is_such_a_client_makes_none_of_the_agent() -> None:
    claude = member(1, 0, "claude")
    agent = find_agent(claude, [claude, member(2, 1, "ssh", TOOL, sid=2)])
    assert agent.remote_client is None
