"""A run that goes on with a session is linked to the run that had it last."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_untether.session.state import SessionState
from otel_untether.store.runs import SessionOutcome, Store
from otel_untether.watching.resumption import Resumption
from otel_untether.watching.subject import RunInfo

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Tracer:
    """A session's, of which only the root is looked at."""

    def __init__(self) -> None:
        self.root = TracerProvider().get_tracer("test").start_span("invoke_agent pi")


def links(home: Path, argv: str, session: str) -> list[str]:
    """The traces to which a run is linked once it has said which session it is."""
    store, tracer = Store(home), Tracer()
    before = SessionOutcome(
        engine="pi", session_id="before", outcome="completed", at=1, trace_id=TRACE, span_id=SPAN
    )
    assert store.remember_outcome(before)
    run = RunInfo.of_command("run", 2, argv.split())
    state = SessionState("run", started=2, engine="pi")
    resumed = Resumption(store, state, tracer, lambda: None, run.continues)  # type: ignore[arg-type]
    resumed.identified(session)
    return [f"{link.context.trace_id:032x}" for link in tracer.root.links]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("argv", "session", "linked"),
    [
        ("pi -p --session before x", "before", True),
        ("pi -p --fork before x", "new", True),
        ("pi -p --fork other x", "new", False),
        ("pi -p x", "new", False),
    ],
)
def test_it_is_told_by_the_session_or_by_what_that_was_forked_from(
    tmp_path: Path, argv: str, session: str, *, linked: bool
) -> None:
    assert links(tmp_path, argv, session) == ([TRACE] if linked else [])
