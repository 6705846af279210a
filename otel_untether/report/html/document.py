"""The page: one file with its style and its script, and nothing from anywhere else.

Its Content-Security-Policy allows exactly this style and this script, by their hashes, and no
request whatever. Without the script it shows the same, but does not zoom.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, tostring

from otel_untether.report.html import sections
from otel_untether.report.html.elements import add, section, shown
from otel_untether.report.html.waterfall import waterfall
from otel_untether.report.session_facts import facts
from otel_untether.report.silences import silences
from otel_untether.report.terminal import text as words
from otel_untether.report.terminal.header import numbers, since
from otel_untether.report.verdict import verdict
from otel_untether.semconv import SCOPE_VERSION

if TYPE_CHECKING:
    from otel_untether.report.run import Recorded
    from otel_untether.report.session_facts import SessionFacts
    from otel_untether.report.span_node import SpanNode
    from otel_untether.report.verdict import Verdict

_NAME: Final = 120  # characters
_POLICY: Final = (
    "default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def document(recorded: Recorded) -> str:
    """Return the report of a run as one HTML file."""
    judged = verdict(recorded)
    page = Element("html", lang="en")
    told = facts(recorded, recorded.root) if recorded.root else None
    name = f"{told.engine} {told.version or ''}".strip() if told else recorded.name
    style, script = (_asset(asset) for asset in ("page.css", "page.js"))
    _head(page, f"{shown(name, _NAME)}: {shown(judged.how, _NAME)}", style, script)
    body = add(page, "body")
    main = add(body, "main")
    _verdict(main, name, judged, told)
    if recorded.root is not None and told is not None:
        _session(main, recorded, recorded.root, told)
    sections.problems(main, recorded)
    _footer(body, recorded)
    add(body, "script", script)
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _head(page: Element, title: str, style: str, script: str) -> None:
    head = add(page, "head")
    add(head, "meta", charset="utf-8")
    policy = _POLICY.format(style=_hash(style), script=_hash(script))
    add(head, "meta", http_equiv="Content-Security-Policy", content=policy)
    add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    add(head, "meta", name="color-scheme", content="light dark")
    add(head, "meta", name="referrer", content="no-referrer")
    add(head, "link", rel="icon", href="data:,")
    add(head, "title", title)
    add(head, "style", style)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _verdict(main: Element, name: str, judged: Verdict, told: SessionFacts | None) -> None:
    box = add(main, "header", class_=f"verdict {judged.mood}")
    heading = add(box, "h1", f"{shown(name, _NAME)} ")
    how = add(heading, "span", shown(judged.how, _NAME), class_="how")
    if told is not None:
        how.tail = f" {since(told)} {words.duration(told.ended - told.started)}"
    for word, text in (("Why", judged.why), ("Next", judged.next)):
        if text:
            line = add(box, "p", class_=word.lower())
            add(line, "strong", f"{word} ").tail = shown(text)
    if judged.evidence:
        items = add(box, "ul", class_="evidence")
        for sentence in judged.evidence:
            add(items, "li", shown(sentence))


def _session(main: Element, recorded: Recorded, root: SpanNode, told: SessionFacts) -> None:
    add(main, "p", " · ".join(map(shown, numbers(told))), class_="numbers")
    until = recorded.until
    found = silences(root, until)
    waterfall(section(main, "Waterfall"), recorded, root, found)
    columns = add(main, "div", class_="columns")
    sections.time_spent(columns, root, until)
    sections.calls(columns, root, until)
    sections.stalls(main, root, found)
    last = recorded.dumps[-1] if recorded.dumps else None
    sections.dump(main, last, root)
    sections.events(main, root)
    sections.content(main, root)
    identity = {"trace": told.trace_id, "run": told.run_id, "session": told.session_id}
    box = section(main, "Where to find it")
    names = add(box, "dl")
    for word, value in (*identity.items(), ("started", _moment(told.started))):
        if value:
            add(names, "dt", word)
            add(names, "dd", shown(value))


def _footer(body: Element, recorded: Recorded) -> None:
    still = ""
    if recorded.running:
        still = f"It was still running when this was written, at {_moment(recorded.until)}. "
    said = (
        f"{still}Written by otel-untether {SCOPE_VERSION}. It holds names, times and sizes; of what"
        " the agent said only what was captured because it was asked for, and no command lines."
    )
    add(add(body, "footer"), "p", said)


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
