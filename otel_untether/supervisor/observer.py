"""Whoever watches a run: what it is told, and what it is told about.

An observer sees copies of what was already delivered, in a process of its own
(`observer_process`). It may be slow, raise, never return or be killed: the relay does not
notice, and the operator reads one line about it.
"""

# Without annotations from __future__: named tuples are made of real ones in half the time.
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol, TypeAlias

from otel_untether.clock import Clock

TICK: Final = 1_000_000_000  # ns


class Child(NamedTuple):
    """The agent, just spawned.

    `started` is in ns since the epoch on `clock`, which also dates the chunks. `relayed` names
    the streams whose copies will come; of one that is not in it, silence says nothing. "stdout"
    carries stderr as well where both are one file (`2>&1`). `blocked_since` returns since when
    (ns) a write to a consumer is under way, None while none is: a consumer that does not read.
    `reaper` is the process that adopts and reaps the agent's orphans, None where nobody does.
    """

    pid: int
    argv: tuple[str, ...]
    started: int
    clock: Clock
    relayed: frozenset[str]
    blocked_since: Callable[[], int | None]
    reaper: int | None = None


class Observer(Protocol):
    """What a run is reported to, always from one thread; times in ns since the epoch.

    `tick_interval` is how often it wants to be called, in ns; `overtime` how many seconds
    beyond the exit timeout its `finish` may take, because a kill is being carried out. Once
    `reads_stdout` is false, it is told how much of it passed in place of what.
    """

    tick_interval: int = TICK
    overtime: float = 0.0
    reads_stdout: bool = True

    def together(self) -> AbstractContextManager[object]:
        """Be told, within what is returned, what had come before anybody looked."""
        return contextlib.nullcontext()

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

    def relay_lost(self, at: int) -> None:
        """Note that the relay was killed: nothing more will be heard of the agent but its end."""
        del at  # who does not care need not say so

    def signalled(self, number: int, at: int) -> None:
        """Note that the agent was sent a signal, by us or by the terminal."""
        del number, at  # who does not care need not say so

    def finish(self, exit_code: int | None, signal: int | None, at: int) -> str | None:
        """Note the agent's end and return a line for the operator.

        One of `exit_code` and `signal` is None; both are, where the status is unknown.
        """

    def deliver(self, seconds: float) -> None:
        """Hand over, within so many seconds, what has not left yet; nothing comes after it."""
        del seconds


ObserverFactory: TypeAlias = Callable[[Child], Observer]
