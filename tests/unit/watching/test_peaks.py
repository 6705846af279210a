"""Peaks are of what was measured, and of nothing else."""

from __future__ import annotations

from otel_untether import semconv
from otel_untether.proc_diag import TreeSnapshot
from otel_untether.watching.peaks import Peaks


def test_the_highest_of_all_samples_is_kept() -> None:
    peaks = Peaks()
    for rss in (5, 9, 7):
        peaks.add(TreeSnapshot(0.0, alive=True, rss=rss, sockets=()))
    assert peaks.attributes() == {semconv.PEAK_RSS: 9, semconv.PEAK_TCP: 0}


def test_a_tree_that_had_ended_before_the_first_look_has_no_peaks() -> None:
    """What was never seen alive is unknown, not zero."""
    peaks = Peaks()
    peaks.add(TreeSnapshot(0.0, alive=False, rss=0, fds=0, sockets=()))
    assert peaks.attributes() == {}
