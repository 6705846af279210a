"""Whatever a CLI prints, in whatever order: the tree stays a tree and everything ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otel_untether.session import events as ev
from otel_untether.session.activity import Activity, Change, Closed, Opened, close
from otel_untether.session.fold.apply import apply, finish
from otel_untether.session.state import SessionState

IDS = st.sampled_from(["a", "b", "c", "d"])
PARENTS = st.none() | IDS
TIMES = st.integers(0, 100)
ERRORS = st.none() | st.just("boom")

EVENTS = st.one_of(
    st.builds(ev.SessionStarted, at=TIMES, session_id=IDS, model=st.just("m")),
    st.builds(ev.TurnStarted, at=TIMES),
    st.builds(ev.TurnFinished, at=TIMES, error=ERRORS, cost_usd=st.none() | st.floats(0, 9)),
    st.builds(ev.ModelAsked, at=TIMES, parent=PARENTS),
    st.builds(
        ev.ModelMessage, at=TIMES, happened=st.none() | TIMES, id=PARENTS, parent=PARENTS,
        error=ERRORS, usage=st.none() | st.builds(ev.Usage, input=st.integers(0, 9)),
    ),
    st.builds(
        ev.ToolStarted, at=TIMES, happened=st.none() | TIMES, id=IDS, name=IDS, parent=PARENTS,
        subagent=PARENTS,
    ),
    st.builds(ev.ToolUpdated, at=TIMES, id=IDS),
    st.builds(
        ev.ToolFinished, at=TIMES, happened=st.none() | TIMES, id=IDS, parent=PARENTS,
        error=ERRORS, detached=st.booleans(), name=PARENTS, started=st.none() | TIMES,
    ),
    st.builds(
        ev.TaskStarted, at=TIMES, id=IDS, kind=st.sampled_from(["agent", "shell", "odd"]),
        tool_id=PARENTS, parent_task=PARENTS,
    ),
    st.builds(ev.TaskProgress, at=TIMES, id=IDS, tokens=st.none() | TIMES),
    st.builds(ev.TaskFinished, at=TIMES, id=IDS, tool_id=PARENTS, error=ERRORS),
    st.builds(
        ev.WaitBegan, at=TIMES, id=IDS, tool_id=PARENTS,
        kind=st.sampled_from(["approval", "question", "hook", "scheduled"]),
    ),
    st.builds(ev.WaitEnded, at=TIMES, id=IDS),
    st.builds(ev.Retry, at=TIMES, delay=st.none() | st.floats(0, 9)),
    st.builds(ev.RateLimited, at=TIMES, status=st.sampled_from(["allowed", "rejected"])),
    st.builds(ev.Compaction, at=TIMES, phase=st.sampled_from(["began", "beat", "ended"])),
    st.builds(ev.StrayLine, at=TIMES, reason=st.just("not_json")),
)  # fmt: skip


def play(
    events: list[ev.Event], *, multi_prompt: bool, clean: bool
) -> tuple[SessionState, list[Change]]:
    state = SessionState("run", started=10, multi_prompt=multi_prompt)
    changes: list[Change] = []
    for event in events:
        changes += apply(state, event)
    changes += finish(state, 200, "over", clean=clean)
    return state, changes + close(state.root, 200)


@given(st.lists(EVENTS, max_size=40), st.booleans(), st.booleans())
def test_the_tree_holds(events: list[ev.Event], multi_prompt: bool, clean: bool) -> None:  # noqa: FBT001
    """Each activity opens once and closes once, children before parents and inside them."""
    state, changes = play(events, multi_prompt=multi_prompt, clean=clean)
    alive: set[Activity] = {state.root}
    for change in changes:
        if isinstance(change, Opened):
            activity = change.activity
            assert activity not in alive
            assert activity.parent in alive
            alive.add(activity)
        elif isinstance(change, Closed):
            activity = change.activity
            alive.remove(activity)
            assert not activity.children
            assert activity.end is not None
            assert activity.start <= activity.end
            if activity.parent is not None:
                assert activity.parent.start <= activity.start
                assert activity.parent.end is None or activity.end <= activity.parent.end
    assert alive == set()
    assert not state.open
    assert not state.background
    assert not state.tasks


@given(st.lists(EVENTS, max_size=40))
def test_what_closed_says_why_if_it_was_not_seen_to(events: list[ev.Event]) -> None:
    _, changes = play(events, multi_prompt=False, clean=False)
    for change in changes:
        if isinstance(change, Closed) and change.activity.reason is not None:
            assert change.activity.error is not None
