"""Reading and writing files that somebody else may have put there."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.store import files
from otel_untether.store.files import LineFile, lines, open_regular, read_whole, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=["fifo", "device", "folder", "link", "socket"])
def odd(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Something that is no regular file."""
    path = tmp_path / "odd"
    match request.param:
        case "fifo":
            os.mkfifo(path)
        case "device":
            return Path("/dev/zero")
        case "folder":
            path.mkdir()
        case "link":
            (tmp_path / "target").write_bytes(b"x")
            path.symlink_to(tmp_path / "target")
        case "socket":
            os.mknod(path, 0o600 | 0o140000)
    return path


def test_what_is_no_regular_file_is_refused_at_once(odd: Path) -> None:
    """A FIFO would wait for ever, /dev/zero never end."""
    with pytest.raises(OSError, match=r"\w"):
        open_regular(odd).close()


def test_a_file_larger_than_allowed_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(OSError, match="larger than 1,000 bytes"):
        read_whole(tmp_path / "huge", 1000)


def test_a_file_of_the_size_allowed_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    assert read_whole(tmp_path / "file", 1000) == b"x" * 1000


def test_lines_are_yielded_whole_and_what_is_too_long_is_cut(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"ab\n" + b"x" * 35 + b"\ncd\ntorn")
    assert list(lines(tmp_path / "file", longest=10)) == [b"ab\n", b"x" * 10, b"cd\n", b"torn"]


def test_a_line_exactly_as_long_as_allowed_is_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456789\nnext\n")
    assert list(lines(tmp_path / "file", longest=10)) == [b"123456789\n", b"next\n"]


def test_reading_ends_after_so_many_bytes_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one\ntwo\nthree\n")
    found: list[bytes] = []
    with pytest.raises(OSError, match="only its first 8 bytes"):
        found.extend(lines(tmp_path / "file", most=8))


def test_a_file_without_a_newline_costs_a_line_of_memory(tmp_path: Path) -> None:
    with (tmp_path / "zeros").open("wb") as file:
        file.truncate(10 << 30)
    found: list[int] = []
    with pytest.raises(OSError, match="only its first"):
        found.extend(map(len, lines(tmp_path / "zeros", longest=1000, most=100_000)))
    assert found == [1000]


def read(
    reader: Callable[..., Iterator[bytes]], content: bytes, most: int
) -> tuple[list[bytes], list[bytes], bool]:
    """Return what a reader yields, its lines, and whether that was not all."""
    found: list[bytes] = []
    try:
        found.extend(reader(io.BytesIO(content), longest=1 << 20, most=most))
    except OSError:
        return found, [line for it in found for line in it.splitlines(keepends=True)], True
    return found, [line for it in found for line in it.splitlines(keepends=True)], False


@given(st.lists(st.sampled_from([b"", b"a", b"bcd", b"e" * 30, b"\0"])), st.integers(1, 40))
def test_blocks_hold_the_lines_that_are_read_one_by_one(lines: list[bytes], size: int) -> None:
    content = b"\n".join(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_BLOCK", size)
        for most in (1 << 20, len(content), len(content) // 2):
            blocks, *same = read(files.blocks_in, content, most)
            assert same == list(read(files.lines_in, content, most)[1:])
            assert all(block.endswith(b"\n") for block in blocks[:-1])


def test_of_a_line_that_is_too_long_a_block_keeps_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK", 4)
    content = b"ab\n" + b"c" * 50 + b"\nde\nf"
    blocks = list(files.blocks_in(io.BytesIO(content), longest=9, most=1 << 20))
    assert blocks[:2] == [b"ab\n", b"c" * 9]
    assert b"".join(blocks[2:]) == b"de\nf"


def test_a_line_file_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        LineFile(tmp_path / "link")


def test_a_line_file_does_not_wait_at_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="Illegal seek"):
        LineFile(tmp_path / "fifo")


def test_replacing_a_link_replaces_the_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    replace(tmp_path / "link", b"new")
    assert (tmp_path / "precious").read_bytes() == b"x"
    assert (tmp_path / "link").read_bytes() == b"new"
    assert not (tmp_path / "link").is_symlink()


def test_a_replacement_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace(tmp_path / "folder", b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
