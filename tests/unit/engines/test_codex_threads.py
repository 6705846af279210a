"""Which of Codex' files belong to a session: its subagents', wherever and whenever begun."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otel_untether.engines.codex.transcript import threads


def rollout(folder: Path, thread: str, parent: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-2026-11-20T10-00-00-{thread}.jsonl"
    payload = {"id": thread} | ({"parent_thread_id": parent} if parent else {})
    path.write_text(json.dumps({"type": "session_meta", "payload": payload}) + "\n")
    return path


@pytest.fixture
def day(tmp_path: Path) -> Path:
    return tmp_path / "2026" / "11" / "30"


def test_subagents_of_subagents_are_its_own_and_others_are_not(day: Path) -> None:
    main, child = rollout(day, "main"), rollout(day, "child", "main")
    below = rollout(day, "below", "child")
    rollout(day, "another")
    rollout(day, "anothers", "another")
    assert threads.threads_below(main) == [child, below]
    assert threads.threads_below(child) == [below]


def test_one_that_is_begun_later_is_found(day: Path) -> None:
    main = rollout(day, "main")
    assert threads.threads_below(main) == []
    children = []
    for number in range(20):
        children.append(rollout(day, f"child-{number:02}", "main"))
        os.utime(day, (number, number))  # looks are further apart than two of a folder's times
        assert threads.threads_below(main) == children


def test_one_that_is_begun_after_midnight_is_found(day: Path, tmp_path: Path) -> None:
    main = rollout(day, "main")
    child = rollout(tmp_path / "2026" / "12" / "01", "child", "main")
    below = rollout(tmp_path / "2026" / "12" / "01", "below", "child")
    assert threads.threads_below(main) == [child, below]


def test_one_whose_first_entry_is_not_whole_is_read_again(day: Path) -> None:
    main, child = rollout(day, "main"), rollout(day, "child", "main")
    whole = child.read_text()
    child.write_text(whole[:20])
    for _ in range(3):
        assert threads.threads_below(main) == []
    child.write_text(whole)
    assert threads.threads_below(main) == [child]


def test_several_sessions_may_ask_at_once(tmp_path: Path) -> None:
    days = [tmp_path / f"{number}" for number in range(40)]  # more than are remembered
    mains = [rollout(day, "main") for day in days]
    children = [rollout(day, f"child-{n}", "main") for day in days for n in range(5)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(threads.threads_below, [*mains, *mains, *mains, *mains]))
    finally:
        sys.setswitchinterval(interval)
    assert [path for main in mains for path in threads.threads_below(main)] == children


def test_a_circle_is_no_trap(day: Path) -> None:
    one, two = rollout(day, "one", "two"), rollout(day, "two", "one")
    assert threads.threads_below(one) == [two]
    assert threads.threads_below(two) == [one]


@pytest.mark.parametrize("name", ["2026/02/31", "9999/12/31", "2026/99/01", "sessions"])
def test_any_folder_will_do(tmp_path: Path, name: str) -> None:
    main, child = rollout(tmp_path / name, "main"), rollout(tmp_path / name, "child", "main")
    assert threads.threads_below(main) == [child]


def test_no_folder_is_no_subagents(tmp_path: Path) -> None:
    assert threads.threads_below(tmp_path / "gone" / "rollout-x.jsonl") == []
