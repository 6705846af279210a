"""An agent that a program spawned for itself: its session, looked at over the program's shoulder.

The program keeps its process, its pipes and its pace. Everything here may be called from its
threads and never raises.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import psutil
from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber

from otel_untether import semconv
from otel_untether.clock import Clock
from otel_untether.engines import registry
from otel_untether.instrumentors.harmless import harmless
from otel_untether.sources.leaving import Leaver
from otel_untether.sources.spawning import environment, into_clean
from otel_untether.store.runs import new_run_id
from otel_untether.watching.subject import End, RunInfo, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.util.types import AttributeValue

    from otel_untether.instrumentors.guest import Guest
    from otel_untether.watching.session import WatchedSession

# How long (s) an ended agent's session waits for what its program makes of that, at most. Untether
# gives what holds the output open five seconds, and what ignores SIGTERM two.
_LAST_WORD: Final = 10.0


class HostedAgent(Leaver):
    """One such agent.

    `argv` is its command line. `heard` says whether its output is told to `took`; `unread_since`
    tells since when (ns) the program does not read what is there. `returncode`, set by whoever
    knows, tells the status it has ended with, None while it runs. `through` is set once the
    program has said what it makes of the agent's end; the session waits for that, if it is there.
    """

    def __init__(
        self,
        guest: Guest,
        argv: Sequence[str],
        *,
        heard: bool | Callable[[], bool],
        unread_since: Callable[[], int | None] = lambda: None,
    ) -> None:
        super().__init__()
        self.clock = Clock()
        self._guest = guest
        self.pid = 0
        self.returncode: Callable[[], int | None] = lambda: None
        self.answers: set[str] = set()  # what it asked that the program's own code is at
        self.through: threading.Event | None = None
        self._ended_at: int | None = None
        info = RunInfo.of_command(new_run_id(), self.clock.now(), argv)
        with harmless("what the program knows"):
            info = replace(info, attributes=guest.attributes())
        subject = Subject(info, self.clock, sampled=True, heard=heard, blocked_since=unread_since)
        self.session: WatchedSession = guest.host().open(subject)
        self._begin()
        _import_decoder(info.engine)

    def environment(self, env: Mapping[Any, Any] | None) -> dict[Any, Any]:
        """Return the environment to spawn it with: the program's, and the session's span."""
        if not isinstance(env, Mapping | None):
            return env  # that is for Python to refuse
        context = self.session.tracer.root.get_span_context()
        native = self._guest.host().settings.telemetry.native
        return environment(os.environ if env is None else env, context, native=native)

    def command(self, words: Sequence[Any]) -> Sequence[Any]:
        """Return the command line to spawn it with: the program's, but for its `env -i`."""
        context = self.session.tracer.root.get_span_context()
        return into_clean(words, context) if self._guest.into_clean else words

    def attend(self, pid: int) -> None:
        """Note that it runs; not any more where its start was given up meanwhile."""
        if self.over:
            return
        self.pid = pid
        with harmless("a process begins"):
            self.session.spawned(pid)
        with harmless("an agent is introduced"):
            self._guest.begun(self)

    def took(self, chunk: bytes) -> None:
        """Take bytes of its standard output, which the program has, too."""
        with harmless("standard output"):
            self.session.feed(chunk, self.clock.now())

    def complained(self, chunk: bytes) -> None:
        """Take bytes of its standard error."""
        with harmless("standard error"):
            self.session.stderr(chunk, self.clock.now())

    def given(self, chunk: bytes) -> None:
        """Take bytes that the program has written to its standard input."""
        with harmless("standard input"):
            self.session.stdin(chunk, self.clock.now())

    def prompted(self) -> None:
        """Note that it is given a prompt here: its next turn is linked to the current span."""
        with harmless("a prompt"):
            self.session.tracer.prompted(trace.get_current_span().get_span_context())

    def interrupted(self) -> None:
        """Note that the program asks it to stop what it is doing."""
        with harmless("an interruption"):
            self.session.signalled(signal.SIGINT, self.clock.now())
            self.note(semconv.EVENT_HOST_INTERRUPT, {})

    def note(
        self,
        event: str,
        facts: Mapping[str, AttributeValue],
        severity: SeverityNumber = SeverityNumber.INFO,
    ) -> None:
        """Note what the program does or says; after the agent's end, at that end.

        Viewers draw an event where it lies within its span.
        """
        if not self.ended:
            self.session.tracer.note(event, self._ended_at or self.clock.now(), facts, severity)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.locked()

    @property
    def ended(self) -> bool:
        """Whether its session has ended, of which nothing can be told any more."""
        return self.session.summary is not None

    def finish(self, status: int | None, *, leaving: bool = False) -> None:
        """End the session, once; `status` as `subprocess` has it.

        `leaving` says that the program ends, perhaps before the agent does. Seeing a kill through
        takes as long as its grace, and no event loop may wait for that, nor for the program.
        """
        if not self._over.acquire(blocking=False):
            return
        self._ended_at = self.clock.now()
        end = End.of_status(status, self._ended_at)._replace(unheard=leaving and status is None)
        if leaving:  # by then no thread can begin, and nobody says any more
            self.through = None
        if leaving or self._ends_at_once:
            self._end(end)
            return
        try:
            # No daemon: the program's last breath waits for it, and then exports it.
            threading.Thread(target=self._end, args=(end,), name="untether-end").start()
        except RuntimeError:  # no more threads to be had: then nobody is waited for
            self.through = None
            self._end(end)

    def leave(self) -> None:
        """End the session while the program ends: what its agent does now nobody hears."""
        with harmless("the program ends"):
            self.finish(self.returncode(), leaving=True)

    @property
    def _ends_at_once(self) -> bool:
        reaps = self._guest.settings.watchdog.reap_orphans
        return not (self.session.overtime or reaps or self._awaited)

    @property
    def _awaited(self) -> bool:
        """Whether the program is still to say what it makes of the end."""
        return self.through is not None and not self.through.is_set()

    def _hear_out(self) -> None:
        if self.through is not None:
            self.through.wait(_LAST_WORD)

    def _end(self, end: End) -> None:
        with harmless("a session ends"):
            try:
                self.session.finish(end, last_word=self._hear_out)
            except BaseException:
                self.session.on_end()  # nobody is to look after it for ever
                raise
            finally:
                self._cease()


def _import_decoder(name: str | None) -> None:
    """Import an engine's decoder while the agent starts, not in the program's thread later."""
    engine = registry.get(name) if name else None
    if engine is not None and "decode" not in vars(engine):
        thread = threading.Thread(target=lambda: engine.decode, name="untether-import", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads to be had
            thread.start()


def ended(pid: int) -> tuple[int | None] | None:
    """Return the status with which a child of ours ended, None while it runs.

    It is left for the program to wait for. Where that has happened, the status is None: `(None,)`.
    """
    if not hasattr(os, "waitid"):  # macOS, Windows
        return None if psutil.pid_exists(pid) else (None,)
    try:
        result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return (None,)
    if result is None:
        return None
    exited = result.si_code == os.CLD_EXITED
    return (result.si_status if exited else -result.si_status,)
