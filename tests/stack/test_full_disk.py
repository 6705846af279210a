"""The disk below the collector's queue is full: what was taken arrives, what was not is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.stack.backends import Stack, eventually
from tests.stack.agents import Runner
from tests.stack.test_agents_queue import arrive, taken
from tests.stack.test_outages import dangling, resent, send_span

if TYPE_CHECKING:
    from collections.abc import Iterator

# A small file system of the collector's own, with room that can be made later.
MOUNT = 'mount -t tmpfs -o size=8m none "$0" && head -c 1000000 /dev/zero > "$0/room" && exec "$@"'


@pytest.fixture
def small_disk(binaries: dict[str, str], tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(binaries, tmp_path)
    queue = tmp_path / "queue"
    queue.mkdir()
    inside = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(queue))
    stack.collector.command[:0] = inside
    with stack:
        yield stack


def make_room(stack: Stack) -> None:
    """Delete what lies beside the queue, where only the collector sees it."""
    process = stack.collector.process
    assert process is not None
    queue = stack.collector.environment["OTELCOL_QUEUE_DIRECTORY"]
    Path(f"/proc/{process.pid}/root{queue}/room").unlink()


def test_a_full_disk_loses_nothing_and_once_there_is_room_nothing_waits(
    small_disk: Stack, tmp_path: Path
) -> None:
    small_disk.jaeger.kill()
    held = list(iter(lambda: taken(small_disk), None))
    assert len(held) > 10
    state = tmp_path / "state"
    state.mkdir()
    session = Runner(small_disk, state, options=()).run()
    assert session.process.returncode == 0
    small_disk.jaeger.start()
    arrive(small_disk, held)
    make_room(small_disk)
    eventually("nothing is left with the session", lambda: resent(small_disk, state))
    eventually(
        "the session is whole",
        lambda: (s := small_disk.spans_of(session.service)) and not dangling(s),
    )
    arrive(small_disk, [send_span(small_disk)])


def used(path: str) -> float:
    """Return which share of a disk is used, as df says: of what is used or may be."""
    disk = os.statvfs(path)
    used = disk.f_blocks - disk.f_bfree
    return used / (used + disk.f_bavail)


def test_the_alert_sees_a_disk_as_full_as_df_does(stack: Stack) -> None:
    """It was "85 % used" with 37 GB to write, on a disk with more blocks than may be used."""
    (rule,) = [rule for rule in stack.rules() if rule["name"] == "UntetherDiskFilling"]
    share, threshold, _ = rule["query"].partition(" > 0.85")
    assert threshold
    seen = eventually("the disks are seen", lambda: stack.query(share))
    found = {each["metric"]["mountpoint"]: float(each["value"][1]) for each in seen}
    assert found["/"] == pytest.approx(used("/"), abs=0.02)
