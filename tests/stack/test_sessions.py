"""Real sessions in the real Jaeger, while they run and after they ended."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from scripts.stack.backends import Stack, eventually

if TYPE_CHECKING:
    from tests.stack.agents import Runner, Session

ROOT_SPAN = "invoke_agent claude"


def named(spans: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [span for span in spans if span["name"] == name]


def stalls(stack: Stack, session: Session, cause: str) -> list[dict[str, Any]]:
    """Return the stalls of a session that have this cause: a busy machine may make others."""
    found = named(stack.spans_of(session.service), "untether.stall")
    return [span for span in found if span["attributes"]["untether.stall.cause"] == cause]


def ended(stack: Stack, session: Session) -> list[dict[str, Any]]:
    """Return the spans of a session whose root has arrived, which is the last to."""

    def complete() -> list[dict[str, Any]]:
        spans = stack.spans_of(session.service)
        return spans if named(spans, ROOT_SPAN) else []

    spans: list[dict[str, Any]] = eventually("the root span is in Jaeger", complete)
    return spans


def assert_sound(spans: list[dict[str, Any]]) -> None:
    """One trace, no span twice, parents present and around their children, nothing to warn of."""
    by_id = {span["spanId"]: span for span in spans}
    assert len(by_id) == len(spans)
    assert len({span["traceId"] for span in spans}) == 1
    (root,) = [span for span in spans if not span.get("parentSpanId")]
    assert root["name"] == ROOT_SPAN
    for span in spans:
        assert span["warnings"] == [], span["name"]
        parent = by_id[span.get("parentSpanId") or root["spanId"]]
        assert int(parent["startTimeUnixNano"]) <= int(span["startTimeUnixNano"]), span["name"]
        assert int(span["endTimeUnixNano"]) <= int(parent["endTimeUnixNano"]), span["name"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_healthy_session_is_one_sound_trace(stack: Stack, runner: Runner, protocol: str) -> None:
    session = runner.run(protocol=protocol)
    assert session.process.returncode == 0
    spans = ended(stack, session)
    assert_sound(spans)
    (root,) = named(spans, ROOT_SPAN)
    assert root["attributes"]["untether.session.outcome"] == "completed"
    assert root["attributes"]["process.exit.code"] == 0
    assert root["attributes"]["gen_ai.operation.name"] == "invoke_agent"
    assert root["resource"]["service.instance.id"] == root["attributes"]["untether.run.id"]
    assert root["resource"]["host.name"]
    kinds = Counter(span["name"].split()[0] for span in spans)
    assert kinds["execute_tool"] >= 4
    assert kinds["chat"] >= 3
    assert kinds["untether.session.started"] == 1


def test_subagents_hang_under_the_tool_that_started_them(stack: Stack, runner: Runner) -> None:
    spans = ended(stack, runner.run())
    by_id = {span["spanId"]: span for span in spans}
    subagents = [
        s for s in spans if s["name"].startswith("invoke_agent ") and s.get("parentSpanId")
    ]
    assert len(subagents) == 2
    assert {by_id[s["parentSpanId"]]["name"] for s in subagents} == {"execute_tool Agent"}
    parents = Counter(span.get("parentSpanId") for span in spans)
    assert all(parents[subagent["spanId"]] >= 1 for subagent in subagents)


def test_a_failed_tool_is_an_error_with_its_exit_code(stack: Stack, runner: Runner) -> None:
    spans = ended(stack, runner.run())
    (failed,) = [s for s in spans if s["status"].get("code") == 2]
    assert failed["name"] == "execute_tool Bash"
    assert failed["attributes"]["process.exit.code"] != 0
    assert failed["attributes"]["error.type"]


def test_no_content_arrives_unasked(stack: Stack, runner: Runner) -> None:
    for span in ended(stack, runner.run()):
        assert "gen_ai.tool.call.arguments" not in span["attributes"]
        assert "gen_ai.tool.call.result" not in span["attributes"]


def test_a_stall_is_in_jaeger_while_the_session_is_still_silent(
    stack: Stack, runner: Runner
) -> None:
    session = runner.start("--stall", "model")
    (stall, *_) = eventually(
        "the stall is in Jaeger", lambda: stalls(stack, session, "model_silent")
    )
    assert session.process.poll() is None
    spans = stack.spans_of(session.service)
    assert named(spans, "untether.session.started")
    assert not named(spans, ROOT_SPAN)
    assert stall["status"]["code"] == 2
    assert stall["attributes"]["untether.stall.evidence"]
    assert not any(key.startswith("gen_ai.") for key in stall["attributes"])

    session.end()
    spans = ended(stack, session)
    assert_sound(spans)
    (root,) = named(spans, ROOT_SPAN)
    assert root["attributes"]["untether.session.stalled"] is True
    assert root["attributes"]["untether.session.outcome"] == "terminated"


@pytest.mark.parametrize(
    ("freeze", "cause"),
    [("wedged", "wedged"), ("spin", "spinning"), ("tool", "tool_hung")],
)
def test_every_freeze_is_named(stack: Stack, runner: Runner, freeze: str, cause: str) -> None:
    session = runner.start("--stall", freeze)
    eventually("the stall is in Jaeger by its name", lambda: stalls(stack, session, cause))


def test_a_pending_approval_is_no_stall(stack: Stack, runner: Runner) -> None:
    """A session that starts later and stalls is told first: the other had time enough."""
    asking = runner.start("--stall", "approval")
    eventually("it is in Jaeger", lambda: stack.spans_of(asking.service))
    silent = runner.start("--stall", "model")
    eventually("two stalls are in Jaeger", lambda: len(stalls(stack, silent, "model_silent")) >= 2)
    assert not named(stack.spans_of(asking.service), "untether.stall")


def test_a_wedged_session_is_killed_where_that_was_asked_for(stack: Stack, runner: Runner) -> None:
    session = runner.run("--stall", "wedged", OTEL_UNTETHER_STALL_AUTO_KILL="true")
    spans = ended(stack, session)
    assert_sound(spans)
    (root,) = named(spans, ROOT_SPAN)
    assert root["attributes"]["untether.session.outcome"] == "killed"
    assert root["status"]["code"] == 2
    happened = sorted(root["events"], key=lambda event: int(event["timeUnixNano"]))
    names = [event["name"] for event in happened if event["name"].startswith("untether.kill.")]
    # On a busy machine it is spared for a while: what is about to run may go on.
    names = list(itertools.dropwhile("untether.kill.vetoed".__eq__, names))
    assert names[0] == "untether.kill.decided"
    assert names[-1] == "untether.kill.completed"
