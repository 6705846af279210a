"""Turning a recorded session into the trace it would have made live.

Its spans keep their original times, and their ids come from the recording's content: replayed
again it gives the same trace, which a backend merges with the first.
"""

from __future__ import annotations

import contextlib
import gc
import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.config.settings import Config
from otel_untether.engines import registry
from otel_untether.export.ids import SeededIdGenerator
from otel_untether.sources.recordings import Given, RecordingError
from otel_untether.store.runs import RunIdentity
from otel_untether.watching.host import Host
from otel_untether.watching.subject import End, RunInfo, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_untether.session.summary import Summary
    from otel_untether.sources.recordings import Recording
    from otel_untether.store.runs import Run, Store
    from otel_untether.watching.session import WatchedSession

# A batch processor drops what does not fit its queue (2,048 spans by default), and a recording
# is replayed faster than any session runs.
_FLUSH_EVERY: Final = 256
_COLLECT_EVERY: Final = 20_000  # objects; Python's own default is 700


class Replayed(NamedTuple):
    """A trace made of a recording; `problems` says what telemetry complained about."""

    run_id: str
    summary: Summary
    problems: tuple[str, ...]


def replay(
    recording: Recording,
    *,
    store: Store,
    environ: Mapping[str, str],
    engine: str | None = None,
    settings: Config | None = None,
    deadline: float = 30.0,
    progress: Callable[[float], None] = lambda _done: None,
) -> Replayed:
    """Make the trace of a recording; `progress` is told the share that is done.

    Exporters get `deadline` seconds at the end. To be called once in a process, as
    OpenTelemetry is set up for one run. Raises RecordingError, StoreError, OSError.
    """
    name = engine or _recognised(recording)
    identity = RunIdentity(recording.scan.digest.hex()[:16], name)
    run = _create_run(store, identity, recording)
    ids = SeededIdGenerator(recording.scan.digest)
    host = Host.own(settings or Config(), identity, run=run, ids=ids, environ=environ)
    session = host.open(Subject(RunInfo(identity.run_id, recording.started, engine=name)), run)
    with _collecting_seldom():
        for number, done in enumerate(_feed(session, recording), 1):
            if number % _FLUSH_EVERY == 0:
                host.drain()
                progress(done)
    ended = recording.ended
    summary = session.finish(
        End.of_status(ended.status if ended else None, ended.at if ended else None)
    )
    host.close(deadline)
    progress(1.0)
    return Replayed(identity.run_id, summary, tuple(host.telemetry.problems))


@contextlib.contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Keep the garbage collector off what was imported, and let it look seldom at the rest.

    Spans come and go by the thousand without any cycles; to look for some took a fifth of a
    replay.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _recognised(recording: Recording) -> str:
    if recording.scan.engine is not None:
        return recording.scan.engine
    raise RecordingError(
        f"{recording.path}: no agent is recognised in its lines; name it with --engine, "
        f"one of {', '.join(registry.names())}"
    )


def _create_run(store: Store, identity: RunIdentity, recording: Recording) -> Run:
    """Make the run's folder anew: what an earlier replay put there is the same again."""
    before = store.create_run(identity, started=recording.started)
    shutil.rmtree(before.path)
    before.release()
    return store.create_run(identity, started=recording.started)


def _feed(session: WatchedSession, recording: Recording) -> Iterator[float]:
    """Feed a recording line by line, yielding the share that is done after each."""
    if recording.scan.kind == "transcript":
        events = list(recording.events())
        for number, event in enumerate(events, 1):
            session.state.line(event.at)
            session.event(event)
            yield number / len(events)
    else:
        for number, arrival in enumerate(recording.arrivals(), 1):
            if isinstance(arrival, Given):
                session.stdin(arrival.line + b"\n", arrival.at)
            else:
                session.line(arrival.line, arrival.at)
            yield number / recording.scan.lines
