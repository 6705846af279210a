from __future__ import annotations

from collections.abc import Mapping

import pytest

from otel_untether import semconv
from otel_untether.session.events import McpServer, Usage
from otel_untether.session.outcome import Outcome
from otel_untether.session.state import SessionState
from otel_untether.session.summary import Summary, summarise
from otel_untether.session.traits import Traits

S = 10**9


def summary(
    engine: str = "claude",
    outcome: Outcome | None = None,
    extra: Mapping[str, int] | None = None,
) -> Summary:
    state = SessionState("run", started=0, engine=engine)
    state.events = 0 if engine == "unknown" else 9
    state.turns, state.tools, state.tool_errors = 2, 5, 1
    state.usage, state.cost_usd = Usage(input=1200, output=34), 0.25
    outcome = outcome or Outcome("completed")
    return summarise(state, outcome, 0, 90 * S, extra or {}, executable="agent")


def test_one_line_says_it_all() -> None:
    extra = {semconv.PEAK_RSS: 300 * 2**20, semconv.STALL_COUNT: 1}
    assert summary(outcome=Outcome("killed", "wedged"), extra=extra).text() == (
        "claude killed (wedged), in 1 min 30 s, 2 turns, 5 tools (1 failed), "
        "1,200 tokens in, 34 out, $0.2500, peak 300 MiB, 1 stall warning"
    )


def test_a_process_that_is_no_known_engine_is_called_by_its_name() -> None:
    assert summary("unknown").text().startswith("agent completed, in 1 min 30 s, 1,200 tokens")


@pytest.mark.parametrize("engine", ["claude", "unknown"])
def test_what_nobody_understood_has_no_counts(engine: str) -> None:
    """None is not nought: a text, a terminal, a format that nobody knows."""
    state = SessionState("run", started=0, engine=engine)
    state.events = state.stray_lines = 7
    told = summarise(state, Outcome("completed"), 0, 9 * S, {}, executable="agent")
    assert (told.turns, told.tools, told.tool_errors) == (None, None, None)
    assert told.text().endswith("completed, in 9 s")
    assert not {semconv.TURNS, semconv.TOOLS, semconv.TOOL_ERRORS} & set(told.attributes())


def test_one_document_at_the_end_tells_turns_and_no_tools() -> None:
    state = SessionState("run", 0, traits=Traits(silent_until_done=True), turns=3)
    state.events = 1
    told = summarise(state, Outcome("completed"), 0, 9 * S, {})
    assert (told.turns, told.tools) == (3, None)


def test_what_is_unknown_is_absent() -> None:
    state = SessionState("run", started=0)
    attributes = summarise(state, Outcome("unknown"), None, S, {}).attributes()
    absent = (semconv.COST_USD, semconv.INPUT_TOKENS, semconv.PROCESS_EXIT_CODE)
    assert not set(absent) & set(attributes)


def test_what_should_not_happen_is_told_with_how_often() -> None:
    state = SessionState("run", started=0)
    for what in ("result_without_call", "not_json", "not_json"):
        state.odd(what)
    attributes = summarise(state, Outcome("unknown"), None, S, {}).attributes()
    assert attributes[semconv.ODDITIES] == ["not_json 2", "result_without_call 1"]


def test_servers_that_did_not_connect_are_named() -> None:
    state = SessionState("run", started=0)
    states = {"a": "connected", "b": "failed", "c": "needs-auth", "d": "pending"}
    state.mcp_servers = tuple(McpServer(name=name, status=word) for name, word in states.items())
    told = summarise(state, Outcome("completed"), 0, 9 * S, {}).attributes()
    assert told[semconv.MCP_FAILED] == ("b", "c")
