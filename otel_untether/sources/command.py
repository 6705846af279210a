"""`run` as a source: what the supervisor sees of the agent goes to a watched session.

Made in the observer's process once the agent runs, so what it imports delays nobody.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_untether.engines import registry
from otel_untether.notice import notice
from otel_untether.store.housekeeping import tidy, told
from otel_untether.store.process_identity import identify
from otel_untether.store.runs import RunIdentity, StoreError, load_run, new_run_id, store_at
from otel_untether.supervisor.observer import Observer
from otel_untether.watching.flushing import in_background
from otel_untether.watching.host import Host
from otel_untether.watching.subject import End, RunInfo, Subject
from otel_untether.watching.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from otel_untether.config.settings import Config
    from otel_untether.export.propagation import RootContext
    from otel_untether.store.beginning import Beginning
    from otel_untether.store.runs import Run
    from otel_untether.supervisor.observer import Child, ObserverFactory

# Of the exit timeout, for exporters: the rest is for us to say how it went.
_SHARE: Final = 0.8
# Seconds to wait for what there is to tell of runs that are deleted, where there is something.
_TELLING: Final = 0.5


def factory(
    config: Config,
    root: RootContext,
    begun: Beginning | None,
    *,
    engine: str | None,
    environ: Mapping[str, str],
) -> ObserverFactory:
    """Return what the supervisor calls with the agent it has just spawned.

    `begun` is the run as it is on disk, None where it could not be put there.
    """
    observe = partial(
        CommandObserver, config=config, root=root, begun=begun, engine=engine, environ=environ
    )

    def made(child: Child) -> Observer:
        """A command such as ``--version`` or ``mcp list`` is no session, and leaves no run."""
        known = registry.detect_argv(child.argv)
        if known is None or not known.manages(child.argv):
            return observe(child)
        if begun is not None:
            begun.take_back()
        return _Unwatched()

    return made


class _Unwatched(Observer):
    """Observes nothing, and says nothing at the end."""

    reads_stdout = False

    def stdout(self, _chunk: bytes, _at: int) -> None:
        """Ignore it."""

    def passed(self, _size: int, _at: int) -> None:
        """Ignore it."""

    def stderr(self, _chunk: bytes, _at: int) -> None:
        """Ignore it."""

    def gap(self) -> None:
        """Ignore it."""

    def tick(self, _now: int) -> None:
        """Look at nothing."""

    def finish(self, _exit_code: int | None, _signal: int | None, _at: int) -> str | None:
        """Say nothing."""
        return None


class CommandObserver(Observer):
    """Observes the agent of a `run`: one session, in a process of its own."""

    def __init__(
        self,
        child: Child,
        *,
        config: Config,
        root: RootContext,
        begun: Beginning | None,
        engine: str | None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._config = config
        self._clock = child.clock
        self._unheard = False
        self.tick_interval = int(min(1.0, config.watchdog.sample_interval) * 1e9)
        run_id = begun.run_id if begun is not None else new_run_id()
        info = RunInfo.of_command(run_id, child.started, child.argv, engine=engine)
        identity = RunIdentity(info.run_id, info.engine or "unknown")
        store = store_at(config.telemetry.state_dir, environ)
        run = _begun_run(begun, identity, child)
        self._host = Host.own(config, identity, store=store, run=run, root=root, environ=environ)
        self.session = self._host.open(_subject(info, child, root, environ), run)
        self.session.spawned(child.pid)
        made = self.session.tracer.root.get_span_context()
        if begun is not None and not made.trace_flags.sampled:
            begun.drop(root.span_id)
        for problem in self._host.telemetry.problems:
            notice(problem)
        if "stdout" in child.relayed and (advice := _advice(child.argv)) is not None:
            notice(advice)
        if not self._host.telemetry.kept:
            in_background(self._host.announce)
        self._announced = False
        self._store = store
        self._tidying: threading.Thread | None = None
        self._telling = _Telling()

    def _begin_tidying(self) -> None:
        """Look through earlier runs; not at once, when the agent and our imports want the cores."""
        if self._tidying is None:
            # Where there can be no thread it is done in the end.
            with contextlib.suppress(RuntimeError):
                self._tidying = in_background(self._tidy)

    def _tidy(self) -> None:
        kept = self._config.telemetry
        gone = tidy(self._store, kept, self._clock.now(), self._telling.may_begin)
        self._host.telemetry.ledger.forgotten("traces", gone.spans)
        if line := told(gone, kept):
            notice(line)

    def together(self) -> AbstractContextManager[object]:
        """Write down together what spans end while what has come is heard."""
        return self._host.telemetry.together()

    def stdout(self, chunk: bytes, at: int) -> None:
        """Decode what the agent said."""
        self.session.feed(chunk, at)
        self.reads_stdout = self.session.reads

    def passed(self, size: int, at: int) -> None:
        """Note that the agent said something."""
        self.session.passed(size, at)

    def stderr(self, chunk: bytes, at: int) -> None:
        """Keep the tail of what the agent complained about."""
        self.session.stderr(chunk, at)

    def gap(self) -> None:
        """Go on at the next newline."""
        self.session.gap()

    def signalled(self, number: int, at: int) -> None:
        """Note that somebody signalled the agent: it may end as if nothing were wrong."""
        self.session.signalled(number, at)

    def tick(self, now: int) -> None:
        """Look at the session, in silence too."""
        self.session.tick(now)
        if not self._announced:
            self._announced = True
            in_background(self._host.flush)
            self._begin_tidying()
        self.overtime = self.session.overtime

    def finish(self, exit_code: int | None, signal: int | None, at: int) -> str | None:
        """End the trace, hand over what can be within the exit timeout, and sum up."""
        summary = self.session.finish(End(exit_code, signal, at, unheard=self._unheard))
        late = (self._clock.now() - at) / 1e9
        allowed = max(0.1, _SHARE * self._config.telemetry.exit_timeout - late)
        began, patient = time.monotonic(), self._store.is_overdue()
        if patient or not self._host.telemetry.kept:
            self._begin_tidying()
        for problem in self._host.close(allowed):
            notice(problem)
        if patient and self._tidying is not None:
            # Runs shorter than a look at those before them never let go of what was to be told.
            self._tidying.join(max(0.0, began + allowed - time.monotonic()))
        if self._telling.end() and self._tidying is not None:
            self._tidying.join(_TELLING)
        return summary.text()

    def relay_lost(self, at: int) -> None:
        """Note that nothing will be heard any more."""
        del at
        self._unheard = True

    def deliver(self, seconds: float) -> None:
        """Let exporters go on that were not done within the exit timeout, and the tidying.

        A short run tidies up only now, when nobody waits for it any more, nor hears it.
        """
        began = time.monotonic()
        self._host.linger(seconds)
        if self._tidying is None:
            self._tidy()
        else:
            self._tidying.join(max(0.0, seconds - (time.monotonic() - began)))


class _Telling:
    """Whether anybody can still be told that a run is deleted which no collector has had.

    Such a run does not go without a word. Once there is nobody to hear it, it waits for a later
    run to look after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = self._began = False

    def may_begin(self) -> bool:
        """Tell whether one may go; from then on there is something to tell."""
        with self._lock:
            self._began |= not self._ended
            return not self._ended

    def end(self) -> bool:
        """Let none go any more; tell whether there is something to tell."""
        with self._lock:
            self._ended = True
            return self._began


def _advice(argv: tuple[str, ...]) -> str | None:
    """Say what would show more of an agent that was not asked for events, None for any other."""
    known = registry.detect_argv(argv)
    if known is None or not known.prints_no_events(argv) or known.serves(argv):
        return None
    if known.json_flags is None or not known.understood:
        return None
    return f"{known.name} says what it does only with `{known.json_flags}`: its process is watched"


def _subject(info: RunInfo, child: Child, root: RootContext, environ: Mapping[str, str]) -> Subject:
    return Subject(
        info,
        child.clock,
        sampled=True,
        heard="stdout" in child.relayed,
        blocked_since=child.blocked_since,
        reaper=child.reaper,
        traceparent=root.traceparent,
        surroundings=Surroundings.given(environ, os.curdir),
    )


def _begun_run(begun: Beginning | None, identity: RunIdentity, child: Child) -> Run | None:
    if begun is None:
        return None
    try:
        run = load_run(Path(begun.path))
    except StoreError as error:
        notice(str(error))
        return None
    run.lock = begun.lock
    run.update(process=identify(child.pid), engine=identity.engine)
    return run
