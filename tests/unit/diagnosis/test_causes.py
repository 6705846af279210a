"""Each cause of silence, from the facts that show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from otel_untether.diagnosis.advice import ADVICE
from otel_untether.proc_diag.snapshot import CgroupDiag
from otel_untether.session import events as ev
from otel_untether.stall import CAUSES, StallDetector, describe
from tests.unit.diagnosis.worlds import (
    CONFIG,
    LEADER,
    T0,
    S,
    cause,
    child,
    judge,
    process,
    sample,
    session,
    socket,
    starved,
    tell,
    tool,
)

if TYPE_CHECKING:
    from otel_untether.proc_diag.snapshot import TreeSnapshot
    from otel_untether.session.state import SessionState

SILENT = (socket(receive_age=3999.0, send_age=3998.0),)


def finished(name: str = "Bash", at: int = T0) -> tuple[ev.Event, ...]:
    return tool(name, at), ev.ToolFinished(at=at, id=f"call-{name}")


def with_events(*events: ev.Event, **changes: Any) -> SessionState:
    return tell(session(**changes), *events)


def subagents() -> SessionState:
    state = session()
    for number in (1, 2):
        call = ev.ToolStarted(at=T0, id=f"a{number}", name="Agent", subagent="Explore")
        tell(state, call)
        tell(state, ev.TaskStarted(at=T0, id=f"t{number}", kind="agent", tool_id=f"a{number}"))
    return state


def waiting(wchan: str, **changes: Any) -> Any:
    return process(wchan=wchan, **changes)


HOOK = ev.WaitBegan(at=T0, id="h", kind="hook", detail="PreToolUse:Bash")
STUCK = socket(send_queue=512, receive_age=4000.0)

TABLE: list[tuple[str, SessionState, TreeSnapshot | None]] = [
    ("dead", session(), sample(leader=process(state="Z"))),
    ("orphan_holds_output", session(), sample(child(ppid=1), leader=process(state="Z"))),
    ("stopped", session(), sample(leader=process(state="T"))),
    ("stopped", with_events(tool()), sample(child(state="T"))),
    ("disk_wait", session(), sample(leader=process(state="D", wchan="rpc_wait_bit_killable"))),
    ("disk_wait", with_events(tool()), sample(child("ls", state="D"))),
    ("output_blocked", session(), sample(leader=waiting("anon_pipe_write"))),
    ("output_blocked", with_events(tool()), sample(child(), leader=waiting("pipe_write"))),
    ("hook_hung", with_events(HOOK), sample(child())),
    ("awaiting_terminal", with_events(tool()), sample(child("git", wchan="n_tty_read"))),
    ("awaiting_terminal", with_events(tool()), sample(child("gopass", wchan="wait_woken"))),
    (
        "awaiting_terminal",
        with_events(tool()),
        sample(child("git", wchan="wait_woken"), sockets=SILENT),
    ),
    ("lock_wait", session(), sample(leader=waiting("locks_lock_inode_wait"))),
    ("lock_wait", with_events(tool()), sample(child("dpkg", wchan="fcntl_setlk"))),
    ("memory_pressure", session(), sample(host=starved())),
    ("spinning", session(), sample(cpu=0.97)),
    ("spinning", session(), sample(leader=process(state="R"), cpu=0.2)),
    ("spinning", with_events(tool()), sample(child(), cpu=1.5, leader_cpu=0.99)),
    ("spinning", session(), sample(cpu=0.97, sockets=SILENT)),
    ("wedged", session(), sample()),
    ("wedged", session(), sample(child("node", sid=LEADER), child("uvx", 201, sid=LEADER))),
    ("wedged", with_events(tool("Read")), sample()),
    ("wedged", subagents(), sample()),
    ("awaiting_stdin", with_events(tool()), sample(child("cat", wchan="anon_pipe_read"))),
    ("awaiting_stdin", session(), sample(leader=waiting("pipe_read"))),
    ("mcp_hung", with_events(tool("q", mcp_server="db")), sample(child(sid=LEADER))),
    ("mcp_hung", with_events(tool("q", mcp_server="db")), sample(sockets=SILENT)),
    ("subagent_hung", subagents(), sample(sockets=SILENT)),
    ("tool_hung", with_events(tool()), sample(child("sleep"))),
    ("tool_hung", with_events(tool()), sample(child("sleep"), sockets=SILENT)),
    ("tool_hung", session(engine="opencode"), sample(child("sleep"), sockets=SILENT)),
    ("tool_hung", session(engine="opencode"), sample(child("sleep"))),
    ("exit_limbo", with_events(ev.TurnFinished(at=T0)), sample()),
    ("network_lost", session(), sample(sockets=(socket("SYN_SENT"),))),
    ("network_lost", session(), sample(sockets=(socket("CLOSE_WAIT"),))),
    ("network_lost", session(), sample(sockets=(STUCK,))),
    ("model_silent", session(), sample(sockets=SILENT)),
    ("model_silent", session(), sample(child("node", sid=LEADER), sockets=SILENT)),
    ("model_silent", with_events(*finished()), sample(sockets=SILENT)),
    ("after_tool_result", with_events(*finished()), sample(sockets=(socket(send_age=5000.0),))),
    ("after_tool_result", with_events(*finished()), sample(cpu=0.1)),
    ("wedged", with_events(*finished()), sample()),
    ("unexplained", session(), None),
    ("unexplained", session(), sample(sockets=None)),
    ("agent_asleep", session(), sample(sockets=(socket("LISTEN"),))),
]

# Those that need more than a sample, or several lines: see test_in_depth.py and test_clocks.py.
IN_DEPTH = {
    "cpu_starved",
    "frozen",
    "compaction_hung",
    "model_unreachable",
    "retrying",
    "prompt_unanswered",
    "awaiting_prompt",
    "awaiting_request",
    "model_streaming",
    "child_not_reading",
}


@pytest.mark.parametrize(("expected", "state", "look"), TABLE)
def test_the_cause_fits_the_facts(
    expected: str, state: SessionState, look: TreeSnapshot | None
) -> None:
    assert cause(state, look) == expected


def test_a_session_that_never_printed_anything_hangs_at_start_up() -> None:
    state = session()
    state.lines = 0
    assert cause(state, sample(), 121) == "startup_hang"


def test_start_up_becomes_a_wedge_once_nothing_can_ever_wake_it() -> None:
    state = session()
    state.lines = 0
    kinds = {finding.kind: finding.cause for finding in judge(state, sample(), 601)}
    assert kinds["kill"] == "wedged"


def test_a_kill_for_want_of_memory_counts_as_memory_pressure() -> None:
    state = session()
    looks = [
        replace(sample(at=a), cgroup=CgroupDiag(oom_kills=int(a > 305))) for a in range(0, 311, 5)
    ]
    found = StallDetector(CONFIG).tick(state, looks, T0 + 310 * S)
    assert found is not None
    assert found.cause == "memory_pressure"


def test_every_cause_but_those_of_another_test_is_in_the_table() -> None:
    shown = {expected for expected, _, _ in TABLE}
    assert shown | {"startup_hang", "tool_running"} | IN_DEPTH == set(CAUSES)


def test_a_slow_tool_is_reported_but_is_no_stall_until_twice_its_time() -> None:
    state, look = with_events(tool()), sample(child("cc1"), cpu=0.9, leader_cpu=0.0)
    first = judge(state, look, 601)[0]
    assert (first.kind, first.cause) == ("waiting", "tool_running")
    later = judge(state, look, 1201)[0]
    assert (later.kind, later.cause) == ("stall", "tool_hung")


def test_an_idle_keep_alive_socket_during_a_tool_is_no_wait_for_the_model() -> None:
    """An open tool with a live child decides."""
    assert cause(with_events(tool()), sample(child("sleep"), sockets=SILENT)) == "tool_hung"


def test_an_engine_that_names_tools_late_is_not_wedged_while_a_child_lives() -> None:
    state = session(engine="unknown")
    found = judge(state, sample(child("make", sid=LEADER)), 4000)
    assert "kill" not in [finding.kind for finding in found]


def test_opencode_with_idle_mcp_servers_only_may_be_wedged() -> None:
    """Its permanent children, in its own session, are no tools."""
    assert cause(session(engine="opencode"), sample(child("mcp", sid=LEADER))) == "wedged"


def test_founding_failure_81_percent_cpu_no_tcp_two_subagents_open() -> None:
    """littlebearapps/untether#97, the first."""
    found = judge(subagents(), sample(cpu=0.81), 901)
    assert (found[0].kind, found[0].cause) == ("stall", "spinning")
    assert "81 % CPU" in describe(found[0])
    assert "kill" not in [finding.kind for finding in found]


def test_founding_failure_sleeping_with_one_established_socket_after_bash() -> None:
    """littlebearapps/untether#97, the second."""
    state = with_events(*finished())
    servers = [child("node", 200 + i, sid=LEADER) for i in range(3)]
    look = sample(*servers, sockets=(socket(receive_age=298.0, send_age=301.0),))
    found = judge(state, look, 302)
    assert describe(found[0]) == (
        "silent for 5 min 2 s: waiting for the model on 203.0.113.9:443, silent for 4 min 58 s; "
        "last event Bash finished; 3 children idle: node (pid 200), node (pid 201), "
        "node (pid 202); claude (pid 100, state S) → " + ADVICE["model_silent"].action
    )
    assert "kill" not in [finding.kind for finding in judge(state, look, 3600)]


def test_founding_failure_the_same_session_resumed_and_stalled_at_once() -> None:
    """littlebearapps/untether#97, the third: a tainted resume is judged sooner."""
    state = tell(session(), ev.SessionStarted(at=T0, session_id="s"))
    look = sample(sockets=SILENT)
    assert judge(state, look, 61) == []
    found = judge(state, look, 61, tainted=True)
    assert (found[0].cause, found[0].threshold) == ("startup_hang", "resume_startup")


def test_a_tainted_session_that_has_spoken_is_like_any_other() -> None:
    state = with_events(ev.ModelMessage(at=T0, id="m"))
    assert judge(state, sample(sockets=SILENT), 61, tainted=True) == []
