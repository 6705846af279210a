"""What a tree used, while members come and go."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from otel_untether.proc_diag.accounting import Account, Meter, used_between
from otel_untether.proc_diag.snapshot import Identity

LEADER, CHILD, GRANDCHILD = (Identity(pid, 1.0) for pid in (10, 11, 12))


def test_growth_of_all_members_is_added_up() -> None:
    before = {LEADER: Account(1, 1), CHILD: Account(5, 10)}
    after = {LEADER: Account(2, 1), CHILD: Account(8, 10)}
    assert used_between(before, after) == 4


def test_new_member_brings_what_it_used() -> None:
    assert (
        used_between({LEADER: Account(1, 1)}, {LEADER: Account(1, 1), CHILD: Account(3, 10)}) == 3
    )


def test_child_that_was_waited_for_is_not_counted_twice() -> None:
    before = {LEADER: Account(1, 1), CHILD: Account(5, 10)}
    assert used_between(before, {LEADER: Account(7, 1)}) == 1


def test_chain_of_ended_members_is_found_in_the_nearest_ancestor() -> None:
    before = {LEADER: Account(0, 1), CHILD: Account(2, 10), GRANDCHILD: Account(3, 11)}
    assert used_between(before, {LEADER: Account(6, 1)}) == 1


def test_child_nobody_waited_for_takes_nothing_from_the_others() -> None:
    """Where SIGCHLD is ignored its time is lost, but the rest did not go idle."""
    before = {LEADER: Account(1, 1), CHILD: Account(100, 10), GRANDCHILD: Account(1, 10)}
    after = {LEADER: Account(1, 1), GRANDCHILD: Account(4, 10)}
    assert used_between(before, after) == 3


def test_pid_taken_over_by_a_sibling_is_another_account() -> None:
    later = Identity(11, 2.0)
    before = {LEADER: Account(0, 1), CHILD: Account(5, 10)}
    after = {LEADER: Account(5, 1), later: Account(2, 10)}
    assert used_between(before, after) == 2


def test_first_reading_has_a_total_and_no_rate() -> None:
    assert Meter().read(1.0, {LEADER: Account(3, 1)}) == (3, None)


def test_unknown_reading_is_unknown_and_the_next_one_closes_the_gap() -> None:
    meter = Meter()
    meter.read(0.0, {LEADER: Account(3, 1)})
    assert meter.read(1.0, None) == (None, None)
    assert meter.read(2.0, {LEADER: Account(5, 1)}) == (5, 1.0)


def test_total_does_not_go_back_when_everybody_has_gone() -> None:
    meter = Meter()
    meter.read(0.0, {LEADER: Account(3, 1)})
    assert meter.read(1.0, {}) == (3, 0.0)


@dataclass
class Process:
    """A simulated process: what it used itself and what it was credited for its children."""

    identity: Identity
    parent: Process | None
    own: int = 0
    waited: int = 0
    children: list[Process] = field(default_factory=list)


@given(st.lists(st.tuples(st.sampled_from(["burn", "fork", "exit", "look"]), st.integers(0, 30))))
def test_any_history_is_counted_exactly(history: list[tuple[str, int]]) -> None:
    """Whatever is forked, burned and waited for between looks, the total is what was burned."""
    leader = Process(LEADER, None)
    alive, burned, next_pid, meter, now = [leader], 0, 11, Meter(), 0.0
    for action, number in [*history, ("look", 0)]:
        process = alive[number % len(alive)]
        if action == "burn":
            process.own += number
            burned += number
        elif action == "fork":
            child = Process(Identity(next_pid, float(next_pid)), process)
            next_pid += 1
            process.children.append(child)
            alive.append(child)
        elif action == "exit" and process.parent and not process.children:
            process.parent.waited += process.own + process.waited
            process.parent.children.remove(process)
            alive.remove(process)
        elif action == "look":
            now += 1
            total, _ = meter.read(
                now,
                {
                    each.identity: Account(
                        each.own + each.waited, each.parent.identity.pid if each.parent else 1
                    )
                    for each in alive
                },
            )
            assert total == burned
