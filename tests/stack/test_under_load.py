"""Each piece of the stack is killed while sessions run: nothing is lost, nothing is stuck."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import pytest

from scripts.stack.backends import Stack, eventually
from scripts.stack.measure import counter, post
from tests.stack.agents import Runner, Session
from tests.stack.test_limits import LARGE, large
from tests.stack.test_outages import dangling, resent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AWAY = 60.0 if os.environ.get("SOAK") else 2.0  # seconds for which each of them is
TOGETHER = 3  # sessions at any time
_KINDS = [LARGE[name] for name in ("attribute", "list", "event", "resource")]


class Load:
    """Sessions and large spans, one after the other, for as long as they are wanted."""

    def __init__(self, stack: Stack, runner: Runner) -> None:
        self._url = f"{stack.endpoint()}/v1/traces"
        self._runner = runner
        self._over = threading.Event()
        self.sessions: list[Session] = []
        self.large: list[str] = []
        self._pool = ThreadPoolExecutor(TOGETHER + 1)
        self._jobs = [self._pool.submit(self._run_sessions) for _ in range(TOGETHER)]
        self._jobs.append(self._pool.submit(self._send_large))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let what runs come to its end."""
        self._over.set()
        for job in self._jobs:
            job.result()
        self._pool.shutdown()

    def _run_sessions(self) -> None:
        while not self._over.is_set():
            self.sessions.append(self._runner.run())

    def _send_large(self) -> None:
        """Send attributes of 70 kB, each until a collector has taken it."""
        while not self._over.wait(0.5):
            trace_id, body = large(_KINDS[len(self.large) % len(_KINDS)])
            while not (taken := self._taken(body)) and not self._over.wait(0.5):
                pass
            self.large += [trace_id] * taken

    def _taken(self, body: bytes) -> bool:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            post(self._url, body)
            return True
        return False


@pytest.fixture
def own_stack(binaries: dict[str, str], tmp_path: Path) -> Iterator[Stack]:
    with Stack(binaries, tmp_path) as running:
        yield running


def whole(stack: Stack, session: Session) -> bool:
    spans = stack.spans_of(session.service)
    ids = [span["spanId"] for span in spans]
    assert len(ids) == len(set(ids)), "a span is shown twice"
    return "invoke_agent claude" in [span["name"] for span in spans] and not dangling(spans)


def counted(stack: Stack, session: Session) -> bool:
    """Whether its counters came, too, which were the last that it said."""
    mine = f'service_name="{session.service}", untether_session_outcome!=""'
    calls = f"last_over_time(gen_ai_invoke_agent_duration_seconds{{{mine}}}[1h])"
    return bool(stack.query(calls))


def test_whoever_is_away_for_a_while_costs_nothing(own_stack: Stack, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    pieces = (own_stack.collector, own_stack.jaeger, own_stack.prometheus, own_stack.alertmanager)
    with Load(own_stack, Runner(own_stack, state, options=())) as load:
        for backend in pieces:
            backend.kill()
            time.sleep(AWAY)
            backend.start()
        taken = len(load.large)
        eventually("large spans are taken again", lambda: len(load.large) > taken)
    assert {session.process.returncode for session in load.sessions} == {0}
    eventually("nothing is left with the sessions", lambda: resent(own_stack, state))
    for session in load.sessions:
        eventually("it is in Jaeger", lambda: whole(own_stack, session))  # noqa: B023
        eventually("it is counted", lambda: counted(own_stack, session))  # noqa: B023
    for trace_id in load.large:
        eventually("a large span is in Jaeger", lambda: own_stack.trace(trace_id))  # noqa: B023
    queued = "otelcol_exporter_queue_size"
    eventually("no queue holds anything", lambda: not counter(own_stack, queued))
    eventually("alerts reach Alertmanager", own_stack.alerts)
    print(f"{len(load.sessions)} sessions, {len(load.large)} large spans, {AWAY:.0f} s each")
