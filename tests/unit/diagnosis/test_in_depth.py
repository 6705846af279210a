"""What a deep look decides: which causes it shows, and what it has against calling it wedged."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from otel_untether.diagnosis import wait_channels as wchan
from otel_untether.proc_diag.deep_look import (
    CgroupLook,
    DescriptorLook,
    PipeLook,
    SocketLook,
    StdinLook,
    ThreadLook,
)
from otel_untether.session import events as ev
from otel_untether.stall import Finding, StallDetector
from tests.unit.diagnosis.worlds import (
    CONFIG,
    LEADER,
    T0,
    S,
    at_time,
    cause,
    child,
    deep,
    judge,
    process,
    sample,
    session,
    socket,
    tell,
    tool,
)

if TYPE_CHECKING:
    from otel_untether.proc_diag.deep_look import DeepLook
    from otel_untether.session.state import SessionState

QUIET = sample()
IDLE = CONFIG.liveness_timeout + 1


def with_threads(*threads: ThreadLook, **changes: Any) -> DeepLook:
    """A deep look at a lone agent that has these threads besides the main one."""
    look = deep(QUIET)
    (one,) = look.processes
    one = replace(one, threads=(*(one.threads or ()), *threads), **changes)
    return replace(look, processes=(one,))


def thread(wchan: str | None, state: Any = "S", **changes: Any) -> ThreadLook:
    return ThreadLook(777, "worker", state, wchan, **changes)


def with_socket(family: Any, **changes: Any) -> DeepLook:
    one = SocketLook(5, family, process().identity, "claude", **{"reach": "outside", **changes})
    return deep(QUIET, sockets=(one,))


def vetoes(found: list[Finding]) -> set[str]:
    return {code for finding in found if finding.decision for code in finding.decision.vetoes}


def killed(found: list[Finding]) -> bool:
    return any(finding.kind == "kill" for finding in found)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (deep(QUIET, cgroup=CgroupLook("/docker/x", frozen=True)), "frozen"),
        (with_threads(frozen=True), "frozen"),
        (with_threads(thread("request_wait_answer")), "disk_wait"),
        (with_threads(thread("rpc_wait_bit_killable", "D")), "disk_wait"),
        (with_threads(thread("flock_lock_inode_wait")), "lock_wait"),
        (with_threads(thread("wait_woken", waits_on="/dev/pts/3")), "awaiting_terminal"),
        (deep(QUIET, cgroup=CgroupLook("/x", memory_full=40.0)), "memory_pressure"),
        (with_socket("unix", remote="/run/model.sock"), "model_silent"),
        (with_socket("udp", remote="203.0.113.9:443"), "model_silent"),
        (with_socket("tcp", state="LISTEN", local="0.0.0.0:1"), "agent_asleep"),
        (with_threads(thread("anon_pipe_read", waits_on="/tmp/fifo")), "agent_asleep"),
        (deep(QUIET, pipes=(PipeLook("pipe:[7]", process().identity, "claude"),)), "agent_asleep"),
        (with_threads(thread("unix_wait_for_peer", waits_on="socket:[7]")), "unexplained"),
        (with_threads(thread("some_new_function")), "unexplained"),
        (with_threads(all_threads=False), "unexplained"),
        (deep(QUIET, complete=False, problems=("too many",)), "unexplained"),
        (deep(QUIET, sockets=None), "unexplained"),
        (deep(QUIET, remote_client="docker"), "unexplained"),
    ],
)
def test_what_the_samples_do_not_show_is_found_and_never_killed(
    seen: DeepLook, expected: str
) -> None:
    """All of these sleep without TCP and without CPU, and look wedged to a sample."""
    found = judge(session(), QUIET, IDLE, seen=seen)
    assert found[0].cause == expected
    assert not killed(found)


@pytest.mark.parametrize(
    "seen",
    [
        deep(QUIET),
        with_threads(thread("futex_do_wait"), thread("wait_woken", waits_on="anon_inode:inotify")),
        with_socket("unix", reach="inside"),
        with_socket("netlink", reach="kernel"),
        with_threads(thread("anon_pipe_read", waits_on="pipe:[7]")),
        with_socket("unix", numbers=(0, 1)),
    ],
)
def test_a_tree_at_rest_in_known_places_without_a_way_out_is_killed(seen: DeepLook) -> None:
    found = judge(session(), QUIET, IDLE, seen=seen)
    assert found[0].cause == "wedged"
    assert killed(found)


def test_without_a_deep_look_nobody_is_killed() -> None:
    detector, state, found = StallDetector(CONFIG), session(), []
    for second in range(0, 700, 5):
        window = [sample(at=float(second))]
        found.append(detector.tick(state, window, T0 + second * S))
    known = [finding for finding in found if finding]
    assert [f.kind for f in known][:2] == ["stall", "stall"]
    assert known[0].cause == "wedged"
    assert "unknown" in vetoes(known)
    assert not killed(known)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"events": 0}, "undecoded"),
        ({"turn_open": False}, "stdin"),
    ],
)
def test_a_session_of_which_too_little_is_known_is_spared(
    changes: dict[str, Any], code: str
) -> None:
    state = session()
    for name, value in changes.items():
        setattr(state, name, value)
    seen = with_threads(stdin=StdinLook("pipe", "pipe:[3]", 0, "outside", open_ended=True))
    found = judge(state, QUIET, IDLE, seen=seen)
    assert code in vetoes(found) or found[0].cause == "awaiting_request"
    assert not killed(found)


def waking(state: SessionState, main: str, runs: int) -> list[Finding]:
    """Judge a tree whose main thread runs so often between two looks."""
    detector, found = StallDetector(CONFIG), []
    window = [sample(at=float(second)) for second in range(0, 595, 5)]
    for tick in range(8):
        at = 600.0 + tick
        window.append(sample(at=at))
        look = deep(sample(leader=process(wchan=main), at=at))
        (one,) = look.processes
        threads = tuple(replace(t, runs=tick * runs) for t in one.threads or ())
        seen = replace(look, processes=(replace(one, threads=threads),))
        now = T0 + round(at * S)
        found.append(detector.tick(state, window, now, look=partial(_same, seen)))
    return [finding for finding in found if finding]


def _same(seen: DeepLook) -> DeepLook:
    return seen


def test_what_wakes_by_itself_may_yet_go_on() -> None:
    """An attempt at a refused connection lasts a millisecond, and no sample meets it."""
    assert killed(waking(session("codex"), "do_epoll_wait", 0))
    awake = waking(session("codex"), "do_epoll_wait", 3)
    assert "wakes" in vetoes(awake)
    assert not killed(awake)


def test_a_runtime_known_to_wake_when_idle_is_not_spared_for_that() -> None:
    assert killed(waking(session("claude"), "do_epoll_wait", 40))
    assert not killed(waking(session("claude"), "hrtimer_nanosleep", 1))


def test_a_worker_behind_a_shim_is_the_agent() -> None:
    """npm's shim sleeps; the process it started spins."""
    shim, worker = process(name="node"), child("codex", sid=LEADER)
    look = sample(worker, leader=shim, cpu=0.92, leader_cpu=0.0)
    seen = deep(look, agent=worker.identity, launchers=(shim.identity,))
    finding = judge(session("codex"), look, IDLE, seen=seen)[0]
    assert finding.cause == "spinning"
    assert finding.pid == 200
    assert "codex (pid 200)" in finding.evidence[0]


def test_only_the_agents_own_connections_are_its_models() -> None:
    """An MCP server's half-open connection is no lost network of the agent."""
    server = child("node", sid=LEADER)
    other = SocketLook(9, "tcp", server.identity, "node", state="SYN_SENT", reach="outside")
    own = deep(sample(sockets=(socket(receive_age=400.0),))).sockets or ()
    look = sample(server, sockets=(socket(receive_age=400.0), socket("SYN_SENT", inode=9)))
    assert cause(session(), look, 601, seen=deep(look, sockets=(*own, other))) == "model_silent"


def test_telemetry_that_flows_is_no_answer_of_the_model() -> None:
    asked = tell(session(), ev.ModelAsked(at=T0))
    model = socket(receive_age=590.0, send_age=600.0)
    collector = socket(inode=2, remote_port=4318, receive_age=0.1, send_age=0.1)
    found = judge(asked, sample(sockets=(model, collector)), 601)
    assert found[0].cause == "model_silent"
    assert "203.0.113.9:443, silent for 9 min 50 s" in found[0].evidence[0]


def test_the_model_is_found_by_looks_that_are_older_than_the_tick() -> None:
    """Every look is 4 s old; 3 s before the model was asked something else was, which answers."""
    detector = StallDetector(CONFIG, from_monotonic=lambda at: T0 + round(at * S))
    state, found = tell(session(), ev.ModelAsked(at=T0)), []
    for second in range(5, 400, 5):
        at = second - 4.0
        model = socket(remote_port=1443, receive_age=at, send_age=at)
        other = socket(inode=2, remote_port=2443, receive_age=0.1, send_age=at + 3)
        taken = sample(sockets=(other, model), at=at)
        look = partial(_same, deep(taken))
        found.append(detector.tick(state, [taken], T0 + second * S, look=look))
    first = next(finding for finding in found if finding)
    assert (first.cause, first.idle_s) == ("model_silent", CONFIG.stall_timeout)
    assert ":1443" in first.evidence[0]


def streaming(rate: float, config: Any = CONFIG) -> list[Finding]:
    """Judge a session on whose connection so many bytes a second arrive, for 40 min."""
    detector, state, found = StallDetector(config), session(), []
    tell(state, ev.ModelAsked(at=T0))
    for second in range(0, 2400, 5):
        base = sample(sockets=(socket(receive_age=0.1, send_age=float(second)),), at=float(second))
        look = deep(base)
        fed = tuple(replace(s, bytes_received=int(second * rate)) for s in look.sockets or ())
        seen = replace(look, sockets=fed)
        now = T0 + second * S
        found.append(detector.tick(state, [base], now, look=partial(_same, seen)))
    return [finding for finding in found if finding]


def test_an_answer_that_arrives_is_waited_for_longer_and_never_killed() -> None:
    found = streaming(9000.0, CONFIG._replace(kill_causes=("model_silent",)))
    stalls = [finding for finding in found if finding.kind == "stall"]
    assert stalls[0].idle_s == CONFIG.streaming_timeout
    assert stalls[0].cause == "model_streaming"
    assert not killed(found)


def test_keep_alives_are_no_answer_and_no_reason_to_kill() -> None:
    found = streaming(7.0, CONFIG._replace(kill_causes=("model_silent",)))
    stalls = [finding for finding in found if finding.kind == "stall"]
    assert (stalls[0].idle_s, stalls[0].cause) == (CONFIG.liveness_timeout, "model_silent")
    assert "only keep-alives" in stalls[0].evidence[0]
    assert not killed(found)


def test_an_agent_that_cannot_write_to_its_own_child_is_no_fault_of_the_reader() -> None:
    server = child("mcp", sid=LEADER)
    look = sample(server, leader=process(wchan="anon_pipe_write"), sockets=())
    seen = deep(look)
    agent, other = seen.processes
    (main,) = agent.threads or ()
    agent = replace(
        agent,
        threads=(replace(main, waits_on="pipe:[8]"),),
        descriptors=(DescriptorLook(1, "pipe:[1]"), DescriptorLook(9, "pipe:[8]")),
    )
    other = replace(other, descriptors=(DescriptorLook(0, "pipe:[8]"),))
    found = judge(session(), look, 601, seen=replace(seen, processes=(agent, other)))
    assert found[0].cause == "child_not_reading"
    assert "waits to write to mcp (pid 200), which does not read" in found[0].evidence[0]


OPEN = StdinLook("pipe", "pipe:[3]", 0, "outside", open_ended=True)


def test_a_thread_that_reads_stdin_tells_what_a_silent_start_waits_for() -> None:
    state = session("codex", headless=True)
    state.lines = 0
    seen = with_threads(thread("anon_pipe_read", waits_on="pipe:[3]"), stdin=OPEN)
    assert cause(state, QUIET, 125, seen=seen) == "awaiting_stdin"


@pytest.mark.parametrize("serves", ["acp", None])
def test_who_serves_prompts_reads_the_next_while_it_works_on_one(serves: str | None) -> None:
    """Copilot CLI's ACP server, whose model is silent: one thread always reads its input."""
    state = session("copilot", serves=serves, multi_prompt=serves is None)
    reader = thread("anon_pipe_read", waits_on="pipe:[3]")
    seen = with_threads(thread("do_epoll_wait"), reader, stdin=OPEN)
    assert cause(state, QUIET, 601, seen=seen) != "awaiting_stdin"
    state.turn_open = state.multi_prompt = False
    state.serves = None
    assert cause(state, QUIET, 601, seen=seen) == "awaiting_stdin"


def test_a_program_nobody_understands_with_open_input_may_be_a_server() -> None:
    state = session("unknown")
    state.events, state.turn_open = 0, False
    found = judge(state, QUIET, IDLE, seen=with_threads(stdin=OPEN))
    assert (found[0].kind, found[0].cause) == ("waiting", "awaiting_request")


def test_behind_an_unknown_launcher_open_input_after_a_result_awaits_a_prompt() -> None:
    state = tell(session(multi_prompt=None), ev.TurnFinished(at=T0))
    found = judge(state, QUIET, 100, seen=with_threads(stdin=OPEN))
    assert (found[0].kind, found[0].cause) == ("waiting", "awaiting_prompt")
    closed = StdinLook("pipe", "pipe:[3]", 0, None, open_ended=False)
    found = judge(state, QUIET, 100, seen=with_threads(stdin=closed))
    assert (found[0].kind, found[0].cause) == ("stall", "exit_limbo")


@pytest.mark.parametrize(
    ("wchan_name", "state", "waits_on", "expected"),
    [
        ("do_epoll_wait", "S", None, "asleep"),
        ("futex_wait_queue", "S", None, "asleep"),
        (None, "R", None, "running"),
        ("anything", "D", None, "disk"),
        ("fuse_wait", "S", None, "disk"),
        ("wait_woken", "S", None, "unknown"),
        ("wait_woken", "S", "socket:[4]", "socket"),
        ("wait_woken", "S", "/dev/tty", "terminal"),
        ("wait_woken", "S", "anon_inode:inotify", "asleep"),
        ("do_freezer_trap", "S", None, "frozen"),
        ("brand_new_wait", "S", None, "unknown"),
        (None, "S", None, "unknown"),
        (None, None, None, "unknown"),
    ],
)
def test_where_a_thread_waits(
    wchan_name: str | None, state: Any, waits_on: str | None, expected: str
) -> None:
    assert wchan.place(ThreadLook(1, "t", state, wchan_name, None, waits_on)) == expected


def working_tool(at: float, **changes: Any) -> Any:
    return at_time(sample(child("cc1"), cpu=1.05, leader_cpu=0.06, **changes), at)


@pytest.mark.parametrize("causes", [("tool_hung",), ("awaiting_stdin", "tool_hung")])
def test_a_tool_at_work_is_never_killed_however_the_newest_sample_looks(
    causes: tuple[str, ...],
) -> None:
    """A compiler whose output keeps the agent busy; a server that waits between two requests."""
    config = CONFIG._replace(kill_causes=causes)
    look = sample(child("cat", wchan="anon_pipe_read"), cpu=0.5, leader_cpu=0.06)
    found = judge(tell(session(), tool()), look, 1300, config)
    assert not killed(found)
    assert "working" in vetoes(found)


def test_spinning_is_killed_where_the_operator_asked_for_it() -> None:
    """That it runs in every sample is what spinning means, and no objection."""
    config = CONFIG._replace(kill_causes=("wedged", "spinning"))
    look = sample(leader=process(state="R"), cpu=0.97)
    found = judge(session(), look, 301, config)
    assert [finding.kind for finding in found] == ["stall", "kill"]
