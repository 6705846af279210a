"""A run's report in GitHub's Markdown, for an issue or the summary of a CI job.

What came from outside says what it says and nothing else: it begins no list, closes no fence,
links nowhere and calls nobody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_untether.report import breakdown
from otel_untether.report.session_facts import facts
from otel_untether.report.terminal import text as words
from otel_untether.report.terminal import waterfall
from otel_untether.report.terminal.header import numbers, since
from otel_untether.report.terminal.rows import failure, label, rows
from otel_untether.report.terminal.style import Style
from otel_untether.report.verdict import verdict
from otel_untether.session.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.report.run import Recorded
    from otel_untether.report.session_facts import SessionFacts
    from otel_untether.report.span_node import SpanNode
    from otel_untether.report.verdict import Verdict

_ROWS: Final = 30
_WIDTH: Final = 100
_SLOWEST: Final = 5
_MARKS: Final = {"good": "✅", "waiting": "⏳", "bad": "❌"}
# Within a word an underscore is one; elsewhere it would begin an emphasis.
_ACTIVE: Final = re.compile(r"([\\`*<>\[\]|~&$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
# Mentions, issues and addresses are found in what Markdown leaves, escaped or not.
_LINKING: Final = re.compile(r"(@|#|www\.|://|\bGH-)", re.IGNORECASE)


def document(recorded: Recorded) -> str:
    """Return the report as Markdown."""
    return "\n".join(_lines(recorded)) + "\n"


def text(said: str) -> str:
    r"""Return text from outside so that Markdown shows it as it is.

    >>> text("see *this* <b>")
    'see \\*this\\* \\<b\\>'
    """
    clean = " ".join(words.safe(words.cut(redact(said[: 4 * words.LONGEST]))).split())
    return _LINKING.sub("\\1\N{ZERO WIDTH SPACE}", _ACTIVE.sub(r"\\\1", clean))


def _lines(recorded: Recorded) -> Iterator[str]:
    judged, root = verdict(recorded), recorded.root
    told = facts(recorded, root) if root else None
    yield f"## {_MARKS[judged.mood]} {_title(recorded, judged, told)}"
    yield ""
    if judged.why:
        yield f"**Why:** {text(judged.why)}<br>"
    if judged.next:
        yield f"**Next:** {text(judged.next)}"
    if judged.why or judged.next:
        yield ""
    for sentence in judged.evidence:
        yield f"- {text(sentence)}"
    if root is not None and told is not None:
        yield from _session(recorded, root, told)
    for problem in recorded.problems:
        yield f"\nnot read: {text(problem)}"


def _title(recorded: Recorded, judged: Verdict, told: SessionFacts | None) -> str:
    if told is None:
        return f"{text(recorded.name)}: {text(judged.how)}"
    name = " ".join(word for word in (told.engine, told.version) if word)
    took = words.duration(told.ended - told.started)
    return f"{text(name)}: {text(judged.how)} {since(told)} {took}"


def _session(recorded: Recorded, root: SpanNode, told: SessionFacts) -> Iterator[str]:
    yield ""
    yield " · ".join(map(text, numbers(told)))
    yield from _slowest(root, recorded.until)
    yield from _spent(root, recorded.until)
    yield from _waterfall(root, recorded.until)
    named = {"run": told.run_id, "trace": told.trace_id, "session": told.session_id}
    yield ""
    yield " · ".join(f"{word} {text(value)}" for word, value in named.items() if value)


def _slowest(root: SpanNode, until: int) -> Iterator[str]:
    found = breakdown.slowest(root, until, _SLOWEST)
    if not found:
        return
    yield from ("", "| slowest calls | took | began at | |", "|---|--:|--:|---|")
    for node in found:
        took, began = words.duration(node.duration(until)), words.duration(node.start - root.start)
        ended = "still open" if node.end is None else failure(node) if node.failed else ""
        yield f"| {text(label(node))} | {took} | {began} | {text(ended)} |"


def _spent(root: SpanNode, until: int) -> Iterator[str]:
    spent = breakdown.wall_time(root, until)
    total = max(sum(spent.values()), 1)
    told = (
        f"{category} {words.duration(took)} ({took / total:.0%})"
        for category, took in spent.items()
        if took
    )
    yield ""
    yield f"Time: {', '.join(told)}"


def _waterfall(root: SpanNode, until: int) -> Iterator[str]:
    """Draw it as in a terminal, behind a fence that nothing within can close."""
    style = Style(width=_WIDTH)
    laid_out = rows(root, until, _ROWS)
    on = waterfall.axis(laid_out, style)
    drawn = [redact(line) for line in waterfall.lines(laid_out, on, style)]
    longest = max(map(len, re.findall("`+", "\n".join(drawn))), default=0)
    fence = "`" * max(3, longest + 1)
    yield from ("", "<details><summary>Waterfall</summary>", "", f"{fence}text")
    yield from drawn
    yield from (fence, "", "</details>")
