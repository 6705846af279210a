"""What one look, or one late sample, must not decide; and what is likely and not known."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from otel_untether.diagnosis import wait_channels as wchan
from otel_untether.proc_diag.deep_look import SocketLook, ThreadLook
from otel_untether.proc_diag.linux.descriptors import parse_polled
from otel_untether.proc_diag.linux.threads import parse_turns
from otel_untether.session import events as ev
from otel_untether.stall import Finding, StallDetector
from tests.unit.diagnosis.worlds import (
    CONFIG,
    T0,
    S,
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
    from collections.abc import Callable

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.proc_diag.deep_look import DeepLook
    from otel_untether.proc_diag.snapshot import TreeSnapshot
    from otel_untether.session.state import SessionState

IDLE = CONFIG.liveness_timeout + 1


def _same(seen: DeepLook) -> DeepLook:
    return seen


def over(
    state: SessionState,
    sampled: Callable[[float], TreeSnapshot],
    looked: Callable[[TreeSnapshot], DeepLook] = deep,
    *,
    until: int = 700,
    config: WatchdogConfig = CONFIG,
) -> list[Finding]:
    """Judge a silence sample by sample; `looked` makes a deep look of a sample."""
    detector, window, found = StallDetector(config), list[Any](), []
    for second in range(0, until, 5):
        window = [*window[-12:], sampled(float(second))]
        now = T0 + second * S
        found.append(detector.tick(state, window, now, look=partial(_same, looked(window[-1]))))
    return [finding for finding in found if finding]


def causes(found: list[Finding]) -> list[str]:
    return [finding.cause for finding in found if finding.kind == "stall"]


def vetoes(found: list[Finding]) -> set[str]:
    return {code for finding in found if finding.decision for code in finding.decision.vetoes}


def with_agent(look: DeepLook, **changes: Any) -> DeepLook:
    first, *others = look.processes
    return replace(look, processes=(replace(first, **changes), *others))


def turns(look: TreeSnapshot, share: float, **changes: Any) -> DeepLook:
    """The agent's thread wants this share of a core, whatever it is given."""
    thread = ThreadLook(100, "claude", "R", wanted=1 + share * look.at)
    return with_agent(deep(look, **changes), threads=(thread,), at=look.at)


def crowded(at: float, letter: str = "R") -> TreeSnapshot:
    """On a crowded machine: the agent gets 10 % of a core."""
    return sample(at=at, leader=process(state=letter), cpu=0.1)


def test_a_loop_on_a_crowded_machine_is_told_by_what_it_wants() -> None:
    found = over(session(), crowded, partial(turns, share=0.97))
    assert set(causes(found)) == {"spinning"}


def test_who_gets_next_to_nothing_of_a_core_is_starved_and_no_loop() -> None:
    """It may be working: what takes a second elsewhere takes a minute here."""

    def sampled(at: float) -> TreeSnapshot:
        return sample(at=at, leader=process(state="R"), cpu=0.02)

    found = over(session(), sampled, partial(turns, share=0.97))
    assert set(causes(found)) == {"cpu_starved"}
    assert not [finding for finding in found if finding.kind == "kill"]


def test_a_wait_that_goes_on_counts_as_well() -> None:
    """The kernel adds a wait once it is over; one sample of before it span stands in the way."""

    def sampled(at: float) -> TreeSnapshot:
        return sample(at=at, leader=process(state="S" if at == 295 else "R"), cpu=0.02)

    def looked(look: TreeSnapshot) -> DeepLook:
        turn = (look.at + 30) // 60
        thread = ThreadLook(100, "claude", "R", runs=int(turn), wanted=1 + turn * 60)
        return with_agent(deep(look), threads=(thread,), at=look.at)

    found = over(session(), sampled, looked, until=350)
    assert set(causes(found)) == {"cpu_starved"}


def test_one_that_mostly_sleeps_is_no_loop_however_often_it_is_met_awake() -> None:
    def sampled(at: float) -> TreeSnapshot:
        return crowded(at, "R" if at % 15 else "S")

    found = over(session(), sampled, partial(turns, share=0.3))
    assert "spinning" not in causes(found)


def test_one_late_sample_brings_no_cause_of_its_own() -> None:
    """At 480 s the agent is met busy, once; the model is silent all the time."""

    def sampled(at: float) -> TreeSnapshot:
        busy = 470 <= at <= 480
        connection = (socket(receive_age=at, send_age=at),)
        return sample(at=at, sockets=connection, cpu=0.6 if busy else 0.0)

    assert set(causes(over(session(), sampled))) == {"model_silent"}


def test_a_cause_that_two_samples_speak_for_is_named() -> None:
    def sampled(at: float) -> TreeSnapshot:
        return sample(at=at, leader=process(state="T" if at >= 400 else "S"))

    found = over(session(), sampled)
    assert causes(found)[0] == "wedged"
    assert causes(found)[-1] == "stopped"


def refused(look: TreeSnapshot) -> DeepLook:
    """Its thread runs between two looks, and connections are refused meanwhile."""
    thread = ThreadLook(100, "claude", "S", "do_epoll_wait", runs=int(look.at))
    return replace(with_agent(deep(look), threads=(thread,)), refusals=int(look.at))


def test_one_that_wakes_where_connections_are_refused_may_be_retrying() -> None:
    found = over(session(), lambda at: sample(at=at), refused)
    assert set(causes(found)) == {"model_unreachable"}
    assert "perhaps it retries" in found[0].evidence[0]


def test_what_is_only_likely_is_killed_by_nobody_s_order() -> None:
    config = CONFIG._replace(kill_causes=("model_unreachable",))
    found = over(session(), lambda at: sample(at=at), refused, config=config)
    assert "refused" in vetoes(found)
    assert not [finding for finding in found if finding.kind == "kill"]


def test_retries_that_it_tells_of_may_be_killed_for() -> None:
    config = CONFIG._replace(kill_causes=("model_unreachable",))
    retries = [ev.Retry(at=T0 + i * S, attempt=i, delay=1.0) for i in range(1, 9)]
    found = judge(tell(session(), *retries), sample(), IDLE, config)
    assert "kill" in [finding.kind for finding in found]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("compaction_hung", (ev.WaitBegan(at=T0, id="w", kind="compaction"),)),
        ("tool_hung", (tool(),)),
    ],
)
def test_a_cause_that_was_opted_in_is_killed_for(name: str, told: tuple[ev.Event, ...]) -> None:
    config = CONFIG._replace(kill_causes=(name,))
    look = sample(*([child("sleep")] if name == "tool_hung" else []))
    found = judge(tell(session(), *told), look, IDLE, config)
    assert ("kill", name) in [(finding.kind, finding.cause) for finding in found]


def test_a_client_is_spared_whatever_was_opted_in() -> None:
    """Whether the tool works inside the container, nobody knows."""
    config = CONFIG._replace(kill_causes=("tool_hung",))
    look = sample(child("sleep"))
    found = judge(
        tell(session(), tool()), look, IDLE, config, seen=deep(look, remote_client="docker")
    )
    assert "remote_client" in vetoes(found)
    assert not [finding for finding in found if finding.kind == "kill"]


def one_socket(**changes: Any) -> DeepLook:
    one = SocketLook(5, "udp", process().identity, "claude", reach="outside", **changes)
    return deep(sample(), sockets=(one,))


def test_a_datagram_socket_that_was_never_connected_leads_out() -> None:
    """The kernel calls it CLOSE, which for TCP is the end."""
    seen = one_socket(state="CLOSE", local="0.0.0.0:5353")
    assert cause(session(), sample(), IDLE, seen=seen) == "model_silent"


def test_a_name_service_is_no_model() -> None:
    found = judge(session(), sample(), IDLE, seen=one_socket(remote="10.0.0.2:53"))
    assert found[0].cause == "network_lost"
    assert "name service at 10.0.0.2:53" in found[0].evidence[0]


def test_a_subagent_s_command_that_hangs_is_the_command_s_fault() -> None:
    state = tell(
        session(),
        tool("Agent", subagent="general-purpose"),
        ev.TaskStarted(at=T0, id="t", tool_id="call-Agent", kind="agent", name="general-purpose"),
        ev.ToolStarted(at=T0, id="b", name="Bash", parent="call-Agent"),
    )
    assert cause(state, sample(child("sleep"), sockets=(socket(receive_age=900.0),))) == "tool_hung"


def test_what_was_written_before_the_silence_was_the_output() -> None:
    def sampled(at: float) -> TreeSnapshot:
        written = 0 if at < 300 else 90_000
        leader = process(io_written=written, cpu_user=0.0, cpu_system=0.0)
        return sample(at=at, leader=leader)

    state = session()
    state.line(T0 + 300 * S)
    detector, window, found = StallDetector(CONFIG), list[Any](), []
    for second in range(0, 700, 5):
        window.append(sampled(float(second)))
        if second >= 300:
            look = partial(_same, deep(window[-1]))
            found.append(detector.tick(state, window, T0 + second * S, look=look))
    assert {finding.cause for finding in found if finding} == {"wedged"}


def at_terminal(**changes: Any) -> DeepLook:
    return with_agent(deep(sample()), holds_terminal=True, **changes)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (at_terminal(polls_terminal=True), "awaiting_terminal"),
        (at_terminal(polls_terminal=False), "wedged"),
        (
            at_terminal(
                threads=(ThreadLook(100, "psql", "S", "do_select", waits_on="/dev/pts/1"),)
            ),
            "awaiting_terminal",
        ),
        (at_terminal(threads=(ThreadLook(100, "psql", "S", "do_select"),)), "wedged"),
    ],
)
def test_an_event_loop_waits_at_a_terminal_if_it_watches_one(seen: DeepLook, expected: str) -> None:
    assert cause(session(), sample(), IDLE, seen=seen) == expected


def test_select_for_a_file_is_no_terminal() -> None:
    assert wchan.place(ThreadLook(1, "x", "S", "do_select", waits_on="pipe:[1]")) == "asleep"


def test_an_epoll_set_tells_what_it_watches_for_input() -> None:
    raw = b"pos:\t0\ntfd:        7 events:       19 data: 7\ntfd:  8 events: 4 data: 8\n"
    assert parse_polled(raw) == (7,)
    assert parse_polled(None) == ()


def test_a_kernel_that_counts_no_turns_leaves_them_unknown() -> None:
    assert parse_turns(b"") == (None, None)
    assert parse_turns(b"2000000000 500000000 9\n") == (2.5, 9)


def test_a_kill_rests_on_what_was_found_and_not_on_what_was_named() -> None:
    """A command that slept, and computes since the last sample, is at work."""
    config = CONFIG._replace(kill_causes=("tool_hung",), kill_confirmations=1)
    state = tell(session(), tool())

    def sampled(at: float) -> TreeSnapshot:
        used = max(0.0, at - 600) * 0.9
        return sample(child("make", cpu_user=used, cpu_system=0.0), at=at)

    found = over(state, sampled, until=620, config=config)
    assert not [finding for finding in found if finding.kind == "kill"]


def test_a_tool_is_at_work_by_its_last_samples_however_short_its_time() -> None:
    """With samples as far apart as half of the tool's time, one alone would tell nothing."""
    config = CONFIG._replace(tool_timeout=8.0)
    state = tell(session(), tool())

    def sampled(at: float) -> TreeSnapshot:
        return sample(child("make", cpu_user=at * 0.9, cpu_system=0.0), at=at)

    found = over(state, sampled, until=14, config=config)
    assert {(finding.kind, finding.cause) for finding in found} == {("waiting", "tool_running")}


def test_after_a_hole_a_tool_is_not_called_hung_for_want_of_samples() -> None:
    """One sample shows nobody at work, and nobody idle."""
    late = int(CONFIG.tool_timeout) + 5
    one = sample(child("make", cpu_user=5.0, cpu_system=0.0), at=float(late))
    detector = StallDetector(CONFIG)
    found = detector.tick(
        tell(session(), tool()), [one], T0 + late * S, look=partial(_same, deep(one))
    )
    assert found is not None
    assert (found.kind, found.cause) == ("waiting", "tool_running")


def wakes_every(seconds: int, look: TreeSnapshot) -> DeepLook:
    thread = ThreadLook(100, "codex", "S", "do_epoll_wait", runs=int(look.at) // seconds)
    return with_agent(deep(look), threads=(thread,))


@pytest.mark.parametrize(("seconds", "spared"), [(120, True), (10_000, False)])
def test_one_that_wakes_every_two_minutes_may_yet_go_on(seconds: int, spared: Any) -> None:
    """Codex waits a minute between two attempts, and other programs may wait longer."""
    found = over(
        session("codex"), lambda at: sample(at=at), partial(wakes_every, seconds), until=1200
    )
    assert ("kill" not in [finding.kind for finding in found]) is spared
    assert ("wakes" in vetoes(found)) is spared
