from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from otel_untether.supervisor import streams as outlets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def point() -> Iterator[Callable[[int, int], None]]:
    """Lets a test point stdout and stderr somewhere, and puts them back."""
    saved = {fd: os.dup(fd) for fd in (1, 2)}

    def pointing(fd: int, target: int) -> None:
        os.dup2(target, fd)

    yield pointing
    for fd, copy in saved.items():
        os.dup2(copy, fd)
        os.close(copy)


def opened(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_WRONLY)


def test_two_files_get_two_pipes(point: Callable[[int, int], None], tmp_path: Path) -> None:
    point(1, opened(tmp_path / "out"))
    point(2, opened(tmp_path / "err"))
    assert outlets.relayed(terminal=False) == [(1,), (2,)]


def test_one_file_gets_one_pipe(point: Callable[[int, int], None], tmp_path: Path) -> None:
    file = opened(tmp_path / "both")
    point(1, file)
    point(2, file)
    assert outlets.relayed(terminal=False) == [(1, 2)]


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="Linux")
def test_a_pipe_of_ours_takes_at_once_what_the_target_would(
    point: Callable[[int, int], None], tmp_path: Path
) -> None:
    """A file takes all of it; a pipe what whoever reads it has made of it."""
    read, write = os.pipe()
    larger, target = os.pipe()
    fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, 1 << 18)
    sizes = []
    for fd in (opened(tmp_path / "out"), write, target):
        point(1, fd)
        outlet = outlets.Outlet((1,), last=False)
        sizes.append(fcntl.fcntl(outlet.sink, fcntl.F_GETPIPE_SZ))
        for end in (outlet.source, outlet.sink, fd):
            os.close(end)
    assert sizes == [1 << 18, 1 << 16, 1 << 18]
    for fd in (read, larger):
        os.close(fd)


def test_where_the_allowance_for_pipes_is_short_ours_are_as_all_are(
    point: Callable[[int, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each new pipe of the user's would hold 8 KB, and be cut there by agents on Node."""
    point(1, opened(tmp_path / "out"))
    enlarged: list[int] = []
    monkeypatch.setattr(outlets, "enlarge", lambda _pipe, size: enlarged.append(size))
    outlet = outlets.Outlet((1,), last=False)
    assert enlarged == [outlets.LARGE]
    for end in (outlet.source, outlet.sink):
        os.close(end)


def test_the_null_device_has_no_order_to_keep(point: Callable[[int, int], None]) -> None:
    """And stderr is not mistaken for stdout just because both are thrown away."""
    null = os.open(os.devnull, os.O_WRONLY)
    point(1, null)
    point(2, null)
    assert outlets.relayed(terminal=False) == [(1,), (2,)]


def test_a_terminal_is_not_relayed(point: Callable[[int, int], None]) -> None:
    ours, theirs = os.openpty()
    point(1, theirs)
    point(2, theirs)
    assert outlets.relayed(terminal=False) == []
    assert outlets.relayed(terminal=True) == [(1,)]
    os.close(ours)
    os.close(theirs)


def test_a_descriptor_that_is_closed_on_exec_is_not_relayed(
    point: Callable[[int, int], None], tmp_path: Path
) -> None:
    """That is how `occupy_closed` marks those that were closed when we started."""
    point(1, opened(tmp_path / "out"))
    point(2, opened(tmp_path / "err"))
    os.set_inheritable(1, False)  # noqa: FBT003  its signature
    assert outlets.relayed(terminal=False) == [(2,)]
