"""Where a run's telemetry is: with a collector, on disk, or nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.export.ledger import Ledger

FULL = "No space left on device"


def ledger(*, kept: bool = True) -> tuple[Ledger, dict[str, int]]:
    """Make a ledger of spans meant for a collector, and what it counts as lost."""
    made, lost = Ledger(kept=kept), {"traces": 0, "logs": 0, "metrics": 0}
    made.expect("traces")

    def count(signal: Any, number: int) -> None:
        lost[signal] += number

    made.listen(count)
    return made, lost


def make(book: Ledger, *keys: str, problem: str | None = None) -> None:
    """Note spans that came into being."""
    for key in keys:
        book.made("traces", key, problem)


def test_what_was_taken_needs_no_word() -> None:
    """All is well."""
    book, lost = ledger()
    make(book, "a", "b")
    book.taken("traces", ["a", "b"], 0, "")
    book.settle()
    assert (book.complete, book.report(), lost["traces"]) == (True, [], 0)


def test_what_was_not_taken_is_told_with_its_reason() -> None:
    """It is on disk, so nothing is lost."""
    book, lost = ledger()
    make(book, "a", "b", "c")
    book.taken("traces", ["a"], 0, "")
    book.failed("traces", ["b", "c"], "collector:4318 answered 401")
    book.settle()
    assert not book.complete
    (line,) = book.report()
    assert line == (
        "not everything reached the collector: 2 spans did not (collector:4318 answered 401); "
        "`otel-untether resend` sends what is on disk"
    )
    assert lost["traces"] == 0


def test_what_never_got_to_an_exporter_is_told_too() -> None:
    """A queue dropped it; nobody failed."""
    book, _ = ledger()
    make(book, "a", "b", "c")
    book.taken("traces", ["c"], 0, "")
    book.settle()
    (line,) = book.report()
    assert "2 spans did not; " in line


def test_an_answer_that_is_still_due_is_the_reason() -> None:
    """The time was up first."""
    book, _ = ledger()
    make(book, "a")
    book.settle()
    assert "1 span did not (no answer yet)" in book.report(hanging=True)[0]


def test_an_exporter_that_was_told_to_wait_says_so() -> None:
    """It had an answer, and that is the reason; not that of an earlier failure, either."""
    book, _ = ledger()
    make(book, "a", "b")
    book.failed("traces", ["a"], "refused")
    book.waits("traces", "answered 429")
    assert "2 spans did not (answered 429)" in book.report(hanging=True)[0]
    book.waits("traces", "")
    assert "2 spans did not (refused)" in book.report(hanging=True)[0]
    assert book.why_waiting("traces") == "no answer yet"


def test_what_is_neither_taken_nor_written_is_lost() -> None:
    """Its loss is counted once, when its batch fails or at the end."""
    book, lost = ledger()
    make(book, "a")
    make(book, "b", "c", problem=FULL)
    book.failed("traces", ["a", "b"], "nobody there")
    assert lost["traces"] == 1
    book.settle()
    book.settle()
    assert lost["traces"] == 2
    assert book.report()[-1] == f"lost: 2 spans (the run's folder: {FULL})"


def test_what_could_not_be_written_and_is_taken_is_not_lost() -> None:
    """Also where the collector was faster than we."""
    book, lost = ledger()
    book.taken("traces", ["early"], 0, "")
    make(book, "early", "late", problem=FULL)
    book.taken("traces", ["late"], 0, "")
    book.settle()
    assert (book.complete, lost["traces"]) == (True, 0)


def test_without_a_folder_all_that_is_not_taken_is_lost() -> None:
    """Failed, dropped or thrown away."""
    book, lost = ledger(kept=False)
    make(book, "a", "b", "c", "d", "e")
    book.taken("traces", ["a", "b"], 1, "too old")
    book.failed("traces", ["c"], "nobody there")
    book.settle()
    assert lost["traces"] == 4
    assert "resend" not in " ".join(book.report())


def test_what_a_collector_throws_away_is_told() -> None:
    """It is on disk, and would be thrown away again."""
    book, lost = ledger()
    make(book, "a", "b")
    book.taken("traces", ["a", "b"], 1, "collector said: too old")
    book.settle()
    assert book.report() == ["the collector refused 1 span (collector said: too old)"]
    assert (book.complete, lost["traces"]) == (True, 0)


def test_metrics_are_lost_where_they_were_neither_taken_nor_kept() -> None:
    """Counted in data points."""
    book, lost = ledger()
    book.expect("metrics")
    book.kept("metrics", "nobody there")
    book.not_kept("metrics", 12, "nobody there")
    assert lost["metrics"] == 12
    told, gone = book.report()
    assert "2 exports of metrics did not" in told
    assert gone == "lost: 12 data points"


def test_who_listens_late_hears_of_what_was_lost_before() -> None:
    """Instruments may be made after the first loss."""
    book = Ledger(kept=False)
    book.expect("traces")
    make(book, "a")
    book.failed("traces", ["a"], "nobody there")
    heard: list[tuple[str, int]] = []
    book.listen(lambda signal, count: heard.append((signal, count)))
    assert heard == [("traces", 1)]


FATES = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["taken", "failed", "dropped"])), max_size=40
)


@pytest.mark.parametrize("kept", [True, False])
@given(fates=FATES)
def test_made_is_taken_plus_on_disk_plus_lost(fates: list[tuple[bool, str]], *, kept: bool) -> None:
    """Exactly, whatever happens to each span."""
    book, lost = ledger(kept=kept)
    on_disk = 0
    for number, (written, fate) in enumerate(fates):
        make(book, str(number), problem=None if written else FULL)
        if fate == "taken":
            book.taken("traces", [str(number)], 0, "")
        elif fate == "failed":
            book.failed("traces", [str(number)], "nobody there")
        on_disk += kept and written and fate != "taken"
    book.settle()
    taken = sum(fate == "taken" for _, fate in fates)
    assert taken + on_disk + lost["traces"] == len(fates)
    assert book.complete == (taken == len(fates))
    assert bool(book.report()) == (taken != len(fates))
