"""Whoever watches a run, and the thread it watches from.

An observer sees copies of what was already delivered. It may be slow, raise or never return:
the relay does not notice, and the operator reads one line about it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, ParamSpec, Protocol, TypeAlias, TypeVar

from otel_untether.clock import Clock  # noqa: TC001  a NamedTuple's field
from otel_untether.notice import notice
from otel_untether.supervisor.copies import Ended

if TYPE_CHECKING:
    from otel_untether.supervisor.copies import Copied, Tap

TICK: Final = 1_000_000_000  # ns
# Seconds between looks at a busy stream: every chunk for itself would cost the relay a switch.
_NAP: Final = 0.005
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Child(NamedTuple):
    """The agent, just spawned.

    `started` is in ns since the epoch on `clock`, which also dates the chunks. `relayed` names
    the streams whose copies will come; of one that is not in it, silence says nothing. "stdout"
    carries stderr as well where both are one file (`2>&1`). `blocked_since` returns since when
    (ns) a write to a consumer is under way, None while none is: a consumer that does not read.
    """

    pid: int
    argv: tuple[str, ...]
    started: int
    clock: Clock
    relayed: frozenset[str]
    blocked_since: Callable[[], int | None]


class Observer(Protocol):
    """What a run is reported to, always from one thread; times in ns since the epoch.

    `tick_interval` is how often it wants to be called, in ns; `overtime` how many seconds
    beyond the exit timeout its `finish` may take, because a kill is being carried out. Once
    `reads_stdout` is false, it is told how much of it passed in place of what.
    """

    tick_interval: int = TICK
    overtime: float = 0.0
    reads_stdout: bool = True

    def stdout(self, chunk: bytes, at: int) -> None:
        """Take bytes as they came; a line may span chunks."""

    def passed(self, size: int, at: int) -> None:
        """Note that so many bytes of stdout came unread, the last of them then."""

    def stderr(self, chunk: bytes, at: int) -> None:
        """Take bytes as they came; a line may span chunks."""

    def gap(self) -> None:
        """Note that some of stdout is missing here: resume at the next newline."""

    def tick(self, now: int) -> None:
        """Called every `tick_interval` or so, in silence too."""

    def finish(self, exit_code: int | None, signal: int | None, at: int) -> str | None:
        """Note the agent's end and return a line for the operator.

        One of `exit_code` and `signal` is None; both are, where the status is unknown.
        """


ObserverFactory: TypeAlias = Callable[[Child], Observer]


class ObserverThread(threading.Thread):
    """Makes the observer, which may import a lot, and tells it what happens.

    An error is reported once and the observer goes on being told: that one line could not be
    decoded must not cost the session's spans. `summary` is what `finish` returned,
    `failed` whether there was an error.
    """

    def __init__(
        self, factory: ObserverFactory, child: Child, queue: SimpleQueue[Copied | Ended]
    ) -> None:
        super().__init__(name="otel-untether-observer", daemon=True)
        self.summary: str | None = None
        self._factory = factory
        self._child = child
        self._queue = queue
        self._observer: Observer | None = None
        self._unread: Tap | None = None
        self._passed = 0
        self.failed = False

    @property
    def overtime(self) -> float:
        """Seconds that the end may take beyond its timeout."""
        return 0.0 if self._observer is None else self._observer.overtime

    def run(self) -> None:
        """Observe until the end; nothing is raised."""
        observer = self._observer = self._guarded(self._factory, self._child)
        if observer is None:
            self._discard()
            return
        ended = self._observe(observer)
        self.summary = self._guarded(observer.finish, ended.exit_code, ended.signal, ended.at)

    def _observe(self, observer: Observer) -> Ended:
        now = self._child.clock.now
        next_tick = now() + observer.tick_interval
        while True:
            item = self._next((next_tick - now()) / 1e9)
            if isinstance(item, Ended):
                self._count(observer)
                return item
            if item is not None:
                self._show(observer, item)
                if self._queue.empty():
                    time.sleep(_NAP)
            if now() >= next_tick:
                self._count(observer)
                self._guarded(observer.tick, now())
                next_tick = now() + observer.tick_interval

    def _next(self, timeout: float) -> Copied | Ended | None:
        try:
            return self._queue.get(timeout=max(0.0, timeout))
        except Empty:
            return None

    def _show(self, observer: Observer, copied: Copied) -> None:
        is_stdout = copied.tap.name == "stdout"
        if copied.chunk is not None:
            take = observer.stdout if is_stdout else observer.stderr
            self._guarded(take, copied.chunk, copied.at)
        elif is_stdout:
            self._guarded(observer.gap)
        copied.tap.take(copied)
        if is_stdout and not observer.reads_stdout and self._unread is None:
            self._unread = copied.tap
            copied.tap.unread = True

    def _count(self, observer: Observer) -> None:
        """Tell of what came since the last time, if nobody reads it."""
        if self._unread is None or (new := self._unread.uncopied - self._passed) == 0:
            return
        self._passed += new
        self._guarded(observer.passed, new, self._unread.passed_at)

    def _discard(self) -> None:
        while not isinstance(item := self._queue.get(), Ended):
            item.tap.close()

    def _guarded(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        try:
            return call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  whatever it is, the agent runs on
            if not self.failed:
                self.failed = True
                notice(f"telemetry failed, the agent is unaffected: {_told(error)}")
            return None


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
