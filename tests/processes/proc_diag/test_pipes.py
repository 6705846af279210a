"""Pipes that a tree reads and others write to are told of; those of its own are not."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_untether.proc_diag import Tree, look_deeper
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# argv: a descriptor to read. It has a pipe of its own as well, and one that its child writes to.
READER = """
import os, subprocess, sys
own = os.pipe()
child = subprocess.Popen(["sleep", "600"], stdout=subprocess.PIPE)
print("ready", flush=True)
os.read(int(sys.argv[1]), 1)
print("woken", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            continue


def test_a_pipe_is_told_of_while_others_can_write_to_it(ends: tuple[int, int]) -> None:
    reading, writing = ends
    process = subprocess.Popen(
        [sys.executable, "-SE", "-c", READER, str(reading)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(reading,),
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        tree = Tree(process.pid)
        pipe = os.readlink(f"/proc/self/fd/{reading}")  # noqa: PTH115  it is no path
        for _ in range(2):  # the second look remembers those that have not run
            processes.eventually(lambda: [one.target for one in look_deeper(tree).pipes] == [pipe])
        assert look_deeper(tree).pipes[0].owner.pid == process.pid
        os.close(writing)
        assert process.stdout.readline() == b"woken\n"
        assert look_deeper(tree).pipes == ()
    finally:
        processes.end_tree(process)
