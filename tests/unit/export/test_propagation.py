"""The trace context inherited and handed on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.export.propagation import (
    RootContext,
    child_environ,
    root_context,
    without_telemetry,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_without_ambient_context_a_trace_of_our_own_begins() -> None:
    """No TRACEPARENT: fresh, valid, sampled ids, and nothing to complain about."""
    root = root_context({})
    assert root.trace_id
    assert root.span_id
    assert (root.parent_span_id, root.trace_flags, root.problem) == (None, 1, None)
    assert root_context({}) != root


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        pytest.param(f"00-{TRACE}-{SPAN}-01", 1, id="sampled"),
        pytest.param(f"00-{TRACE}-{SPAN}-00", 0, id="not sampled"),
        pytest.param(f"00-{TRACE}-{SPAN}-03", 1, id="random flag is not passed on"),
        pytest.param(f" 00-{TRACE}-{SPAN}-01\n", 1, id="surrounding space"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01-what-comes-later", 1, id="future version"),
    ],
)
def test_a_valid_ambient_context_is_the_parent(value: str, flags: int) -> None:
    """The trace goes on, under the caller's span."""
    root = root_context({"TRACEPARENT": value})
    assert int(TRACE, 16) == root.trace_id
    assert int(SPAN, 16) == root.parent_span_id
    assert root.span_id != root.parent_span_id
    assert (flags, None) == (root.trace_flags, root.problem)


@pytest.mark.parametrize(
    "value",
    [
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
    ],
)
def test_a_bad_ambient_context_is_ignored_and_named(value: str) -> None:
    """A bad TRACEPARENT starts a new trace; the problem names the variable, not its value."""
    root = root_context({"TRACEPARENT": value, "TRACESTATE": "a=b"})
    assert (root.parent_span_id, root.tracestate) == (None, None)
    assert root.trace_id != int(TRACE, 16)
    assert root.problem is not None
    assert "TRACEPARENT" in root.problem
    assert "expected" in root.problem


@given(st.text(max_size=80))
def test_any_text_gives_a_usable_root(value: str) -> None:
    """Whatever the variable holds, there is a root."""
    root = root_context({"TRACEPARENT": value})
    assert 0 < root.trace_id < 1 << 128
    assert 0 < root.span_id < 1 << 64


def test_the_child_gets_our_root_and_nothing_else_changes() -> None:
    """TRACEPARENT is ours; BAGGAGE and all other variables are as they were."""
    before = {"PATH": "/bin", "BAGGAGE": "user=1", "EMPTY": ""}
    root = RootContext(int(TRACE, 16), int(SPAN, 16))
    assert before | {"TRACEPARENT": f"00-{TRACE}-{SPAN}-01"} == child_environ(before, root)
    assert "TRACEPARENT" not in before


@pytest.mark.parametrize("flags", ["00", "01"])
def test_the_child_inherits_the_callers_sampling_decision_and_state(flags: str) -> None:
    """Unsampled stays unsampled, and TRACESTATE travels with the trace."""
    ambient = {"TRACEPARENT": f"00-{TRACE}-{SPAN}-{flags}", "TRACESTATE": "vendor=x"}
    child = child_environ(ambient, root_context(ambient))
    assert child["TRACEPARENT"].startswith(f"00-{TRACE}-")
    assert child["TRACEPARENT"].endswith(f"-{flags}")
    assert SPAN not in child["TRACEPARENT"]
    assert child["TRACESTATE"] == "vendor=x"


def test_a_tracestate_without_its_trace_is_dropped() -> None:
    """TRACESTATE describes the trace it came with; a new trace has none."""
    ambient = {"TRACEPARENT": "bad", "TRACESTATE": "vendor=x"}
    assert "TRACESTATE" not in child_environ(ambient, root_context(ambient))


def test_importing_it_imports_no_opentelemetry() -> None:
    """It runs before the child is spawned, so it must cost nothing."""
    code = (
        "import sys, otel_untether.export.propagation;"
        "from otel_untether.store import runs, journal;"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'google', 'psutil'))])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert result.stdout.strip() == "[]"


def test_an_agent_whose_telemetry_is_off_is_told_nothing_of_it_and_all_else() -> None:
    ours = {"PATH": "/bin", "OTEL_UNTETHER_STATE_DIR": "/s", "CLAUDE_CONFIG_DIR": "/c"}
    theirs = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector",
        "OTEL_TRACES_EXPORTER": "otlp",
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "GEMINI_TELEMETRY_ENABLED": "true",
        "QWEN_TELEMETRY_ENABLED": "true",
        "COPILOT_OTEL_ENABLED": "true",
    }
    assert without_telemetry(ours | theirs) == ours | {"OTEL_SDK_DISABLED": "true"}
    assert without_telemetry({b"OTEL_X": b"1", b"A": b"\xff"}) == {
        b"A": b"\xff",
        "OTEL_SDK_DISABLED": "true",
    }
