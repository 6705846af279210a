"""The report in Markdown: verdict first, and text from outside only text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.report import run
from otel_untether.report.markdown import document, text
from tests.unit.report.report_sessions import Session, at, healthy, long, stalled


def written(session: Session, folder: Path) -> list[str]:
    """Return the lines of a session made by hand."""
    session.write(folder)
    return document(run.read(folder, at(1e6))).splitlines()


def test_the_verdict_comes_first(tmp_path: Path) -> None:
    lines = written(stalled(), tmp_path)
    assert lines[0] == "## ❌ claude: killed (wedged) in 11m40s"
    assert lines[2].startswith("**Why:** silent for 11 min 30 s")
    assert lines[3] == "**Next:** restart it: it will not come back"


def test_a_good_run_is_short(tmp_path: Path) -> None:
    lines = written(healthy(), tmp_path)
    assert lines[0] == "## ✅ claude: completed in 10.0 s"
    assert not [line for line in lines if line.startswith("**Why")]


def test_the_waterfall_of_a_long_session_keeps_to_its_lines(tmp_path: Path) -> None:
    """A job's summary may hold 1 MiB, an issue 65,536 characters."""
    page = "\n".join(written(long(calls=5000), tmp_path))
    assert len(page) < 20_000
    assert "slowest calls" in page


@pytest.mark.parametrize(
    "name",
    ["a|b", "`code`", "<script>", "*bold*", "[x](https://evil.example)", "@team", "#12", "$x$"],
)
def test_names_make_no_markup(name: str, tmp_path: Path) -> None:
    """Every row of the table has its four cells, and nobody is mentioned."""
    session = Session()
    session.root(9)
    session.tool(name, 1, 5, error=name)
    lines = written(session, tmp_path)
    (row,) = [line for line in lines if line.startswith("| ") and "4.00 s" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    outside = "\n".join(lines[: lines.index("```text")] if "```text" in lines else lines)
    assert not re.search(r"(?<!\\)[<`*]\w", outside.replace("**", "").replace("<br>", "")
                         .replace("<details>", "").replace("<summary>", ""))  # fmt: skip
    assert not re.search(r"@team|#12|://\w", outside)


@given(st.text())
def test_any_text_stays_one_line_without_active_characters(said: str) -> None:
    found = text(said)
    assert "\n" not in found
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*<>\[\]|~]", found)


def test_no_name_closes_the_fence(tmp_path: Path) -> None:
    session = Session()
    session.root(9)
    session.tool("`````", 1, 5)
    lines = written(session, tmp_path)
    assert lines.count("``````text") == 1
    assert lines.count("``````") == 1
