"""The zoo: each state is judged as its row says, with kills off, on, and opted in for all causes.

All states of a pass are watched side by side, as the sessions of a host are, but for those that
need a good part of a core; a part of them once more while two loops take both cores.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from tests.processes.verdicts import (
    asleep,
    machines,
    models,
    sessions,
    terminals,
    tools,
    ways_in,
)
from tests.processes.verdicts.zoo import Named, Zoo, impossible, to_be_killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.processes.verdicts.zoo import Mode, Outcome, State

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.timeout(900),
]

TABLES: Final = (asleep, models, tools, terminals, sessions, machines, ways_in)
STATES: Final = {
    f"{table.__name__.rpartition('.')[2]}: {state.name}": state
    for table in TABLES
    for state in table.STATES
    if impossible(state) is None
}
# So many are watched at a time, and of those that need a good part of a core to come about.
_TOGETHER: Final = 12
_NEEDING: Final = 1
# Every third also on a busy machine.
_SHARE: Final = 3


def _is_killed(state: State) -> bool:
    return isinstance(state.right, Named) and to_be_killed(state.right, "kill")


_CASES: Final[list[tuple[str, Mode, bool]]] = [
    *((name, "kill", False) for name in STATES),
    *((name, "all", False) for name, state in STATES.items() if not _is_killed(state)),
    *((name, "off", False) for name, state in STATES.items() if _is_killed(state)),
    *((name, "kill", True) for name in list(STATES)[::_SHARE] if not STATES[name].share),
]


class Passes:
    """Judges cases side by side: those of a quiet machine first, then those of a busy one."""

    def __init__(self, zoo: Zoo, cases: list[tuple[str, Mode, bool]]) -> None:
        self._zoo = zoo
        self.outcomes: dict[tuple[str, Mode, bool], Future[Outcome]] = {c: Future() for c in cases}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        for future in self.outcomes.values():
            future.cancel()
        self._thread.join()

    def _run(self) -> None:
        quiet = [case for case in self.outcomes if not case[2]]
        needing = [case for case in quiet if STATES[case[0]].share]
        self._pass([case for case in quiet if case not in needing], _TOGETHER)
        self._pass(needing, _NEEDING)
        self._pass([case for case in self.outcomes if case[2]], _TOGETHER, loaded=True)

    def _pass(
        self, cases: list[tuple[str, Mode, bool]], together: int, *, loaded: bool = False
    ) -> None:
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(together) as pool:
            for _ in range(2 if loaded and cases else 0):
                loop = [sys.executable, "-SE", "-c", "while True: pass"]
                spinner = stack.enter_context(subprocess.Popen(loop))
                stack.callback(spinner.kill)
            list(pool.map(self._judge, cases))

    def _judge(self, case: tuple[str, Mode, bool]) -> None:
        future = self.outcomes[case]
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(self._zoo.judge(STATES[case[0]], case[1], loaded=case[2]))
        except BaseException as error:  # noqa: BLE001  the test is to raise it
            future.set_exception(error)


@pytest.fixture(scope="module")
def passes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Passes]:
    items = (item for item in request.session.items if item.path == request.path)
    specs = (getattr(item, "callspec", None) for item in items)
    cases = [spec.params["case"] for spec in specs if spec is not None]
    logger = logging.getLogger("otel_untether")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    folder: Path = tmp_path_factory.mktemp("zoo")
    zoo = Zoo(folder)
    running = Passes(zoo, cases)
    yield running
    running.close()
    zoo.close()
    logger.setLevel(level)


def _name(case: tuple[str, Mode, bool]) -> str:
    return f"{case[0]}-{case[1]}{'-loaded' if case[2] else ''}"


@pytest.mark.parametrize("case", _CASES, ids=_name)
def test_the_state_is_judged_as_its_row_says(passes: Passes, case: tuple[str, Mode, bool]) -> None:
    assert passes.outcomes[case].result().wrong() == []


def test_every_row_is_judged_or_says_why_not() -> None:
    """What is left out is said at the end of the run, see conftest."""
    rows = [state for table in TABLES for state in table.STATES]
    left = [state for state in rows if impossible(state) is not None]
    assert len(STATES) + len(left) == len(rows)
    assert all(state.needs or state.privileged for state in left), "any machine can"


def test_the_zoo_is_large() -> None:
    assert len(STATES) >= 120
