"""When the detector speaks: thresholds, pace, recovery, waits, holes in what was watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.config.settings import ConfigError, WatchdogConfig
from otel_untether.engines import registry
from otel_untether.session import events as ev
from otel_untether.session.fold.apply import apply
from otel_untether.stall import Finding, StallDetector, describe
from tests.unit.diagnosis.worlds import (
    CONFIG,
    T0,
    S,
    at_time,
    child,
    judge,
    looker,
    sample,
    session,
    socket,
    tell,
    tool,
)

if TYPE_CHECKING:
    from otel_untether.proc_diag.snapshot import TreeSnapshot
    from otel_untether.session.state import SessionState

QUIET = CONFIG._replace(stall_auto_kill=False)
MODEL = sample(sockets=(socket(),))


class Watch:
    """A detector and a clock: ticks every `step` seconds, the tree always looking the same."""

    def __init__(
        self,
        state: SessionState,
        look: TreeSnapshot | None = MODEL,
        config: WatchdogConfig = QUIET,
        step: float = 5.0,
        **options: Any,
    ) -> None:
        self.state, self.look, self.step = state, look, step
        self.detector = StallDetector(config, **options)
        self.seconds = 0.0
        self.window: list[TreeSnapshot] = []
        self.found: list[tuple[float, Finding]] = []

    def until(self, seconds: float) -> list[tuple[float, str]]:
        """Tick until `seconds` after T0; return what was found on the way: when, and its kind."""
        before = len(self.found)
        while self.seconds + self.step <= seconds:
            self.tick(self.seconds + self.step)
        return [(at, finding.kind) for at, finding in self.found[before:]]

    def tick(self, seconds: float) -> None:
        self.seconds = seconds
        if self.look is not None:
            self.window = [*self.window[-20:], at_time(self.look, 1000 + seconds)]
        look = looker(self.look, 1000 + seconds)
        now = T0 + round(seconds * S)
        finding = self.detector.tick(self.state, self.window, now, look=look)
        if finding is not None:
            self.found.append((seconds, finding))


def at(seconds: float) -> int:
    return T0 + round(seconds * S)


def test_warnings_are_progressive_and_numbered() -> None:
    watch = Watch(session(), step=1)
    found = watch.until(900)
    stalls = [seconds for seconds, kind in found if kind == "stall"]
    assert stalls == [300, 480, 660, 840]
    numbers = [finding.number for _, finding in watch.found if finding.kind == "stall"]
    assert numbers == [1, 2, 3, 4]


def test_each_warning_brings_fresh_diagnostics() -> None:
    watch = Watch(session())
    watch.until(300)
    watch.look = sample(cpu=0.9)
    watch.until(480)
    assert [finding.cause for _, finding in watch.found] == ["model_silent", "spinning"]


def test_the_liveness_check_comes_once_and_is_not_a_kill() -> None:
    found = Watch(session(), step=1).until(3000)
    assert [seconds for seconds, kind in found if kind == "liveness"] == [600]
    assert {kind for _, kind in found} == {"stall", "liveness"}


def test_a_line_ends_the_silence_and_says_how_long_it_was() -> None:
    watch = Watch(session())
    watch.until(500)
    watch.state.line(at(502))
    watch.until(505)
    recovered = watch.found[-1][1]
    assert (recovered.kind, recovered.idle_s, recovered.number) == ("recovered", 502.0, 2)
    assert describe(recovered) == "spoke again after 8 min 22 s of silence"


def test_recovery_resets_the_count() -> None:
    watch = Watch(session())
    watch.until(500)
    watch.state.line(at(502))
    assert (805.0, "stall") in watch.until(900)
    assert watch.found[-1][1].number == 1


def test_a_line_that_decodes_to_nothing_is_a_sign_of_life() -> None:
    watch = Watch(session())
    watch.until(295)
    watch.state.line(at(295))
    assert watch.until(590) == []


def test_silence_before_any_warning_recovers_without_a_word() -> None:
    watch = Watch(session())
    watch.until(200)
    watch.state.line(at(200))
    assert watch.until(210) == []


@pytest.mark.parametrize(
    ("events", "seconds", "name"),
    [
        ((), 300, "silence"),
        ((tool(),), 600, "tool"),
        ((tool(timeout=1200.0),), 1200, "tool"),
        ((tool("q", mcp_server="db"),), 900, "mcp_tool"),
        ((tool(), tool("q", mcp_server="db")), 900, "mcp_tool"),
        ((tool("Agent", subagent="Explore"),), 900, "subagent"),
        ((ev.TurnFinished(at=T0),), 60, "post_result"),
    ],
)
def test_the_first_threshold_that_fits_is_met_within_one_tick(
    events: tuple[ev.Event, ...], seconds: float, name: str
) -> None:
    watch = Watch(tell(session(), *events), sample(child(), sockets=(socket(),)))
    assert watch.until(seconds - 1) == []
    assert watch.until(seconds + 5)[0] == (seconds, "stall")
    assert watch.found[0][1].threshold == name


def test_a_session_that_says_nothing_at_all_is_warned_of_at_start_up() -> None:
    state = session()
    state.lines = 0
    assert Watch(state).until(125) == [(120.0, "stall")]


def test_a_dead_agent_is_reported_at_once() -> None:
    watch = Watch(session(), sample(alive=False))
    assert watch.until(15) == [(10.0, "stall")]
    assert watch.found[0][1].cause == "dead"


def test_bytes_still_arriving_defer_the_warning_to_the_liveness_check() -> None:
    watch = Watch(session(), sample(sockets=(socket(receive_age=3.0),)))
    assert watch.until(599) == []
    assert watch.detector.assess(watch.state, at(595)).cause == "model_streaming"
    assert watch.until(600) == [(600.0, "stall")]


def test_a_busy_client_of_a_live_connection_is_thought_to_think() -> None:
    watch = Watch(session(), sample(sockets=(socket(),), cpu=0.1))
    assert watch.until(599) == []
    assert watch.detector.assess(watch.state, at(595)).cause == "thinking"


def wait(kind: Any, until: float | None = None, since: float = 0) -> ev.WaitBegan:
    return ev.WaitBegan(at=at(since), id="w", kind=kind, until=None if until is None else at(until))


def test_five_hours_of_unanswered_approval_are_no_stall() -> None:
    """An approval event every half hour, and nothing else; never a kill."""
    watch = Watch(tell(session(), wait("approval")), sample(), CONFIG, step=10)
    found = [(seconds, kind) for seconds, kind in watch.until(5 * 3600) if kind != "veto"]
    assert found == [(1800.0 * i, "waiting") for i in range(1, 11)]
    assert watch.found[-1][1].cause == "awaiting_approval"


def test_an_answer_is_not_followed_by_an_instant_escalation() -> None:
    state = tell(session(), wait("approval"))
    watch = Watch(state)
    watch.until(1000)
    apply(state, ev.WaitEnded(at=at(1000), id="w", answer="allow"))
    assert watch.until(1295) == []
    assert watch.until(1305) == [(1300.0, "stall")]


@pytest.mark.parametrize("kind", ["rate_limit", "retry", "scheduled"])
def test_a_wait_explains_silence_until_it_is_over_and_no_longer(kind: Any) -> None:
    watch = Watch(tell(session(), wait(kind, 2000)))
    assert watch.until(2295) == []
    assert watch.until(2305) == [(2300.0, "stall")]


@pytest.mark.parametrize(
    ("kind", "limit"), [("rate_limit", 60), ("retry", 60), ("scheduled", 3600)]
)
def test_a_wait_without_an_end_has_an_age_limit(kind: Any, limit: float) -> None:
    watch = Watch(tell(session(), wait(kind)))
    assert watch.until(limit + 295) == []
    assert watch.until(limit + 300) == [(limit + 300, "stall")]


@pytest.mark.parametrize(
    ("kind", "limit", "cause"),
    [
        ("hook", 600, "hook_hung"),
        ("host", 600, "hook_hung"),
        ("compaction", 300, "compaction_hung"),
    ],
)
def test_what_takes_longer_than_it_may_is_reported_at_once(
    kind: Any, limit: float, cause: str
) -> None:
    """Not after its time and another threshold, whatever else is open."""
    watch = Watch(tell(session(), tool(), wait(kind)))
    assert watch.until(limit - 5) == []
    assert watch.until(limit) == [(limit, "stall")]
    assert watch.found[0][1].cause == cause


def test_an_announced_end_is_believed_for_a_day_at_most() -> None:
    watch = Watch(tell(session(), wait("rate_limit", 9 * 86400)), step=10)
    assert watch.until(86400 + 310)[0] == (86700.0, "stall")


def test_a_healthy_rate_limit_snapshot_excuses_nothing() -> None:
    state = tell(session(), ev.RateLimited(at=T0, status="allowed", resets_at=T0 // S + 3600))
    assert Watch(state).until(300) == [(300.0, "stall")]


def test_a_session_between_two_prompts_is_never_stalled() -> None:
    state = tell(session(multi_prompt=True), ev.TurnFinished(at=T0))
    watch = Watch(state, sample(), CONFIG, step=60)
    assert watch.until(86400) == []
    assert watch.detector.assess(state, at(86400)).cause == "awaiting_prompt"


def printing_at_its_end() -> SessionState:
    state = session()
    state.events, state.traits = 0, registry.get("claude").behaves(plain=True)
    return state


@pytest.mark.parametrize(
    "look",
    [
        sample(sockets=(socket(receive_age=1.0),)),
        sample(cpu=0.5),
        sample(cpu=None),
        None,
    ],
)
def test_who_prints_only_its_answer_is_not_stalled_while_it_may_be_at_work(look: Any) -> None:
    found = judge(printing_at_its_end(), look, 5000)
    assert not {"stall", "kill"} & {finding.kind for finding in found}


def test_who_prints_only_its_answer_is_given_twice_the_time_of_a_tool_that_does_nothing() -> None:
    watch = Watch(printing_at_its_end(), sample(child("sleep")), step=5)
    assert watch.until(2 * CONFIG.tool_timeout - 5) == []
    assert watch.until(2 * CONFIG.tool_timeout)[0] == (2 * CONFIG.tool_timeout, "stall")
    assert watch.found[0][1].cause == "tool_hung"


def test_who_prints_only_its_answer_and_sleeps_without_a_connection_is_wedged() -> None:
    first = judge(printing_at_its_end(), sample(), 5000)[0]
    assert (first.kind, first.cause) == ("stall", "wedged")


def test_who_prints_events_after_all_is_judged_by_them() -> None:
    state = tell(printing_at_its_end(), ev.ModelMessage(at=T0, id="m"))
    assert judge(state, sample(cpu=None), 400)[0].kind == "stall"


def test_background_work_is_waited_for_but_not_for_ever() -> None:
    detached = ev.ToolFinished(at=T0, id="call-Bash", detached=True, task_id="t")
    state = tell(session(), tool(), detached, ev.TurnFinished(at=T0))
    watch = Watch(state, sample(child()))
    assert watch.until(3595) == []
    assert watch.until(3600) == [(3600.0, "stall")]
    assert watch.found[0][1].cause == "tool_hung"


def test_background_work_does_not_hide_a_silent_model() -> None:
    """A server left running while the main agent waits for an answer."""
    detached = ev.ToolFinished(at=T0, id="call-Bash", detached=True, task_id="t")
    watch = Watch(tell(session(), tool(), detached), sample(child(), sockets=(socket(),)))
    assert watch.until(300) == [(300.0, "stall")]


def test_a_hole_in_the_ticks_is_not_silence() -> None:
    """The machine slept, or the terminal stopped us: what was not watched is not counted."""
    watch = Watch(session())
    watch.until(200)
    watch.tick(8000)
    assert watch.until(8095) == []
    assert watch.until(8100) == [(8100.0, "stall")]


def test_a_hole_discards_the_evidence_for_a_kill() -> None:
    watch = Watch(session(), sample(), CONFIG)
    watch.until(590)
    watch.tick(5000)
    kinds = [kind for _, kind in watch.until(5290)]
    assert "kill" not in kinds
    assert "kill" in [kind for _, kind in watch.until(5400)]


def test_a_hole_in_the_samples_discards_the_evidence_too() -> None:
    watch = Watch(session(), sample(), CONFIG)
    watch.until(400)
    watch.look = None
    watch.until(500)
    watch.look = sample()
    assert "kill" not in [kind for _, kind in watch.until(790)]
    assert "kill" in [kind for _, kind in watch.until(820)]


def test_samples_that_stopped_coming_are_unknown_not_idle() -> None:
    """A sampler that hangs must not make the last good look last for ever."""
    watch = Watch(session(), sample(), CONFIG)
    watch.until(400)
    watch.look = None
    assert "kill" not in [kind for _, kind in watch.until(3000)]
    assert watch.found[-1][1].cause == "unexplained"


def test_a_kill_is_decided_once() -> None:
    watch = Watch(session(), sample(), CONFIG)
    kinds = [kind for _, kind in watch.until(2000)]
    assert kinds.count("kill") == 1
    kill = next(finding for _, finding in watch.found if finding.kind == "kill")
    assert kill.decision is not None
    assert kill.decision.window >= CONFIG.liveness_timeout / 2
    assert describe(kill).startswith("killing it, silent for 10 min 5 s: nothing can wake it")


def test_a_kill_that_did_not_qualify_at_first_is_tried_again() -> None:
    """The condition is looked at on every tick, not only at the moment the timeout passes."""
    watch = Watch(session(), MODEL, CONFIG)
    watch.until(700)
    watch.look = sample()
    assert "kill" in [kind for _, kind in watch.until(1100)]


def test_kill_causes_widens_what_may_be_killed() -> None:
    config = CONFIG._replace(kill_causes=("model_silent",))
    assert "kill" in [kind for _, kind in Watch(session(), MODEL, config).until(700)]
    assert "kill" not in [kind for _, kind in Watch(session(), sample(), config).until(2000)]


def test_all_durations_shrink_together() -> None:
    config = CONFIG.scaled(0.001)
    watch = Watch(session(), sample(), config, step=0.005)
    found = {kind: seconds for seconds, kind in watch.until(1)}
    assert found["kill"] == pytest.approx(0.61, abs=0.02)


def test_without_any_diagnostics_silence_is_still_reported() -> None:
    watch = Watch(session(), None, CONFIG)
    kinds = [kind for _, kind in watch.until(700)]
    assert kinds[0] == "stall"
    assert "kill" not in kinds


def test_a_bad_configuration_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="kill_grace"):
        StallDetector(WatchdogConfig(kill_grace=-1))


def test_a_finding_carries_numbers_and_no_content() -> None:
    state = tell(session(), tool(arguments=b'{"command":"echo SECRET"}'))
    state.stderr_tail.append("SECRET")
    finding = judge(state, sample(child("sleep")), 601)[0]
    assert "SECRET" not in repr(finding)
    assert finding.attributes["untether.stall.threshold"] == "tool"
    assert finding.attributes["untether.stall.open_calls"] == ("Bash",)
    assert finding.attributes["untether.stall.tree.connections"] == 0


def test_unknown_facts_are_absent_from_the_attributes() -> None:
    finding = judge(session(), sample(sockets=None, cpu=None), 301)[0]
    assert "untether.stall.tree.connections" not in finding.attributes
    assert "untether.stall.tree.cpu" not in finding.attributes


def test_a_gap_that_the_sampler_marked_discards_the_evidence() -> None:
    """The machine was suspended: its monotonic clock stood still, so only the mark tells."""
    watch = Watch(session(), sample(), CONFIG)
    watch.until(590)
    watch.look = sample(continuous=False)
    watch.until(595)
    watch.look = sample()
    assert "kill" not in [kind for _, kind in watch.until(890)]
    assert "kill" in [kind for _, kind in watch.until(910)]


def test_an_output_that_nobody_reads_is_our_own_fault_and_no_reason_to_kill() -> None:
    """What the agent said may be waiting in a pipe: its silence is not its own."""
    state, config = session(), CONFIG._replace(kill_causes=("wedged", "startup_hang"))
    window = [sample(at=float(a)) for a in range(0, 701, 5)]
    detector = StallDetector(config)
    found = [detector.tick(state, window, at(700 + i), blocked_since=at(1)) for i in range(5)]
    kinds = [(finding.kind, finding.cause) for finding in found if finding]
    assert kinds[0] == ("stall", "output_blocked")
    assert "kill" not in [kind for kind, _ in kinds]


def test_an_agent_that_ended_while_its_reader_was_slow_is_not_one_to_be_restarted() -> None:
    state = session()
    window = [sample(at=float(a), alive=False) for a in range(0, 701, 5)]
    assert StallDetector(CONFIG).tick(state, window, at(15), blocked_since=at(1)) is None
    found = StallDetector(CONFIG).tick(state, window, at(700), blocked_since=at(1))
    assert found is not None
    assert found.cause == "output_blocked"
