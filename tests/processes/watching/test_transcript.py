"""The transcript of a live session is found on disk, and nobody waits for it."""

from __future__ import annotations

import os
from pathlib import Path

from otel_untether.proc_diag.deep_look import TranscriptLook
from otel_untether.session.state import SessionState
from otel_untether.watching import transcript
from otel_untether.watching.transcript import TranscriptWatch
from tests.support.processes import eventually

SESSION = "ba41dfc2-6f72-4c77-a9f1-350b7c376a4a"


def state(session: str | None = SESSION, engine: str = "claude") -> SessionState:
    return SessionState("r", 0, engine=engine, session_id=session)


def write(path: Path, at: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}\n")
    os.utime(path, (at, at))


def test_the_file_written_last_is_told_of_agent_and_subagents(tmp_path: Path) -> None:
    main = tmp_path / ".claude/projects/-src" / f"{SESSION}.jsonl"
    sub = main.with_suffix("") / "subagents" / "agent-1.jsonl"
    write(main, 1000.0)
    write(sub, 2000.0)
    write(main.with_name("another.jsonl"), 3000.0)
    environ = {"HOME": str(tmp_path)}
    assert transcript.newest(state(), environ) == TranscriptLook(str(sub), 3, 2000.0)
    os.utime(main, (4000.0, 4000.0))
    assert transcript.newest(state(), environ) == TranscriptLook(str(main), 3, 4000.0)


def test_there_may_be_none(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    for one in (state(), state(None), state(engine="unknown"), state("../x")):
        assert transcript.newest(one, environ) is None


def test_a_look_tells_what_was_found_by_then(tmp_path: Path) -> None:
    path = tmp_path / ".claude/projects/-src" / f"{SESSION}.jsonl"
    write(path, 1000.0)
    watch = TranscriptWatch(state(), lambda: b"A=b\0HOME=%s\0" % os.fsencode(tmp_path))
    eventually(watch.look)
    path.write_text("more")
    os.utime(path, (2000.0, 2000.0))
    eventually(lambda: watch.look() == TranscriptLook(str(path), 4, 2000.0))
