"""The page: self-contained, redacted, and with nothing that content capture did not allow."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_untether.report import run
from otel_untether.report.html.document import document
from tests.unit.report.report_sessions import Session, at, healthy, samples, stalled
from tests.unit.report.test_dumps import DOCUMENT

TOKEN = "ghp_" + "Ab1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX2"


def written(session: Session, folder: Path, record: dict[str, object] | None = None) -> str:
    """Return the page of a session made by hand."""
    session.write(folder, record)
    return document(run.read(folder, at(1e6)))


class Reader(HTMLParser):
    """Collects the elements with their attributes, and the text outside style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["style"], ["script"]):
            self.text += data


def test_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    """No address, no inline handler or style: the policy forbids them, and there are none."""
    (tmp_path / f"stall-{at(670)}.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "samples.jsonl").write_text(samples(600, 5))
    for tag, attributes in Reader(written(stalled(), tmp_path)).elements:
        assert not {name for name in attributes if name.startswith("on") or name == "style"}
        assert "src" not in attributes
        assert attributes.get("href", "data:,") == "data:,", tag


def test_the_policy_allows_this_style_and_this_script(tmp_path: Path) -> None:
    """By their hashes, and no request whatever."""
    page = written(healthy(), tmp_path)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_secrets_are_taken_out_again(tmp_path: Path) -> None:
    """Whoever wrote the folder: what is attached to an issue is public."""
    session = stalled()
    session.tool(f"Bash {TOKEN}", 1, 2, error=TOKEN)
    session.event("untether.note", 5, said=f"export TOKEN={TOKEN}")
    session.span("untether.stall", 10, 690, untether__stall__evidence=(f"asked with {TOKEN}",))
    page = written(session, tmp_path)
    assert TOKEN not in page
    assert "[redacted]" in page


def test_command_lines_paths_and_stderr_stay_here(tmp_path: Path) -> None:
    """They are in the dump, and no telemetry has them."""
    document_ = {**DOCUMENT, "stderr_tail": ["cannot open /home/alice/plans.txt"]}
    (tmp_path / f"stall-{at(670)}.json").write_text(json.dumps(document_))
    page = written(stalled(), tmp_path)
    assert "4711" in page
    assert "alice" not in page
    assert "secret" not in page


def test_captured_content_is_shown_only_where_there_is_some(tmp_path: Path) -> None:
    """Spans have it only where it was asked for."""
    assert "Captured content" not in written(healthy(), tmp_path / "without")
    session = healthy()
    arguments = '{"command": "make <test>"}'
    session.tool("Bash", 1, 2, gen_ai__tool__call__arguments=arguments)
    page = Reader(written(session, tmp_path / "with"))
    assert "Captured content" in page.text
    assert arguments in page.text


def test_captured_content_is_found_whatever_the_calls_have_in_common(tmp_path: Path) -> None:
    """Their attributes are kept without that: it may end within the name of what is looked for."""
    session = healthy()
    for second in range(1, 12, 2):
        session.tool("Bash", second, second + 1, gen_ai__tool__call__arguments=f"done {second}")
        session.tool("Grep", second, second + 1, gen_ai__tool__call__arguments=f"found {second}")
        session.tool("Grep", second, second + 1, gen_ai__tool__call__result=f"lines {second}")
    page = Reader(written(session, tmp_path)).text
    for second in range(1, 12, 2):
        assert all(f"{word} {second}" in page for word in ("done", "found", "lines"))


def test_what_is_unknown_is_said_to_be(tmp_path: Path) -> None:
    """Not drawn as nought."""
    document_ = {"tree": {"processes": [{"process": {"identity": {"pid": 7}}}]}}
    (tmp_path / f"stall-{at(670)}.json").write_text(json.dumps(document_))
    page = Reader(written(stalled(), tmp_path))
    assert page.text.count("unknown") >= 8


def test_unknown_samples_interrupt_a_curve(tmp_path: Path) -> None:
    lines = [{"t": at(second), "cpu": cpu} for second, cpu in ((1, 1.0), (3, None), (5, 1.0))]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, lines)))
    drawn = [tag for tag, _ in Reader(written(healthy(), tmp_path)).elements]
    assert drawn.count("polyline") == 2


def test_what_is_too_long_is_cut(tmp_path: Path) -> None:
    """A folder may be anybody's: a page stays one that can be opened, and attached."""
    session = Session()
    for number in range(700):
        session.tool("x" * 100_000, number, number + 1, error="e" * 100_000)
        session.stall(number, number + 0.5, "c" * 10_000)
    session.root(700, error="e" * 100_000)
    assert len(written(session, tmp_path)) < 1_000_000


def test_a_run_without_spans_is_a_page_too(tmp_path: Path) -> None:
    assert "no spans were recorded" in Reader(written(Session(), tmp_path)).text


@given(st.text(max_size=60), st.text(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_name_is_text(tmp_path: Path, name: str, value: str) -> None:
    """The elements are the same, whatever a tool is called."""
    pages = []
    for called, said in (("plain", "plain"), (name or "-", value)):
        session = Session()
        session.root(9, untether__engine=called)
        session.tool(called, 1, 2, error=said or "-")
        pages.append([tag for tag, _ in Reader(written(session, tmp_path)).elements])
    assert pages[0] == pages[1]
