"""Turning a recorded session into the trace it would have made live.

Its spans keep their original times, and their ids come from the recording's content: replayed
again it gives the same trace, which a backend merges with the first.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_untether.engines import registry
from otel_untether.export import providers as telemetry
from otel_untether.export import sdk
from otel_untether.export.ids import SeededIdGenerator
from otel_untether.session.content import Capture, from_environ
from otel_untether.sources.recordings import RecordingError
from otel_untether.store.runs import RunIdentity
from otel_untether.watching.recorder import Recorder, RunInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_untether.config.settings import Config
    from otel_untether.session.summary import Summary
    from otel_untether.sources.recordings import Recording
    from otel_untether.store.runs import Run, Store

# A batch processor drops what does not fit its queue (2,048 spans by default), and a recording
# is replayed faster than any session runs.
_FLUSH_EVERY: Final = 256
_FLUSH_MS: Final = 5_000


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
    providers = telemetry.start(identity, run_dir=run.path, environ=environ)
    sdk.set_id_generator(providers.tracer_provider, SeededIdGenerator(recording.scan.digest))
    recorder = Recorder(
        RunInfo(identity.run_id, recording.started, engine=name),
        tracer_provider=providers.tracer_provider,
        logger_provider=providers.logger_provider,
        capture=_capture(settings, environ),
        chats=settings.telemetry.chat_spans if settings else True,
    )
    for number, done in enumerate(_feed(recorder, recording), 1):
        if number % _FLUSH_EVERY == 0:
            _flush(providers.tracer_provider)
            progress(done)
    summary = _finish(recorder, recording, run)
    if providers.shutdown(deadline):
        run.release()
    progress(1.0)
    return Replayed(identity.run_id, summary, tuple(providers.problems))


def _recognised(recording: Recording) -> str:
    if recording.scan.engine is not None:
        return recording.scan.engine
    raise RecordingError(
        f"{recording.path}: no agent is recognised in its lines; name it with --engine, "
        f"one of {', '.join(registry.names())}"
    )


def _capture(settings: Config | None, environ: Mapping[str, str]) -> Capture:
    asked = from_environ(environ)
    if settings is None:
        return asked
    enabled = settings.capture.content or asked.enabled
    return Capture(enabled=enabled, limit=settings.capture.max_length)


def _create_run(store: Store, identity: RunIdentity, recording: Recording) -> Run:
    """Make the run's folder anew: what an earlier replay put there is the same again."""
    before = store.create_run(identity, started=recording.started)
    shutil.rmtree(before.path)
    before.release()
    return store.create_run(identity, started=recording.started)


def _feed(recorder: Recorder, recording: Recording) -> Iterator[float]:
    """Feed a recording line by line, yielding the share that is done after each."""
    if recording.scan.kind == "transcript":
        events = list(recording.events())
        for number, event in enumerate(events, 1):
            recorder.state.line(event.at)
            recorder.event(event)
            yield number / len(events)
    else:
        yield from _feed_lines(recorder, recording)


def _feed_lines(recorder: Recorder, recording: Recording) -> Iterator[float]:
    for number, (at, line) in enumerate(recording.arrivals(), 1):
        recorder.line(line, at)
        yield number / recording.scan.lines


def _finish(recorder: Recorder, recording: Recording, run: Run) -> Summary:
    end = recording.ended
    status = end.status if end else None
    summary = recorder.finish(
        exit_code=status if status is not None and status >= 0 else None,
        signal=-status if status is not None and status < 0 else None,
        at=end.at if end else None,
    )
    run.update(
        trace_id=summary.trace_id,
        session_id=summary.session_id,
        model=summary.model,
        ended=recording.started + round(summary.duration * 1e9),
        outcome=summary.outcome.word,
        exit_code=summary.exit_code,
        cost_usd=summary.cost_usd,
    )
    return summary


def _flush(provider: Any) -> None:
    flush = getattr(provider, "force_flush", None)
    if flush is not None:
        flush(_FLUSH_MS)
