"""What is known of a session before it says anything, and how one ended."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field

from otel_untether.clock import Clock
from otel_untether.engines import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.util.types import AttributeValue

    from otel_untether.watching.surroundings import Surroundings


class RunInfo(Struct, frozen=True):
    """What is known of a run before it says anything.

    `run_id` names it in all telemetry; `started` is ns since the epoch. `engine` is the CLI's
    name, None where its output is to tell. `executable` is the command's base name, `pid` the
    agent's process where there is one to watch. `multi_prompt` says that it takes one prompt
    after another, `headless` that it was asked for lines that can be decoded, `resumed` that it
    continues an earlier session (None: not known), `continues` which, where its command line
    names one, `serves` the protocol it serves, if any,
    `plain` that it was asked for something else than the events that its engine's decoder reads,
    `guessed` that the command line only looks like that engine's, so that its first lines may
    correct it. `debug_log` is the path of the debug log that it was told to write, if any.
    `attributes` go onto the root span as they are.
    """

    run_id: str
    started: int
    engine: str | None = None
    executable: str | None = None
    pid: int | None = None
    multi_prompt: bool | None = False
    headless: bool | None = None
    serves: str | None = None
    resumed: bool | None = None
    continues: str | None = None
    plain: bool = False
    guessed: bool = False
    debug_log: str | None = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)

    @classmethod
    def of_command(
        cls, run_id: str, started: int, argv: Sequence[str], *, engine: str | None = None
    ) -> RunInfo:
        """Return what a command line tells.

        :param run_id: the run's name in all that leaves.
        :param started: when it was started, in ns since the epoch.
        :param argv: the command line.
        :param engine: the engine's name, where the caller knows better.
        :raises ValueError: for an unknown `engine`; it lists those there are.
        """
        known = registry.get(engine) if engine else registry.detect_argv(argv)
        told = known if known is not None and known.argv_match(argv) else None
        serves = told.serves(argv) if told else None
        resumes = told.resumes(argv) if told else False
        read = told is not None and registry.speaking(told, serves) is not told
        return cls(
            run_id,
            started,
            engine=known.name if known else None,
            executable=PurePath(argv[0]).name,
            multi_prompt=read or told.multi_prompt(argv) if told else None,
            headless=told.understood and told.headless(argv) if told else None,
            serves=serves,
            resumed=True if resumes else None,
            continues=resumes if isinstance(resumes, str) else None,
            guessed=engine is None and known is not None,
            plain=known is not None and known.prints_no_events(argv) and not read,
            debug_log=told.debug_log(argv, os.environ) if told else None,
        )


def _never() -> int | None:
    return None


class Subject(Struct, frozen=True):
    """A session to watch: what its run is, and what of it can be seen.

    `sampled` says that its process is there to be looked at, `heard` that its standard output
    reaches us (or what tells whether it does now): an agent that is not heard is never called
    silent. `blocked_since` tells since
    when (ns) its output waits for whoever reads it, None while it does not. `parent` is the
    context of the root span, by default the current one.
    `reaper` is the process that inherits the tree's orphans, which are known for the tree's by
    the `traceparent` that the process was given in its environment. `surroundings` are that
    environment and the folder in which it was started, as far as they are known.
    """

    run: RunInfo
    clock: Clock = field(default_factory=Clock)
    sampled: bool = False
    heard: bool | Callable[[], bool] = False
    blocked_since: Callable[[], int | None] = _never
    parent: Context | None = None
    reaper: int | None = None
    traceparent: str | None = None
    surroundings: Surroundings | None = None

    @property
    def hears(self) -> bool:
        """Whether its standard output reaches us now."""
        return self.heard() if callable(self.heard) else self.heard


class End(NamedTuple):
    """How a process ended, at `at` (ns); one of code and signal is None, both where unknown.

    `unheard` says that whoever heard it was killed before it ended.
    """

    exit_code: int | None = None
    signal: int | None = None
    at: int | None = None
    unheard: bool = False

    @classmethod
    def of_status(cls, status: int | None, at: int | None) -> End:
        """Read a status as `subprocess` has it: negative for a signal, None where unknown."""
        if status is None or status >= 0:
            return cls(status, None, at)
        return cls(None, -status, at)
