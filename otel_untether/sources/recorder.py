"""The library's way in for output that you have already: feed it, and it makes the trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_untether.clock import Clock
from otel_untether.watching.guest_host import GuestHost
from otel_untether.watching.subject import End, RunInfo, Subject

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from otel_untether.config.settings import Config
    from otel_untether.session.content import Capture
    from otel_untether.session.events import Event
    from otel_untether.session.state import SessionState
    from otel_untether.session.summary import Summary
    from otel_untether.spans import SessionTracer

__all__ = ["Recorder", "RunInfo"]


class Recorder:
    r"""Makes spans and metrics of one session's output; it reads no clock, you say when it came.

    :param run: what is known of the run before it says anything.
    :param tracer_provider: where spans go; the program's global one by default, as for
    :param logger_provider: log records and
    :param meter_provider: metrics.
    :param parent: the context in which the root span starts; the current one by default.
    :param config: settings, such as `load_config` returns; defaults where there are none.
    :param capture: whether content is captured; by default as `config` and
        ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` say.
    :raises ValueError: for an unknown `run.engine`, listing those there are.

    >>> recorder = Recorder(RunInfo("run-1", started=0, engine="claude"))
    >>> recorder.feed(b'{"type":"result","subtype":"success","total_cost_usd":0.5}\n', at=10**9)
    >>> recorder.finish(exit_code=0).outcome.word
    'completed'
    """

    def __init__(
        self,
        run: RunInfo,
        *,
        tracer_provider: TracerProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        parent: Context | None = None,
        config: Config | None = None,
        capture: Capture | None = None,
    ) -> None:
        host = GuestHost(
            config,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            logger_provider=logger_provider,
            capture=capture,
        )
        self._session = host.open(Subject(run, Clock(), parent=parent))

    @property
    def state(self) -> SessionState:
        """What is known of the session: open tools, waits, tokens, the last sign of life."""
        return self._session.state

    @property
    def tracer(self) -> SessionTracer:
        """The session's spans; `tracer.root` is its root span."""
        return self._session.tracer

    @property
    def reads(self) -> bool:
        """Whether what the agent prints makes a difference; else `passed` will do."""
        return self._session.reads

    def spawned(self, pid: int) -> None:
        """Note that the process lives, so that the session can be found while it runs.

        :param pid: its process id.
        """
        self._session.spawned(pid)

    def feed(self, chunk: bytes, at: int) -> None:
        """Take bytes of standard output.

        :param chunk: the bytes; a line may span chunks.
        :param at: when they arrived, in ns since the epoch.
        """
        self._session.feed(chunk, at)

    def feed_stdin(self, chunk: bytes, at: int) -> None:
        """Take bytes that the agent was given on its stdin, where you can see them.

        :param chunk: the bytes; a line may span chunks.
        :param at: when they were written, in ns since the epoch.
        """
        self._session.stdin(chunk, at)

    def feed_stderr(self, chunk: bytes, at: int) -> None:
        """Keep the tail of standard error; it is no sign of life.

        :param chunk: the bytes.
        :param at: when they arrived, in ns since the epoch.
        """
        self._session.stderr(chunk, at)

    def line(self, line: bytes | None, at: int) -> None:
        """Take one line of standard output.

        :param line: the line without its newline; None stands for one too long to keep.
        :param at: when it arrived, in ns since the epoch.
        """
        self._session.line(line, at)

    def event(self, event: Event) -> None:
        """Take one event, decoded elsewhere.

        :param event: one of `session.events`.
        """
        self._session.event(event)

    def passed(self, size: int, at: int) -> None:
        """Note output that nobody read.

        :param size: how many bytes.
        :param at: when the last of them came, in ns since the epoch.
        """
        self._session.passed(size, at)

    def gap(self) -> None:
        """Note that bytes were lost here: it goes on at the next newline."""
        self._session.gap()

    def finish(
        self,
        exit_code: int | None = None,
        signal: int | None = None,
        at: int | None = None,
        killed_for: str | None = None,
    ) -> Summary:
        """End everything that is open, and the root with how the session went.

        :param exit_code: the process's status, None where a signal ended it or there was none.
        :param signal: the number of that signal.
        :param at: when it ended, in ns; by default the last sign of life.
        :param killed_for: the cause, where somebody ended it on purpose.
        """
        return self._session.finish(End(exit_code, signal, at), killed_for)
