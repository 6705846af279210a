"""The report as people see it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from otel_untether import semconv
from otel_untether.report import json_document as machine
from otel_untether.report import run as folder
from otel_untether.report.terminal import page as terminal
from otel_untether.report.terminal import text as words
from otel_untether.report.terminal.sparkline import spark
from otel_untether.report.terminal.style import ASCII, UNICODE, ColorMode, Style, style_of
from otel_untether.store import run_lock
from tests.unit.report.report_sessions import Session, at, healthy, long, samples, stalled

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def report(session: Session, path: Path, style: Style | None = None) -> list[str]:
    """Render a session made by hand."""
    session.write(path)
    return list(terminal.render(folder.read(path, at(1e6)), style or Style()))


def line_with(lines: list[str], text: str) -> str:
    """Return the one line that has the text."""
    (found,) = [line for line in lines if text in line]
    return found


def test_the_header_says_what_the_session_was(tmp_path: Path) -> None:
    """Engine, outcome, duration, totals, and how to find it elsewhere."""
    lines = report(healthy(), tmp_path)
    assert lines[0] == "claude  completed  in 10.0 s"
    assert lines[1] == (
        "opus · 5 turns · 10 tool calls (2 failed) · "
        "48,210 tokens in (40,100 cached), 1,800 out · $0.0412"
    )
    assert "trace 4bf92f3577b34da6a3ce929d0e0e4736" in lines[2]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize(
    "session", [healthy(), long(), stalled()], ids=["healthy", "long", "stall"]
)
def test_no_line_of_the_waterfall_is_wider_than_the_terminal(
    session: Session, width: int, tmp_path: Path
) -> None:
    """From narrow to wide, whatever the names."""
    lines = report(session, tmp_path, Style(width=width))
    start = next(index for index, line in enumerate(lines) if "start" in line and "took" in line)
    waterfall = lines[start : lines.index("", start)]
    assert max(map(words.width, waterfall)) <= width


def test_bars_lie_on_one_axis(tmp_path: Path) -> None:
    """What began earlier begins further left; the session spans all."""
    lines = report(healthy(), tmp_path, Style(width=120))
    bash = next(line for line in lines if line.startswith("├ Bash "))
    read = line_with(lines, "├ Read ✗")
    assert bash.index("━") < read.index("╺")


def test_a_failure_shows_its_exit_code(tmp_path: Path) -> None:
    """With a mark that needs no colour."""
    assert "├ Bash ✗ exit 3" in line_with(report(healthy(), tmp_path), "exit 3")


def test_failures_and_stalls_have_colours_of_their_own(tmp_path: Path) -> None:
    """Red, and a magenta that nothing else has."""
    lines = report(stalled(), tmp_path, Style(color=True))
    assert "\x1b[31mchat" in line_with(lines, "killed\x1b")
    assert all("\x1b[1;35m▒" in line for line in lines if "stall " in line and "▒" in line)


def test_colours_change_nothing_but_the_colour(tmp_path: Path) -> None:
    """The same text with and without."""
    plain = report(long(), tmp_path)
    coloured = report(long(), tmp_path, Style(color=True))
    assert [ESCAPE.sub("", line) for line in coloured] == plain
    assert "\x1b" not in "".join(plain)


def test_in_ascii_it_is_all_ascii(tmp_path: Path) -> None:
    """For terminals that cannot do better."""
    (tmp_path / "samples.jsonl").write_text(samples(10, 0.1))
    assert "".join(report(stalled(), tmp_path, Style(glyphs=ASCII))).isascii()


def test_a_silence_is_told_once_with_its_evidence(tmp_path: Path) -> None:
    """Not once a warning."""
    lines = report(stalled(), tmp_path)
    told = lines[lines.index("Stalls") + 1 :]
    assert told[0] == "  wedged  silent for 11 min 30 s, 3 warnings, last at 11m10s"
    assert told[1] == "    · one silent connection, last byte 4 min ago"


def test_events_are_listed_with_their_moment(tmp_path: Path) -> None:
    """Decisions about a kill among them."""
    told = line_with(report(stalled(), tmp_path), "kill.decided")
    assert told == "    11m30s  kill.decided  cause=wedged"


def test_diagnostics_of_a_stall_are_shown(tmp_path: Path) -> None:
    """Whatever the span carries beside its cause."""
    session = stalled()
    session.span("untether.stall", 10, 690, untether__stall__tree__cpu=0.25)
    assert "tree.cpu 0.25" in line_with(report(session, tmp_path), "tree.cpu")


def test_peaks_are_in_the_header(tmp_path: Path) -> None:
    """Where they were measured."""
    session = Session()
    session.root(
        9,
        untether__tree__memory__rss__peak=300 * 2**20,
        untether__tree__processes__peak=1,
        untether__tree__tcp__connections__peak=2,
    )
    assert "peak 300 MiB · peak 1 process · peak 2 sockets" in report(session, tmp_path)[1]


def test_the_sessions_own_counts_win(tmp_path: Path) -> None:
    """A call that a signal ended is red in the waterfall, but no failure of the tool."""
    session = Session()
    session.root(9, untether__session__tools=1, untether__session__tool_errors=0)
    session.tool("Bash", 0, 9, error="terminated")
    assert "1 tool call" in report(session, tmp_path)[1].split(" · ")


def test_sparklines_share_the_axis(tmp_path: Path) -> None:
    """They begin where the session's bar begins."""
    session = healthy()
    (tmp_path / "samples.jsonl").write_text(samples(10, 0.1))
    lines = report(session, tmp_path, Style(width=100))
    memory = line_with(lines, "memory")
    root = next(line for line in lines if "━" in line)
    assert memory.index("▃") == root.index("━")
    assert "peak 284 MiB" in memory


def test_silences_are_marked_above_the_curves(tmp_path: Path) -> None:
    """On their axis: what changed when it fell silent is right below."""
    (tmp_path / "samples.jsonl").write_text(samples(700, 5))
    lines = report(stalled(), tmp_path, Style(width=100))
    marks, bar = (line_with(lines, text) for text in ("silent    ", "stall wedged"))
    assert marks.startswith("silent ")
    assert marks.index("▒") == bar.index("▒")
    assert marks.count("▒") == bar.count("▒")


def test_a_run_without_samples_has_no_sparklines(tmp_path: Path) -> None:
    """Nothing is drawn of what is not known."""
    assert not [line for line in report(healthy(), tmp_path) if line.startswith("memory")]


def test_unknown_samples_stay_blank() -> None:
    """They are not zero."""
    assert spark([0, None, 2, 4], UNICODE.sparks) == "▁ ▅█"


def test_a_run_without_spans_says_so(tmp_path: Path) -> None:
    """It may have been disabled, or crashed at once."""
    lines = report(Session(), tmp_path)
    assert "no spans were recorded for this run" in lines


def test_torn_lines_are_told_and_cost_only_themselves(tmp_path: Path) -> None:
    """A crash tears the last line."""
    healthy().write(tmp_path)
    with (tmp_path / "traces.jsonl").open("a") as file:
        file.write('{"resourceSpans": [{"scop')
    lines = list(terminal.render(folder.read(tmp_path, 0), Style()))
    assert lines[0] == "claude  completed  in 10.0 s"
    assert lines[-1] == "not read: traces.jsonl: 1 line torn or not JSON"


def test_open_spans_are_read_from_the_journal(tmp_path: Path) -> None:
    """A session that still runs, or crashed, has its root only there."""
    session = Session()
    session.root(None)
    session.tool("Bash", 1, None)
    entries = [{"kind": "start", "at": at(1), "span": span} for span in session.spans]
    Session().write(tmp_path, {"ended": None})
    (tmp_path / "journal.jsonl").write_text("\n".join(map(json.dumps, entries)))
    lock = run_lock.acquire(tmp_path)
    assert lock
    with lock:
        recorded = folder.read(tmp_path, at(5))
    assert recorded.running
    lines = list(terminal.render(recorded, Style()))
    assert lines[0] == "claude  running  for 5.00 s"
    assert "└ Bash open" in line_with(lines, "Bash open")


def test_the_machine_form_agrees_with_itself(tmp_path: Path) -> None:
    """Times add up, spans have their parents, and all of it is JSON."""
    stalled().write(tmp_path)
    document = json.loads("".join(machine.text(folder.read(tmp_path, 0))))
    assert document["schema"] == 1
    assert document["session"]["outcome"] == "killed"
    assert sum(document["time"].values()) == document["session"]["duration_s"] == 700
    assert [stall["number"] for stall in document["stalls"]] == [1, 2, 3]
    ids = {span["span_id"] for span in document["spans"]}
    assert {span["parent_span_id"] for span in document["spans"]} - {None} <= ids


def test_the_machine_form_of_a_run_without_spans_is_json(tmp_path: Path) -> None:
    Session().write(tmp_path)
    document = json.loads("".join(machine.text(folder.read(tmp_path, 0))))
    assert (document["session"], document["spans"]) == (None, [])


class Terminal(io.TextIOWrapper):
    """A terminal of an encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


@pytest.mark.parametrize(
    ("mode", "environ", "color"),
    [
        ("auto", {}, True),
        ("auto", {"NO_COLOR": "1"}, False),
        ("auto", {"NO_COLOR": ""}, True),
        ("auto", {"TERM": "dumb"}, False),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {}, False),
    ],
)
def test_when_a_terminal_is_coloured(
    *, mode: ColorMode, environ: dict[str, str], color: bool
) -> None:
    """What is asked for on the command line wins over NO_COLOR."""
    assert style_of(Terminal("utf-8"), environ, mode).color is color


def test_a_file_is_not_coloured() -> None:
    """Unless it is asked for."""
    assert not style_of(io.TextIOWrapper(io.BytesIO(), "utf-8"), {}).color


@pytest.mark.parametrize(("encoding", "glyphs"), [("utf-8", UNICODE), ("latin-1", ASCII)])
def test_the_encoding_decides_the_glyphs(encoding: str, glyphs: object) -> None:
    """Nothing that cannot be written is drawn."""
    assert style_of(Terminal(encoding), {}).glyphs is glyphs


def test_columns_are_honoured_within_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrower than 40 nothing can be read; an option wins."""
    monkeypatch.setenv("COLUMNS", "7")
    assert style_of(Terminal("utf-8"), {}).width == 40
    assert style_of(Terminal("utf-8"), {}, width=99).width == 99


def test_what_should_not_have_happened_is_told(tmp_path: Path) -> None:
    """An operator who wonders about a number sees that something was amiss."""
    session = Session()
    oddities: dict[str, Any] = {semconv.ODDITIES: ("not_json 2", "result_without_call 1")}
    session.root(10, **oddities)
    lines = report(session, tmp_path)
    assert "odd: not_json 2; result_without_call 1" in "\n".join(lines)
