from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.engines import registry
from otel_untether.engines.parsing import names
from otel_untether.session.events import (
    McpServer,
    ModelMessage,
    SessionStarted,
    ToolFinished,
    ToolStarted,
)
from otel_untether.session.redaction import redact
from otel_untether.session.secret_patterns import FORMATS

KEY = "sk-ant-" + "api03-" + "A1b2C3d4" * 5


def test_an_ordinary_event_passes_as_it_is() -> None:
    event = ToolStarted(at=1, id="toolu_01AbC", name="mcp__github__create_issue", parent="call_9")
    assert names.clean(event) is event


@pytest.mark.parametrize("field", ["name", "mcp_server", "subagent", "parent"])
def test_a_secret_is_no_name(field: str) -> None:
    fields: dict[str, Any] = {"at": 1, "id": "1", "name": "Bash", field: f"run {KEY}"}
    event = names.clean(ToolStarted(**fields))
    assert "A1b2C3d4" not in str(event)


def test_a_long_name_is_cut_and_says_so() -> None:
    (event,) = map(names.clean, [ModelMessage(at=1, model="m" * 10_000_000)])
    assert isinstance(event, ModelMessage)
    assert event.model == "m" * 127 + "…"


def test_what_steers_a_terminal_is_replaced() -> None:
    event = names.clean(ToolFinished(at=1, id="a", error="\x1b]0;x\x07\u202egpj\x9b2J\nb"))
    assert isinstance(event, ToolFinished)
    assert event.error == "\ufffd]0;x\ufffd\ufffdgpj\ufffd2J\ufffdb"


def test_two_ids_that_were_cut_or_redacted_still_differ() -> None:
    long, secret = "x" * 200, "sk-ant-" + "A" * 40
    assert names.identity(long + "1") != names.identity(long + "2")
    assert names.identity(secret + "1") != names.identity(secret + "2")
    assert names.identity(long) == names.identity(long)


def test_a_list_of_names_is_bounded() -> None:
    servers = tuple(McpServer(name=f"{i}\x00") for i in range(1000))
    event = names.clean(SessionStarted(at=1, tools=(KEY,) * 1000, mcp_servers=servers))
    assert isinstance(event, SessionStarted)
    assert len(event.tools) == len(event.mcp_servers) == names.MOST
    assert "A1b2C3d4" not in str(event)
    assert event.mcp_servers[0].name == "0\ufffd"


@given(st.text())
def test_any_text_becomes_a_short_line_that_can_be_printed(text: str) -> None:
    made = names.identity(text)
    assert len(made) <= names.LONGEST
    assert made.isprintable()
    assert names.identity(made) == made or len(made) == names.LONGEST


def test_every_decoder_is_cleaned() -> None:
    line = (
        b'{"type":"assistant","message":{"id":"m","content":[{"type":"tool_use","id":"t",'
        b'"name":"\\u001b[2J%s","input":{}}]}}' % KEY.encode()
    )
    events = registry.get("claude").decode(line, 1)
    (tool,) = (event for event in events if isinstance(event, ToolStarted))
    assert tool.name == "\ufffd[2J[redacted]" or tool.name == "[redacted]"


def test_what_was_seen_fit_is_no_excuse_for_what_was_not() -> None:
    fit = ToolStarted(at=1, id="toolu_01", name="Bash", parent="call_9")
    assert names.clean(fit) is fit
    event = names.clean(ToolStarted(at=1, id="toolu_01", name="Ba\x1bsh", parent="call_9"))
    assert isinstance(event, ToolStarted)
    assert (event.id, event.name, event.parent) == ("toolu_01", "Ba\ufffdsh", "call_9")


def test_what_was_seen_is_bounded_however_many_names_come() -> None:
    for number in range(3 * names.MOST_SEEN):
        event = ToolStarted(at=1, id=f"toolu_{number:05}", name=f"tool {number}")
        assert names.clean(event) is event
    assert names.seen() <= names.MOST_SEEN


@given(st.lists(st.text() | st.sampled_from(["Bash", "\x1b", KEY, "x" * 200]), max_size=4))
def test_a_name_is_made_fit_alike_the_first_time_and_again(texts: list[str]) -> None:
    events = [ToolStarted(at=1, id=text, name=text, parent=text) for text in texts]
    for event in events:
        first, again = names.clean(event), names.clean(event)
        assert isinstance(first, ToolStarted)
        assert first == again
        assert first.name == names.name(event.name)
        assert first.id == first.parent == names.identity(event.id)


_beginnings = st.sampled_from([each.prefix for each in FORMATS] + ["eyJ", "xox", "sk-", ""])


@given(_beginnings, st.from_regex(r"[A-Za-z0-9_.-]{0,15}", fullmatch=True))
def test_what_is_taken_as_ordinary_at_a_glance_shows_no_secret(beginning: str, rest: str) -> None:
    name = f"{beginning}{rest}"[:15]
    if names.ORDINARY.fullmatch(name):
        assert redact(name) == name


@given(st.from_regex(r"(?:[A-Z][a-z]{1,11}){1,5}", fullmatch=True))
def test_words_without_a_number_between_them_show_no_secret(name: str) -> None:
    assert names.ORDINARY.fullmatch(name)
    assert redact(name) == name
