"""Either process may be killed, a crowd may run at once, a shell may do what it likes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.processes.reliability import crowd, killing, shell_situations
from tests.support.effort import effort


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_whoever_is_killed_and_when_there_is_one_root_and_every_span_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = time.time_ns()
    done, wrong = killing.carry_out(effort(60, 1000), seed)
    with capsys.disabled():
        print(f"\nseed {seed}\n" + killing.table(done, wrong))
    assert not wrong
    assert sum(one.hit for one in done) >= len(done) // 2


@pytest.mark.timeout(900)
def test_two_hundred_short_runs_at_once_leave_two_hundred_whole_traces(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = crowd.carry_out(200, 200)
    with capsys.disabled():
        print("\n" + crowd.table(found))
    assert (found.bytes_right, found.status_right, found.complete) == (200, 200, 200)


@pytest.mark.timeout(900)
def test_in_a_shell_it_is_as_if_we_were_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = list(shell_situations.situations())
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda one: shell_situations.compared(one[0], one[1]), chosen))
    differing = {name: text for (name, _), text in zip(chosen, results, strict=True) if text}
    with capsys.disabled():
        print(f"\n{len(chosen)} situations, {len(differing)} differ: {', '.join(differing)}")
    assert not [text for name, text in differing.items() if name not in shell_situations.DIFFERENT]
