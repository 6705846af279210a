"""The real Claude Agent SDK with the real Claude Code, against a scripted model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ISOLATED, namespace
from tests.support.effort import effort

from .environments import EXAMPLES, environment, site
from .told import Told, decoded

pytestmark = pytest.mark.timeout(900)  # an environment may have to be made first
HOST = Path(__file__).with_name("claude_sdk_host.py")
SDK = "claude-agent-sdk==0.2.189"
HOOK_SECONDS = effort(2, 40)
BESIDE = "openinference-instrumentation-claude-agent-sdk==0.1.22"


def bash(command: str) -> list[Any]:
    return ["Bash", {"command": command, "description": "a command"}]


def agent(prompt: str) -> list[Any]:
    arguments = {"description": "delegate", "prompt": prompt, "subagent_type": "general-purpose"}
    return ["Agent", {**arguments, "run_in_background": False}]


SCRIPTS = {
    "sum": [{"tools": [["mcp__sums__add", {"a": 17, "b": 4}]]}, {"text": "It is 21."}],
    "work": [
        {"text": "First.", "tools": [bash("touch x; sleep 1")]},
        {"tools": [["mcp__own__add", {"a": 1, "b": 2}]]},
        {"text": "done"},
    ],
    "query": [
        {"tools": [["mcp__own__add", {"a": -1, "b": -2}]]},
        {"text": "done"},
    ],
    "interrupt": [{"text": "First.", "tools": [bash("touch x; sleep 60")]}, {"text": "done"}],
    "delegate": [{"tools": [agent("SUBONE go"), agent("SUBTWO go")]}, {"text": "done"}],
}
BELOW = {  # what subagents are asked, and do
    "SUBONE": [{"text": "Counting.", "tools": [bash("sleep 1; ls")]}, {"text": "1"}],
    "SUBTWO": [{"tools": [bash("exit 3")]}, {"text": "2"}],
}


class Ran(Told):
    """What a program on the SDK left; `messages` are the kinds of what it received."""

    @property
    def messages(self) -> list[str]:
        return [json.loads(line)["message"] for line in self.lines if line.startswith("{")]

    def ways_up(self, name: str) -> set[tuple[str, ...]]:
        """Return what is above the spans of a name, up to the agent's tool, from there down."""
        ways = set()
        for span in self.named(name):
            way = [span]
            while not way[0]["name"].startswith("execute_tool") and way[0]["parent_id"]:
                way.insert(0, self.by_id[way[0]["parent_id"]])
            ways.add(tuple(span["name"] for span in way))
        return ways


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("site"))


def run(
    home: Path, ours: Path, scenario: str, *more: str, host: Path = HOST, **environ: str
) -> Ran:
    """Run a program with a scenario, in an environment with `more` packages."""
    (home / "project").mkdir()
    script = home / "script.json"
    script.write_text(json.dumps({"MAINWORK": SCRIPTS[scenario], **BELOW}))
    python = environment(SDK, *more)
    env = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ours),
        "PROJECT": str(home / "project"),
        "IS_SANDBOX": "1",
        "ANTHROPIC_BASE_URL": "{url}",
        "ANTHROPIC_API_KEY": "sk-fake-0",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "HOOK_SECONDS": str(HOOK_SECONDS),
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        **environ,
    }
    launcher = python.with_name("opentelemetry-instrument")
    command = [*namespace(), sys.executable, str(ISOLATED), str(script), "env", "-i"]
    command += [f"{key}={value}" for key, value in env.items()]
    command += [
        str(launcher),
        str(python),
        str(host),
        scenario if host == HOST else "MAINWORK please",
    ]
    ran = subprocess.run(
        command, cwd=home / "project", capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return Ran(decoded(ran.stdout), ran.stderr, ran.stdout)


@pytest.fixture(scope="module")
def worked(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Hooks take longer than silence may."""
    return run(
        tmp_path_factory.mktemp("worked"),
        ours,
        "work",
        OTEL_UNTETHER_STALL_TIMEOUT=str(HOOK_SECONDS / 2),
        OTEL_UNTETHER_SAMPLE_INTERVAL="0.2",
    )


def test_both_prompts_are_turns_of_one_session(worked: Ran) -> None:
    (root,) = worked.named("invoke_agent claude")
    assert root["attributes"]["untether.session.outcome"] == "completed"
    assert [worked.above(worked.named(f"turn {n}")[0])["name"] for n in (1, 2)] == [
        root["name"]
    ] * 2
    assert len(worked.named("execute_tool Bash")) == 1


def test_what_the_host_is_asked_are_waits_until_it_answers(worked: Ran) -> None:
    hooks = [
        span
        for span in worked.named("untether.wait host")
        if span["attributes"]["untether.wait.about"] == "PreToolUse"
    ]
    assert {worked.above(span)["name"] for span in hooks} == {
        "execute_tool Bash",
        "execute_tool mcp__own__add",
    }
    assert all(seconds(span) > HOOK_SECONDS * 0.9 for span in hooks)
    (approval, _) = worked.named("untether.wait approval")
    assert approval["attributes"]["untether.wait.answer"] == "allow"


@pytest.mark.soak
def test_while_the_host_is_asked_nothing_stalls(worked: Ran) -> None:
    asked = worked.named("untether.wait host")
    assert max(map(seconds, asked)) > HOOK_SECONDS * 0.9
    for wait in asked:
        during = [
            stall
            for stall in worked.named("untether.stall")
            if wait["start_time"] < stall["end_time"] < wait["end_time"]
        ]
        assert not during


def test_the_programs_own_tools_are_tools(worked: Ran) -> None:
    (tool,) = worked.named("execute_tool mcp__own__add")
    assert tool["attributes"]["gen_ai.tool.type"] == "function"
    served = [
        worked.above(span)["name"]
        for span in worked.named("untether.wait host")
        if span["attributes"]["untether.wait.about"] == "mcp:own"
    ]
    assert tool["name"] in served
    assert seconds(tool) > HOOK_SECONDS * 0.9


def test_what_the_program_does_meanwhile_is_under_what_waits_for_it(worked: Ran) -> None:
    tools = ("execute_tool Bash", "execute_tool mcp__own__add")
    hook, leave = "the program's hook", "the program's leave"
    assert worked.ways_up(hook) == {(tool, "untether.wait host", hook) for tool in tools}
    assert worked.ways_up(leave) == {(tool, "untether.wait approval", leave) for tool in tools}
    (way,) = worked.ways_up("the program's tool")
    assert way[:2] == ("execute_tool mcp__own__add", "untether.wait host")


def test_a_turn_is_linked_to_the_span_in_which_it_was_asked_for(worked: Ran) -> None:
    for turn, asked in (("turn 1", "first request"), ("turn 2", "second request")):
        (span,), (request,) = worked.named(turn), worked.named(asked)
        (link,) = span["links"]
        assert link["context"]["span_id"] == request["context"]["span_id"]


@pytest.fixture(scope="module")
def queried(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A `query()`, in an environment in which OpenInference instruments the SDK as well."""
    return run(tmp_path_factory.mktemp("queried"), ours, "query", BESIDE)


def test_a_query_is_seen_as_a_client_is(queried: Ran) -> None:
    (root,) = queried.named("invoke_agent claude")
    assert root["attributes"]["untether.session.outcome"] == "completed"
    (way,) = queried.ways_up("the program's tool")
    assert way[:2] == ("execute_tool mcp__own__add", "untether.wait host")
    assert queried.messages[-1] == "ResultMessage"


def test_what_a_tool_fails_of_is_told_by_its_kind_alone(queried: Ran) -> None:
    (tool,) = queried.named("execute_tool mcp__own__add")
    told = [e["attributes"] for e in tool["events"] if e["name"] == "exception"]
    assert told == [{"exception.type": "ArithmeticError"}]
    ours = [span for span in queried.spans if "openinference.span.kind" not in span["attributes"]]
    assert "a secret" not in json.dumps(ours)


def test_beside_another_instrumentation_nothing_of_ours_is_there_twice(queried: Ran) -> None:
    (theirs,) = queried.named("ClaudeAgentSDK.query")
    (root,) = queried.named("invoke_agent claude")
    assert queried.above(root)["name"] == theirs["name"]
    assert len(queried.named("execute_tool mcp__own__add")) == 1
    counted = [s["name"] for s in queried.spans if "gen_ai.usage.input_tokens" in s["attributes"]]
    assert not [name for name in counted if name.startswith("ClaudeAgentSDK")]


def test_the_example_shows_its_own_tool_in_the_agents_trace(ours: Path, tmp_path: Path) -> None:
    ran = run(tmp_path, ours, "sum", host=EXAMPLES / "claude_agent_sdk_host.py")
    assert "It is 21." in ran.printed
    (tool,) = ran.named("execute_tool mcp__sums__add")
    assert tool["attributes"]["gen_ai.tool.type"] == "function"
    (wait,) = ran.named("untether.wait approval")
    assert wait["attributes"]["untether.wait.answer"] == "allow"


RESTORED = """\
import claude_agent_sdk as sdk
from claude_agent_sdk._internal.client import InternalClient
from claude_agent_sdk._internal.query import Query
from otel_untether.instrumentors import ClaudeAgentSdkInstrumentor

KINDS = (sdk.ClaudeSDKClient, InternalClient, Query, sdk.SdkMcpTool)

def there():
    return [dict(vars(kind)) for kind in KINDS]

before, instrumentor = there(), ClaudeAgentSdkInstrumentor()
for _ in range(2):
    instrumentor.instrument()
    instrumentor.instrument()
    assert there() != before
    instrumentor.uninstrument()
    assert there() == before
"""


def test_what_was_wrapped_is_given_back(ours: Path) -> None:
    command = [str(environment(SDK)), "-c", RESTORED]
    ran = subprocess.run(
        command, env={"PYTHONPATH": str(ours)}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_the_program_receives_what_it_would_without_us(
    worked: Ran, ours: Path, tmp_path: Path
) -> None:
    bare = run(tmp_path, ours, "work", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="*")
    assert not bare.named("invoke_agent claude")
    assert bare.messages == worked.messages


BROKEN = {
    "claims": ["opened"],
    "callbacks": ["_span", "_failed"],
    "claude_agent_sdk": ["_with_options", "_overheard", "_addressed", "_executing"],
}


def test_mistakes_of_ours_change_nothing_for_the_program(
    worked: Ran, ours: Path, tmp_path: Path
) -> None:
    broken = ",".join(f"{module}:{name}" for module, names in BROKEN.items() for name in names)
    ran = run(tmp_path, ours, "work", BROKEN=broken)
    assert ran.messages == worked.messages
    assert "a mistake of otel-untether" in ran.said


def test_what_subagents_do_is_below_them(ours: Path, tmp_path: Path) -> None:
    """The program's hook may be asked before the stream tells of a subagent's call."""
    ran = run(tmp_path, ours, "delegate")
    (root,) = ran.named("invoke_agent claude")
    assert root["attributes"]["untether.session.outcome"] == "completed"
    agents = ran.named("invoke_agent general-purpose")
    assert len(agents) == len(ran.named("execute_tool Agent")) == 2
    assert {ran.above(one)["name"] for one in agents} == {"execute_tool Agent"}
    shells = ran.named("execute_tool Bash")
    assert {ran.above(shell)["context"]["span_id"] for shell in shells} == {
        one["context"]["span_id"] for one in agents
    }
    hooks = ran.named("the program's hook")
    assert len(hooks) == len(agents) + len(shells)
    assert {ran.above(hook)["name"] for hook in hooks} == {"untether.wait host"}
    above = [ran.above(ran.above(hook)) for hook in hooks]
    asked = [one for one in above if one["name"] != "execute_tool Agent"]
    assert len(asked) == len(shells)
    # Each is about the call of another subagent.
    whose = [one if one in agents else ran.above(one) for one in asked]
    assert sorted(one["context"]["span_id"] for one in whose) == sorted(
        one["context"]["span_id"] for one in agents
    )


def test_an_interrupted_run_says_so(ours: Path, tmp_path: Path) -> None:
    ran = run(tmp_path, ours, "interrupt")
    (root,) = ran.named("invoke_agent claude")
    assert root["attributes"]["untether.session.outcome"] == "interrupted"
    (tool,) = ran.named("execute_tool Bash")
    assert tool["attributes"]["error.type"] == "interrupted"
    assert "untether.host.interrupt" in [event["name"] for event in root["events"]]


def seconds(span: dict[str, Any]) -> float:
    began, over = (datetime.fromisoformat(span[key]) for key in ("start_time", "end_time"))
    return (over - began).total_seconds()
