"""The report's page in a real browser: seen, read without script, worked by keyboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_untether.report import run
from otel_untether.report.html.document import document
from scripts.chromium import Page
from tests.unit.report.report_sessions import Session, at, long, samples, stalled
from tests.unit.report.test_dumps import DOCUMENT

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"><svg onload=document.title='owned'>",
    "javascript:alert(1)",
    "<!--",
    "]]>",
    "&lt;b&gt;\u202egnp.exe\x1b[2J",
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A page of a session that froze, with curves and a dump."""
    session = stalled()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "samples.jsonl").write_text(samples(600, 5))
    (tmp_path / "run" / f"stall-{at(670)}.json").write_text(json.dumps(DOCUMENT))
    return write(session, tmp_path)


def write(session: Session, folder: Path) -> Path:
    session.write(folder / "run")
    file = folder / "report.html"
    file.write_text(document(run.read(folder / "run", at(1e6))), encoding="utf-8")
    return file


def complaints(page: Page) -> list[Any]:
    """What the browser's console had to say: a policy violated, an error in the script."""
    page.run("1")
    said = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    return [event for event in page.events if event.get("method") in said]


def requests(page: Page) -> list[str]:
    return [
        event["params"]["request"]["url"]
        for event in page.events
        if event.get("method") == "Network.requestWillBeSent"
    ]


def views(page: Page) -> set[str]:
    """The viewBox of each drawing, but for its height."""
    found = page.run(
        "[...document.querySelectorAll('#waterfall svg')].map(s => s.getAttribute('viewBox'))"
    )
    return {" ".join(view.split()[:3]) for view in found}


def test_it_asks_for_nothing_and_breaks_no_rule_of_its_own(page: Page, written: Path) -> None:
    page.open(written)
    assert not complaints(page)
    assert [url for url in requests(page) if not url.startswith("data:")] == [written.as_uri()]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_screen_reader_can_work_with_it(
    *, page: Page, written: Path, axe: str, dark: bool, script: bool
) -> None:
    """axe finds nothing: names, headings, landmarks, contrast, focus."""
    page.open(written, dark=dark, script=script)
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    page.run(axe)
    found = page.run("axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))")
    assert found == []


def test_light_and_dark_are_two(page: Page, written: Path) -> None:
    colours = []
    for dark in (False, True):
        page.open(written, dark=dark)
        colours.append(page.run("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]


def test_without_script_it_says_the_same(page: Page, written: Path) -> None:
    """But for the buttons, which nothing would serve."""
    page.open(written)
    with_script = page.run("document.querySelector('.spans').innerText")
    assert page.run("!document.getElementById('controls').hidden")
    page.open(written, script=False)
    assert page.run("document.querySelector('.spans').innerText") == with_script
    assert page.run("document.getElementById('controls').offsetParent === null")
    assert "silent for 11 min 30 s" in page.run("document.querySelector('.why').innerText")


def test_the_waterfall_zooms_by_keyboard(page: Page, written: Path) -> None:
    """All rows and curves together; what the ticks say goes with them."""
    page.open(written)
    page.run("document.getElementById('waterfall').focus()")
    assert views(page) == {"0 0 100000"}
    page.press("+", "+")
    assert views(page) == {"25000 0 50000"}
    assert page.run("document.querySelector('.tick').textContent") == "2m55s"
    page.press("ArrowRight")
    assert views(page) == {"37500 0 50000"}
    page.press("0", "0")
    assert views(page) == {"0 0 100000"}


def test_rows_without_a_bar_in_sight_are_not_in_the_way(page: Page, written: Path) -> None:
    """Of a long session a few minutes are looked at."""
    page.open(written)
    shown = "[...document.querySelectorAll('.spans tr')].filter(r => !r.hidden).length"
    before = page.run(shown)
    page.run("document.getElementById('waterfall').focus()")
    page.press("+", "+")
    assert page.run(shown) == before - 2  # what was over before: the first chat, and Bash
    page.press("0", "0")
    assert page.run(shown) == before


def test_every_button_is_reached_by_tab_and_does_its_work(page: Page, written: Path) -> None:
    page.open(written)
    reached = []
    for _ in range(8):
        page.press("Tab")
        reached.append(page.run("document.activeElement.getAttribute('aria-label')"))
    assert reached[:5] == ["Zoom in", "Zoom out", "Earlier", "Later", "Whole session"]
    page.run("document.querySelector('[data-zoom=in]').focus()")
    page.press("Enter", "\r")
    assert views(page) == {"25000 0 50000"}


def test_rows_can_be_filtered(page: Page, written: Path) -> None:
    page.open(written)
    page.run(
        "const f = document.getElementById('filter'); f.value = 'bash';"
        "f.dispatchEvent(new Event('input'))"
    )
    shown = page.run(
        "[...document.querySelectorAll('.spans tr')].filter(r => !r.hidden).map(r => r.innerText)"
    )
    assert len(shown) == 1
    assert shown[0].startswith("Bash")


def test_hostile_names_are_only_names(page: Page, tmp_path: Path) -> None:
    """Of tools, subagents, models, causes: nothing runs, nothing is added."""
    session = Session()
    for number, name in enumerate(HOSTILE):
        call = session.tool(name, number, number + 1, error=name)
        session.agent(name, number, number + 0.5, call)
        session.event(name, number, **{name: name})
    session.span(
        "untether.stall", 8, 9, untether__stall__cause=HOSTILE[0], untether__stall__evidence=HOSTILE
    )
    session.root(20, untether__engine=HOSTILE[1], gen_ai__request__model=HOSTILE[2], error="x")
    page.open(write(session, tmp_path))
    assert page.run("document.title").endswith(
        "while stalled (</script><script>document.title='owned'</script>)"
    )
    assert page.run("document.images.length + document.links.length") == 0
    assert page.run("document.scripts.length") == 1
    assert not complaints(page)


def test_a_narrow_window_does_not_scroll_sideways(page: Page, written: Path) -> None:
    """Only the wide tables do, within their own box."""
    page.open(written, width=400)
    assert page.run("document.documentElement.scrollWidth") <= 400


def test_a_long_session_is_a_page_of_a_few_hundred_kilobytes(page: Page, tmp_path: Path) -> None:
    session = long(calls=5000)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "samples.jsonl").write_text(samples(26_000, 5))
    file = write(session, tmp_path)
    assert file.stat().st_size < 600_000
    page.open(file)
    assert not complaints(page)
    assert 100 < page.run("document.querySelectorAll('.spans tr').length") <= 600
