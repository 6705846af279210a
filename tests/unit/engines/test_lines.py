from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from otel_untether.engines.lines import LineSplitter


def split(data: bytes, cuts: list[int], limit: int = 1 << 20) -> list[bytes | None]:
    splitter = LineSplitter(limit)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    lines: list[bytes | None] = []
    for start, end in itertools.pairwise(edges):
        lines += splitter.feed(data[start:end])
    return [*lines, *splitter.rest()]


@given(st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b)), st.lists(st.integers(0)))
def test_however_it_is_cut_the_lines_are_the_same(lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    assert split(data, cuts) == lines


def test_only_lf_ends_a_line() -> None:
    """U+2028 is legal inside JSON strings, and some CLIs print it."""
    line = '{"a":"\u2028\u2029\x85"}\r'.encode()
    assert split(line + b"\n", []) == [line]


def test_the_last_line_needs_no_newline() -> None:
    assert split(b"a\nb", []) == [b"a", b"b"]


def test_empty_lines_are_lines() -> None:
    assert split(b"\n\na\n", []) == [b"", b"", b"a"]


def test_a_line_over_the_limit_comes_out_as_none_once() -> None:
    assert split(b"x" * 100 + b"\nok\n", list(range(0, 100, 7)), limit=50) == [None, b"ok"]


def test_what_is_left_behind_a_gap_is_no_line() -> None:
    """Nor one that was too long: the gap is what is counted."""
    splitter = LineSplitter()
    splitter.resynchronise()
    assert list(splitter.feed(b"half of a line")) == []
    assert list(splitter.rest()) == []
    assert list(splitter.feed(b"whole\n")) == [b"whole"]


def test_after_a_gap_it_goes_on_at_the_next_newline() -> None:
    splitter = LineSplitter()
    list(splitter.feed(b'{"half'))
    splitter.resynchronise()
    assert list(splitter.feed(b' of another"}\nwhole\n')) == [b"whole"]
