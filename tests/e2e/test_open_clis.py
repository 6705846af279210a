"""The real Pi, Gemini CLI, Qwen Code, OpenCode and Copilot CLI, below `otel-untether run`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import OURS, Session, attribute
from .open_clis import CLIS, SERVERS, Runs

pytestmark = pytest.mark.timeout(900)

NAMES = tuple(CLIS)
WITH_SUBAGENTS = tuple(name for name in NAMES if CLIS[name].agent is not None)
# What differs between any two runs: ids, times, directories, figures.
VARIES = re.compile(rb"[0-9a-fA-F]{8,}|[0-9]+|home/[a-z-]+")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    made = Runs(tmp_path_factory.mktemp("clis"), NAMES)
    yield made
    made.close()


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def worked(runs: Runs, name: str) -> Session:
    return runs.get("watched", name)


@pytest.fixture
def silent(runs: Runs, name: str) -> Session:
    return runs.get("silent", name)


def tools(session: Session) -> list[dict[str, Any]]:
    found = [s for s in session.spans if s["name"].startswith("execute_tool ")]
    return sorted(found, key=lambda span: int(span["startTimeUnixNano"]))


def kinds(session: Session) -> list[str]:
    """The kinds of its lines, in order, repeated ones once: how often a piece comes is chance."""
    found = [str(line.get("type")) for line in session.lines]
    return [kind for number, kind in enumerate(found) if found[number - 1 : number] != [kind]]


def test_its_bytes_and_status_are_as_without_us(runs: Runs, name: str, worked: Session) -> None:
    bare = runs.get("bare", name)
    assert bare.returncode == worked.returncode == 0
    assert set(kinds(worked)) == set(kinds(bare))
    assert worked.stdout.endswith(b"\n") == bare.stdout.endswith(b"\n")
    first, last = VARIES.sub(b"", bare.stdout[:80]), VARIES.sub(b"", bare.stdout[-80:])
    assert VARIES.sub(b"", worked.stdout[:80])[:30] == first[:30]
    assert VARIES.sub(b"", worked.stdout[-80:])[-20:] == last[-20:]


def test_it_is_known_and_understood_to_its_end(name: str, worked: Session) -> None:
    root = worked.root
    assert root["name"] == f"invoke_agent {name}"
    assert attribute(root, "untether.session.outcome") == "completed"
    assert attribute(root, "untether.session.turns") == 1
    assert attribute(root, "gen_ai.conversation.id")
    assert attribute(root, "untether.session.stray_lines") == 0
    assert attribute(root, "untether.session.oddities") is None


def test_a_command_that_fails_is_its_first_call(name: str, worked: Session) -> None:
    """Gemini CLI and OpenCode call a command that exits with 3 a success; OpenCode says the 3."""
    first = tools(worked)[0]
    assert first["name"] == f"execute_tool {CLIS[name].shell[0]}"
    failed = first["status"].get("code") == 2
    assert failed == (name != "gemini")
    assert attribute(first, "error.type") == ("3" if failed else None)


def test_its_chats_are_as_many_as_the_models_answers(name: str, worked: Session) -> None:
    """Those of the main agent: what a subagent asks is not printed, except by Copilot CLI."""
    root = worked.root["spanId"]
    main = [s for s in worked.spans if s["name"].startswith("chat") and s["parentSpanId"] == root]
    assert len(main) == (3 if name in WITH_SUBAGENTS else 2) + (name == "qwen")


def test_its_tokens_are_counted(worked: Session) -> None:
    """Copilot CLI prints none: they are in its own file."""
    assert attribute(worked.root, "gen_ai.usage.input_tokens") >= 2000


@pytest.mark.parametrize("name", WITH_SUBAGENTS)
def test_a_subagent_is_an_agent_below_its_call(worked: Session) -> None:
    agents = [
        s for s in worked.spans if s["name"].startswith("invoke_agent ") and s is not worked.root
    ]
    assert len(agents) == 1
    above = worked.parent(agents[0])
    assert above is not None
    assert above["name"].startswith("execute_tool ")


@pytest.mark.parametrize("name", WITH_SUBAGENTS)
@pytest.mark.parametrize("kind", ["watched", "spoken"])
def test_what_a_subagent_does_is_below_it(runs: Runs, name: str, kind: str) -> None:
    """None but Copilot CLI prints that: it is in the agents' own files."""
    session = runs.get(kind, name)
    shell = f"execute_tool {CLIS[name].shell[0]}"
    above = [session.parent(span) or {} for span in tools(session) if span["name"] == shell]
    assert len(above) == 2
    assert above[0] is session.root
    assert above[1]["name"].startswith("invoke_agent ")
    assert above[1] is not session.root


@pytest.mark.parametrize("kind", ["watched", "spoken"])
def test_no_call_and_no_answer_is_told_twice(runs: Runs, name: str, kind: str) -> None:
    spans = runs.get(kind, name).spans
    for told in ("gen_ai.tool.call.id", "gen_ai.response.id"):
        ids = [attribute(span, told) for span in spans if attribute(span, told)]
        assert len(ids) == len(set(ids))


class TestText:
    """It was asked for an answer, and prints that at its end."""

    @pytest.fixture
    def spoken(self, runs: Runs, name: str) -> Session:
        return runs.get("spoken", name)

    def test_what_would_show_more_is_said_once(self, name: str, spoken: Session) -> None:
        assert spoken.stderr.count(f"{name} says what it does only with") == 1
        assert spoken.returncode == 0
        assert b"Done." in spoken.stdout

    def test_its_own_files_tell_what_it_did(self, name: str, spoken: Session) -> None:
        root = spoken.root
        assert root["name"] == f"invoke_agent {name}"
        assert attribute(root, "untether.session.outcome") == "completed"
        assert attribute(root, "untether.session.turns") == 1
        assert attribute(root, "gen_ai.usage.input_tokens") >= 2000
        assert tools(spoken)[0]["name"] == f"execute_tool {CLIS[name].shell[0]}"

    def test_it_is_not_called_stalled(self, spoken: Session) -> None:
        assert attribute(spoken.root, "untether.session.stalled") is False


class TestTelemetryOfItsOwn:
    """What docs/native-telemetry.md says of each: whatever it has of telemetry is switched on."""

    def test_what_it_sends_is_in_traces_of_its_own(self, name: str, worked: Session) -> None:
        traces = {span["traceId"] for span in worked.theirs}
        assert worked.root["traceId"] not in traces
        assert bool(traces) == (name != "pi")

    def test_so_none_of_our_spans_is_left_out(self, worked: Session) -> None:
        ours = {span["spanId"]: span["name"] for span in worked.exported[OURS]}
        written = {span["spanId"]: span["name"] for span in worked.spans}
        assert ours == written
        assert "spans of its answers and calls join this trace" not in worked.stderr

    def test_it_sends_nothing_where_that_is_switched_off(self, runs: Runs, name: str) -> None:
        """Its environment has all that switches it on, and it is not told."""
        spoken = runs.get("spoken", name)
        assert spoken.exporters == {OURS}


class TestCopilotsOwnSpans:
    """Copilot CLI tells the same run by the GenAI conventions, too: the two accounts agree."""

    @pytest.fixture
    def name(self) -> str:
        return "copilot"

    def test_the_same_calls_below_the_same(self, worked: Session) -> None:
        assert chains(worked.spans) == chains(worked.theirs)
        assert len(chains(worked.spans)) == 3

    def test_as_many_answers_of_the_same_model_below_the_same(self, worked: Session) -> None:
        assert answers(worked.spans) == answers(worked.theirs)
        assert answers(worked.spans).total() == 5

    def test_the_same_tokens(self, worked: Session) -> None:
        for told in ("input_tokens", "output_tokens", "cache_read.input_tokens"):
            name = f"gen_ai.usage.{told}"
            chats = [s for s in worked.theirs if attribute(s, "gen_ai.operation.name") == "chat"]
            theirs = sum(attribute(chat, name) for chat in chats)
            assert attribute(worked.root, name) == theirs

    def test_each_call_when_it_was(self, worked: Session) -> None:
        """Its lines are written a little before or after what its spans time."""
        ours, theirs = by_call(worked.spans), by_call(worked.theirs)
        for call, span in theirs.items():
            for moment in ("startTimeUnixNano", "endTimeUnixNano"):
                assert abs(int(span[moment]) - int(ours[call][moment])) < 5e9
            assert int(span["startTimeUnixNano"]) < int(ours[call]["endTimeUnixNano"])
            assert int(ours[call]["startTimeUnixNano"]) < int(span["endTimeUnixNano"])

    def test_what_failed_is_at_least_what_it_calls_failed(self, worked: Session) -> None:
        """A command that exits with 3 is none to it."""
        ours, theirs = failed(worked.spans), failed(worked.theirs)
        assert theirs <= ours
        assert len(ours) == 1


def by_call(spans: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The spans of calls, by the call's id."""
    found = {attribute(span, "gen_ai.tool.call.id"): span for span in spans}
    return {call: span for call, span in found.items() if call is not None}


def chains(spans: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Of each call its tool, and what it lies below, up to the root."""
    return {call: chain(spans, span) for call, span in by_call(spans).items()}


def chain(spans: list[dict[str, Any]], span: dict[str, Any]) -> list[str]:
    """What a span is, and what is above it; what a root is called is for its maker to say."""
    by_id, names = {each["spanId"]: each for each in spans}, []
    node: dict[str, Any] | None = span
    while node is not None:
        above = by_id.get(node.get("parentSpanId", ""))
        kind = attribute(node, "gen_ai.operation.name")
        tool = attribute(node, "gen_ai.tool.name")
        below = kind == "invoke_agent" and above is not None
        agent = attribute(node, "gen_ai.agent.name") if below else None
        names.append(" ".join(filter(None, (kind, tool, agent))))
        node = above
    return names


def answers(spans: list[dict[str, Any]]) -> Counter[tuple[str, ...]]:
    """How many answers there are of each model, below what."""
    chats = [span for span in spans if attribute(span, "gen_ai.operation.name") == "chat"]
    models = {span["spanId"]: attribute(span, "gen_ai.request.model") for span in chats}
    return Counter((models[chat["spanId"]], *chain(spans, chat)) for chat in chats)


def failed(spans: list[dict[str, Any]]) -> set[str]:
    """The calls that failed."""
    found = by_call(spans).items()
    return {call for call, span in found if span.get("status", {}).get("code") == 2}


def test_a_model_that_falls_silent_is_named(silent: Session) -> None:
    assert silent.causes[-1] == "model_silent"
    assert "waiting for the model on 127.0.0.1:" in silent.stderr


def test_what_was_begun_ends_with_it(name: str, silent: Session) -> None:
    """However it ends by SIGTERM, or does not: its calls are closed, its root says how."""
    assert attribute(silent.root, "untether.session.outcome") in (
        "terminated",
        "failed",
        "completed",
    )
    assert [s["name"] for s in tools(silent)] == [f"execute_tool {CLIS[name].shell[0]}"]
    owed = [
        s for s in silent.spans if s["name"].startswith("chat") and s["status"].get("code") == 2
    ]
    assert len(owed) == 1


@pytest.mark.parametrize("name", SERVERS)
class TestAcpServer:
    """Two prompts to an ACP server, each with a command that leave is asked for.

    The second is left without an answer after that.
    """

    @pytest.fixture
    def served(self, runs: Runs, name: str) -> Session:
        return runs.get("served", name)

    def test_each_prompt_is_a_turn_of_that_engine(self, name: str, served: Session) -> None:
        assert served.root["name"] == f"invoke_agent {name}"
        turns = sorted(span["name"] for span in served.spans if span["name"].startswith("turn"))
        assert turns == ["turn 1", "turn 2"]
        assert attribute(served.root, "untether.session.turns") == 1

    def test_leave_is_asked_for_below_its_call(self, served: Session) -> None:
        waits = served.named("untether.wait approval")
        assert waits
        assert len(tools(served)) >= 2
        assert all(served.parent(wait) in tools(served) for wait in waits)

    def test_a_model_that_falls_silent_is_named_and_idleness_is_not(self, served: Session) -> None:
        assert served.causes[-1] == "model_silent"
        ((before,), (after,)) = served.named("turn 1"), served.named("turn 2")
        idle = range(int(before["endTimeUnixNano"]), int(after["startTimeUnixNano"]))
        for stall in served.named("untether.stall"):
            assert int(stall["endTimeUnixNano"]) not in idle


@pytest.mark.parametrize("name", SERVERS)
class TestSubagentsOfAnAcpServer:
    """A prompt by the protocol's own SDK: a command that fails, a subagent with one, an answer.

    What the protocol says of the subagent differs: the calls of Copilot CLI's and their words
    are told among the others', of the rest only that there is one. Qwen Code's works in the
    background, and wakes the main agent once it is done.
    """

    @pytest.fixture
    def delegated(self, runs: Runs, name: str) -> Session:
        return runs.get("delegated", name)

    def test_it_ends_as_its_client_is_told(self, delegated: Session) -> None:
        assert delegated.stdout.splitlines() == [b"MAINWORK end_turn"]
        assert attribute(delegated.root, "untether.session.outcome") == "completed"
        assert attribute(delegated.root, "untether.session.oddities") is None
        assert attribute(delegated.root, "untether.session.stray_lines") == 0

    def test_a_subagent_and_what_it_does_lie_below_its_call(
        self, name: str, delegated: Session
    ) -> None:
        shell = "execute" if name == "copilot" else CLIS[name].shell[0]  # it names kinds only
        first, second = [s for s in tools(delegated) if s["name"] == f"execute_tool {shell}"]
        assert (delegated.parent(first) or {}).get("name") == "turn 1"
        agent = delegated.parent(second) or {}
        assert agent["name"] == f"invoke_agent {SUBAGENTS[name]}"
        call = delegated.parent(agent) or {}
        assert call["name"] == f"execute_tool {(CLIS[name].agent or [])[0]}"
        assert (delegated.parent(call) or {}).get("name") == "turn 1"
        assert int(second["endTimeUnixNano"]) <= int(agent["endTimeUnixNano"])

    def test_whose_each_answer_was(self, name: str, delegated: Session) -> None:
        chats = [span for span in delegated.spans if span["name"].startswith("chat")]
        above = Counter((delegated.parent(chat) or {})["name"] for chat in chats)
        woken = {"turn 2": 1} if name == "qwen" else {}
        assert above == {"turn 1": 3, f"invoke_agent {SUBAGENTS[name]}": 2, **woken}

    def test_no_call_and_no_answer_is_told_twice(self, delegated: Session) -> None:
        for told in ("gen_ai.tool.call.id", "gen_ai.response.id"):
            ids = [attribute(s, told) for s in delegated.spans if attribute(s, told)]
            assert len(ids) == len(set(ids))

    def test_a_command_that_fails_has_its_status(self, name: str, delegated: Session) -> None:
        """Gemini CLI keeps it to itself."""
        told = None if name == "gemini" else "3"
        assert attribute(tools(delegated)[0], "error.type") == told

    def test_what_was_taken_is_counted_once(self, name: str, delegated: Session) -> None:
        """Of the main agent's answers, and of all where nothing but the answers tells."""
        answers = {"gemini": 3, "qwen": 4, "opencode": 5, "copilot": 5}[name]
        assert attribute(delegated.root, "gen_ai.usage.input_tokens") == 1000 * answers
        assert attribute(delegated.root, "gen_ai.usage.output_tokens") == 20 * answers


def test_of_several_subagents_at_once_each_has_its_own_calls(runs: Runs) -> None:
    """Copilot CLI's protocol names who made a call; its file, by which call that was started."""
    session = runs.get("several", "copilot")
    assert attribute(session.root, "untether.session.oddities") is None
    above: dict[str, list[str]] = {}
    for call in tools(session):
        if call["name"] == "execute_tool execute":
            agent = session.parent(call) or {}
            assert agent["name"] == "invoke_agent task"
            above.setdefault(agent["spanId"], []).append(call["spanId"])
    assert [len(calls) for calls in above.values()] == [2, 2]


SUBAGENTS = {
    "gemini": "generalist",
    "qwen": "general-purpose",
    "opencode": "general",
    "copilot": "task",
}
