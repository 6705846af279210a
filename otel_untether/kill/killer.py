"""Ending a process tree: all of it, and nothing else.

The decision is recorded before the first signal. SIGTERM goes to every process of the tree as
it stood, then, after a grace, SIGKILL to whatever is left, children forked meanwhile included.
Before either the tree is stopped for the moment it takes to count it, so that nobody forks
meanwhile. Then we look, and who is still there is reported by pid and name.

A process is held by a pidfd that was opened before its identity was checked, so a recycled pid
is never signalled; process groups, for which there is no such thing, never are either.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from otel_untether import semconv
from otel_untether.kill.targets import Target, await_exit, strays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot
    from otel_untether.proc_diag.tree import Tree
    from otel_untether.session.activity import AttributeValue

    Record = Callable[[str, Mapping[str, AttributeValue]], object]

# Between two looks while we wait; a child forked and orphaned in between is found by its session.
_LOOK: Final = 0.05
# After SIGKILL only a process in an uninterruptible sleep stays for long, and it may for ever.
_KILL_TIME: Final = 0.9
_STOP_TIME: Final = 0.25
# For evidence that an orphan we have just inherited is the tree's.
_PATIENCE: Final = 0.1


class Survivor(NamedTuple):
    """Somebody who is still there; `name` is the kernel's short one, None if unknown."""

    pid: int
    name: str | None


class KillReport(Struct, frozen=True):
    """What became of a kill. `refused` says why it was not even begun.

    `terminated` got SIGTERM, `killed` got SIGKILL; `seconds` from the first signal to the end.
    """

    refused: str | None = None
    terminated: tuple[Identity, ...] = ()
    killed: tuple[Identity, ...] = ()
    survivors: tuple[Survivor, ...] = ()
    seconds: float = 0.0


class Killer:
    """Kills one tree, once.

    `record` is called with an event's name and attributes, at first for the decision; if that
    raises, nothing is signalled. `proceed` is asked right before the first signal, since the
    agent may have come back while the decision was being recorded. With `reap`, members that this
    process inherited as a subreaper are waited for; the tree's own leader never is, its parent
    wants its status.
    """

    def __init__(
        self,
        tree: Tree,
        *,
        grace: float,
        record: Record,
        reap: bool = False,
        proceed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.tree = tree
        self.grace = grace
        self._record = record
        self._reap = reap
        self._proceed = proceed
        self._targets: dict[Identity, Target] = {}
        self._ended: set[Identity] = set()
        self._older: set[int] = set()

    def kill(self, decision: Mapping[str, AttributeValue]) -> KillReport:
        """Carry out `decision`, which holds its evidence; takes `grace` and a second at most."""
        try:
            self._record(semconv.EVENT_KILL_DECIDED, decision)
        except Exception as error:  # noqa: BLE001  whatever it is, there is no record
            return KillReport(refused=f"the decision could not be recorded: {error}")
        try:
            self._look()
            if any(target.identity.pid == os.getpid() for target in self._targets.values()):
                return KillReport(refused="this process is part of the tree")
            if not self._proceed():
                return KillReport(refused="it came back to life")
            return self._escalate()
        finally:
            for target in self._targets.values():
                target.close()

    def _escalate(self) -> KillReport:
        begun = time.monotonic()
        self._freeze()
        terminated = self._signal(signal.SIGTERM, self._alive())
        self._signal(signal.SIGCONT, self._alive())
        self._tell(signal.SIGTERM, terminated)
        terminated += self._wait(begun + self.grace, terminated)
        killed = self._finish_off()
        survivors = tuple(Survivor(t.identity.pid, t.name) for t in self._alive())
        seconds = time.monotonic() - begun
        self._collect()
        self._note(
            semconv.EVENT_KILL_COMPLETED,
            {
                semconv.KILL_SIGNALLED: len({*terminated, *killed}),
                semconv.KILL_SURVIVORS: tuple(f"{s.pid} {s.name or '?'}" for s in survivors),
                semconv.KILL_DURATION: seconds,
            },
        )
        return KillReport(None, tuple(terminated), tuple(killed), survivors, seconds)

    def _wait(self, deadline: float, terminated: list[Identity]) -> list[Identity]:
        """Wait until nobody is left, or `deadline` (`time.monotonic()`).

        Who was asked to end may start helpers to do so, and those are let be. Once only such
        newcomers are left they are asked as well; they are returned.
        """
        asked: list[Identity] = []
        while (left := deadline - time.monotonic()) > 0:
            alive = self._alive()
            if not alive and not self._look():
                break
            if not any(t.identity in terminated or t.identity in asked for t in alive):
                asked += self._signal(signal.SIGTERM, alive)
            await_exit(alive, min(left, _LOOK))
            self._look()
        return asked

    def _finish_off(self) -> list[Identity]:
        """Kill until nobody is left, or time is up; return whom."""
        killed: dict[Identity, None] = {}
        deadline = time.monotonic() + _KILL_TIME
        # In this order: who is gone has left its children behind before we look for them. One
        # that is about to execute a program shows only a moment later whose it is.
        while (
            self._alive() or self._look(stop=True) or self.tree.unsure
        ) and time.monotonic() < deadline:
            self._freeze()
            hit = self._signal(signal.SIGKILL, self._alive())
            if first := [identity for identity in hit if identity not in killed]:
                self._tell(signal.SIGKILL, first)
            killed |= dict.fromkeys(hit)
            await_exit(self._alive(), min(_LOOK, max(0.0, deadline - time.monotonic())))
        return list(killed)

    def _freeze(self) -> None:
        """Stop everybody: a child forked between a look and a signal would be lost for good."""
        deadline = time.monotonic() + _STOP_TIME
        self._signal(signal.SIGSTOP, self._alive())
        self._await_stop()
        while self._look(stop=True) and time.monotonic() < deadline:
            self._await_stop()

    def _await_stop(self) -> None:
        """Wait until the stop has taken effect; a fork under way is finished first."""
        deadline = time.monotonic() + _STOP_TIME
        while time.monotonic() < deadline:
            if all(target.halted() for target in self._alive()):
                return
            time.sleep(0.001)

    def _look(self, *, stop: bool = False) -> bool:
        """Take a census; return whether anybody new was met, were he gone already.

        With `stop`, newcomers are stopped as they are met: some live for milliseconds only, and
        leave a child behind. One that is gone when we reach for it means: look again.
        """
        met = [self._admit(member, stop=stop) for member in self._census()]
        return any(met)

    def _census(self) -> Iterator[ProcessSnapshot]:
        yield from self.tree.walk(self.tree.backend.begin(), _PATIENCE).found.values()
        yield from strays(self._targets, self._older)

    def _admit(self, member: ProcessSnapshot, *, stop: bool) -> bool:
        if member.identity in self._targets or member.identity in self._ended:
            return False
        dead = member.state in ("Z", "X")
        target = None if dead else Target.hold(member, self.tree.backend.identify)
        if target is None:
            self._ended.add(member.identity)
            return True
        self._targets[member.identity] = target
        if stop:
            target.send(signal.SIGSTOP)
        return True

    def _alive(self) -> list[Target]:
        return [target for target in self._targets.values() if not target.gone()]

    def _signal(self, number: signal.Signals, targets: Iterable[Target]) -> list[Identity]:
        return [target.identity for target in targets if target.send(number)]

    def _tell(self, number: signal.Signals, who: list[Identity]) -> None:
        facts: dict[str, AttributeValue] = {
            semconv.KILL_SIGNAL: number.name,
            semconv.KILL_SIGNALLED: len(who),
        }
        self._note(semconv.EVENT_KILL_SIGNALLED, facts)

    def _note(self, event: str, facts: Mapping[str, AttributeValue]) -> None:
        # Once begun, a kill is finished, whether or not it can be told.
        with contextlib.suppress(Exception):
            self._record(event, facts)

    def _collect(self) -> None:
        """Wait for those that this process inherited, dead when they were met or since."""
        if not self._reap:
            return
        left = self.tree.walk(self.tree.backend.begin()).found.values()
        for identity in {*self._targets, *self._ended, *(member.identity for member in left)}:
            # Whoever has taken over a pid may be a child of ours whose status another waits for.
            same = self.tree.backend.identify(identity.pid) == identity
            if same and identity != self.tree.identity:
                with contextlib.suppress(OSError):
                    os.waitpid(identity.pid, os.WNOHANG)
