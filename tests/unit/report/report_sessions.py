"""Run folders made by hand: what a session leaves behind, in OTLP-JSON."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from otel_untether.report.span_reader import SpanReader
from otel_untether.report.span_tree import tree

if TYPE_CHECKING:
    from pathlib import Path

    from otel_untether.report.span_node import SpanNode

START = 1_795_000_000_000_000_000
SECOND = 1_000_000_000


def at(seconds: float) -> int:
    """Return a moment of the session, in ns since the epoch."""
    return START + round(seconds * SECOND)


def any_value(value: Any) -> dict[str, Any]:
    """Encode an attribute's value as OTLP-JSON does."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, tuple):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    return {"stringValue": str(value)}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Encode attributes as OTLP-JSON does."""
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


@dataclass
class Session:
    """A session under construction; times are seconds from its start."""

    spans: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    _ids: count[int] = field(default_factory=lambda: count(1))

    def span(
        self,
        name: str,
        start: float,
        end: float | None,
        parent: str | None = "root",
        *,
        error: str | None = None,
        span_id: str | None = None,
        **attributes: Any,
    ) -> str:
        """Add a span and return its id."""
        span_id = span_id or f"{next(self._ids):016x}"
        given = {key.replace("__", "."): value for key, value in attributes.items()}
        if error:
            given["error.type"] = error
        self.spans.append(
            {
                "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                "spanId": span_id,
                **({"parentSpanId": parent} if parent else {}),
                "name": name,
                "kind": 1,
                "startTimeUnixNano": str(at(start)),
                **({"endTimeUnixNano": str(at(end))} if end is not None else {}),
                "attributes": pairs(given),
                "status": {"code": 2, "message": error} if error else {},
            }
        )
        return span_id

    def root(self, end: float | None, *, error: str | None = None, **attributes: Any) -> str:
        """Add the session's own span."""
        given = {"untether__engine": "claude", "untether__run__id": "5f0c1d2e3a4b5c6d"}
        span_id = self.span(
            "invoke_agent claude", 0, end, None, error=error, span_id="root", **(given | attributes)
        )
        self.spans[-1]["events"] = self.events
        return span_id

    def chat(self, start: float, end: float, parent: str = "root", **attributes: Any) -> str:
        """Add a model's answer."""
        return self.span("chat opus", start, end, parent, **attributes)

    def tool(
        self, name: str, start: float, end: float | None, parent: str = "root", **attributes: Any
    ) -> str:
        """Add a tool call."""
        attributes["gen_ai__tool__name"] = name
        return self.span(f"execute_tool {name}", start, end, parent, **attributes)

    def agent(self, name: str, start: float, end: float | None, parent: str) -> str:
        """Add a subagent."""
        return self.span(f"invoke_agent {name}", start, end, parent, gen_ai__agent__name=name)

    def stall(self, start: float, end: float, cause: str, number: int = 1) -> str:
        """Add a stall warning."""
        return self.span(
            "untether.stall",
            start,
            end,
            error=cause,
            untether__stall__cause=cause,
            untether__stall__idle_s=end - start,
            untether__stall__number=number,
            untether__stall__evidence=("one silent connection, last byte 4 min ago",),
        )

    def event(self, name: str, when: float, **attributes: Any) -> None:
        """Note something on the session's own span."""
        given = {key.replace("__", "."): value for key, value in attributes.items()}
        event = {"name": name, "timeUnixNano": str(at(when)), "attributes": pairs(given)}
        self.events.append(event)

    def lines(self) -> list[str]:
        """Encode each span as an export of its own."""
        return [
            json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
            for span in self.spans
        ]

    def write(self, folder: Path, record: dict[str, Any] | None = None) -> Path:
        """Write the run's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "traces.jsonl").write_text("\n".join(self.lines()) + "\n")
        run = {"run_id": "5f0c1d2e3a4b5c6d", "started": START, "ended": at(1), "engine": "claude"}
        (folder / "run.json").write_text(json.dumps(run | (record or {})))
        return folder


def nodes_of(text: str) -> list[SpanNode]:
    """Read the spans in some lines of OTLP-JSON."""
    return list(SpanReader().nodes(text.encode()))


def tree_of(session: Session) -> SpanNode:
    """Read a session made by hand."""
    root = tree(nodes_of("\n".join(session.lines())))
    assert root is not None
    return root


def healthy() -> Session:
    """Ten seconds of work: parallel reads, a failing command, two subagents at once."""
    session = Session()
    session.root(
        10,
        gen_ai__request__model="opus",
        untether__session__outcome="completed",
        untether__session__turns=5,
        gen_ai__usage__input_tokens=48210,
        gen_ai__usage__output_tokens=1800,
        gen_ai__usage__cache_read__input_tokens=40100,
        untether__session__cost_usd=0.0412,
    )
    session.chat(0, 1)
    session.tool("Bash", 1, 2.2)
    session.chat(2.2, 3)
    session.tool("Read", 3, 3.1)
    session.tool("Read", 3, 3.2, error="tool_error")
    session.chat(3.2, 4)
    session.tool("Bash", 4, 4.4, error="3", process__exit__code=3)
    session.chat(4.4, 5)
    for name, end in (("Explore", 8.5), ("general-purpose", 9.4)):
        call = session.tool("Agent", 5, end)
        agent = session.agent(name, 5, end, call)
        session.chat(5, 6, agent)
        session.tool("Grep", 6, 6.3, agent)
        session.tool("mcp__github__search_issues", 6.3, end - 0.5, agent)
        session.chat(end - 0.5, end, agent)
    session.chat(9.4, 10)
    return session


def long(calls: int = 300, seed: int = 7) -> Session:
    """Hours of work: many calls, some failing, two subagents, a wait, a stall in the middle."""
    chance = random.Random(seed)
    session, now = Session(), 0.0
    for number in range(calls):
        answer = chance.uniform(1, 12)
        session.chat(now, now + answer)
        now += answer
        if number in (calls // 3, calls // 2):
            took = chance.uniform(100, 400)
            call = session.tool("Agent", now, now + took)
            agent = session.agent("Explore", now, now + took, call)
            for step in range(20):
                part = took / 20
                session.tool("Grep", now + step * part, now + (step + 0.6) * part, agent)
        elif number == calls * 2 // 3:
            took = 700.0
            session.stall(now, now + 300, "model_silent")
            session.stall(now, now + 480, "model_silent", 2)
            session.chat(now, now + took)
        else:
            took = chance.expovariate(0.2)
            name = chance.choice(("Bash", "Bash", "Read", "Read", "Read", "Edit", "Grep"))
            if chance.random() < 0.03:
                session.tool(name, now, now + took, error="1", process__exit__code=1)
            else:
                session.tool(name, now, now + took)
        if number == calls // 4:
            session.span("untether.wait approval", now, now + 95, untether__wait__kind="approval")
            took = max(took, 95)
        now += took
    session.root(now, untether__session__outcome="failed", error="model_silent")
    return session


def stalled() -> Session:
    """A session that fell silent, was warned about three times and then killed."""
    session = Session()
    session.chat(0, 4)
    session.tool("Bash", 4, 9)
    session.chat(9, 700, error="killed")
    for number, end in enumerate((310, 490, 670), 1):
        session.stall(10, end, "wedged", number)
    session.event("untether.stall.warning", 310, untether__stall__cause="wedged")
    session.event("untether.kill.decided", 690, untether__stall__cause="wedged")
    session.root(700, error="wedged", untether__session__outcome="killed")
    return session


def samples(seconds: int, step: float) -> str:
    """Write samples of a process tree, some of them unknown."""
    lines = []
    for index in range(int(seconds / step)):
        moment = index * step
        lines.append(
            json.dumps(
                {
                    "t": at(moment),
                    "cpu": None if index % 17 == 3 else abs((moment % 4) - 2) / 2,
                    "rss": 100_000_000 + int(moment * 20_000_000),
                    "tcp": 1 + (moment > seconds / 2),
                    "output": int(moment * 3000),
                }
            )
        )
    return "\n".join(lines) + "\n"
