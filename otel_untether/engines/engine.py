"""The contract of an engine: all that is to be known about one agent CLI.

An engine is data, so that naming one costs next to nothing: its decoder and its reader of
transcripts are import strings, imported when the first line is decoded, the first transcript
read. An engine in a package of its own is offered by an entry point (see `plugins`)::

    from otel_untether.engines.engine import Engine, Traits

    ENGINE = Engine(
        "demo",
        decoder="demo_engine.stream:decode",
        commands=frozenset({"demo"}),
        headless_arguments=lambda args: "--json" in args,
        json_flags="--json",
        traits=Traits(names_tools_late=False),
    )
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property, reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, cast

from otel_untether.engines import argv as _argv
from otel_untether.engines.session_files import SessionFiles
from otel_untether.session.traits import UNKNOWN as UNKNOWN_TRAITS
from otel_untether.session.traits import Traits

if TYPE_CHECKING:
    from otel_untether.engines.debug_log import DebugLog
    from otel_untether.engines.transcripts import Transcripts
    from otel_untether.session.events import Event

__all__ = [
    "TELLS", "Arguments", "Decode", "Dialogue", "Engine", "FirstLine", "Reading", "SessionFiles",
    "Traits",
]  # fmt: skip

TELLS = {
    "starts": "that a tool begins, when it does",
    "ends": "that a tool is over, and how",
    "subagents": "what a subagent does",
    "retries": "that a request is made again",
    "waits": "that somebody is asked",
    "times": "when a thing happened, apart from when its line arrived",
    "usage": "tokens",
    "cost": "dollars",
}
"""What the lines of a CLI may say, by the words that `Engine.tells` uses."""

Arguments: TypeAlias = Sequence[str]
"""What a command line gives to the program, without the program and what launches it."""

FirstLine: TypeAlias = Mapping[str, Any]
"""One of the first lines of a stdout, which was a JSON object."""


class Decode(Protocol):
    """A decoder: one line of stdout in, what it says out."""

    def __call__(self, line: bytes, at: int, /) -> tuple[Event, ...]:
        """Return the events of a line.

        It is a function of its arguments and raises nothing, whatever the bytes: what it cannot
        read becomes a `StrayLine` (`parsing.salvage` helps with that).

        :param line: the line, without its newline.
        :param at: when it arrived, in ns since the epoch.
        """


class Dialogue(Protocol):
    """One session of a protocol in which a line means little without those before it.

    An answer names the request it answers and nothing else, so what was asked is remembered,
    within bounds. It is made once a session, without arguments; like a `Decode` its methods read
    no clock and raise nothing.
    """

    def output(self, line: bytes, at: int, /) -> tuple[Event, ...]:
        """Return what a line says that the agent printed.

        :param line: the line, without its newline.
        :param at: when it arrived, in ns since the epoch.
        """

    def input(self, line: bytes, at: int, /) -> tuple[Event, ...]:
        """Return what a line says that the agent was given on its stdin.

        :param line: the line, without its newline.
        :param at: when it was written, in ns since the epoch.
        """


class Reading(NamedTuple):
    """What reads one session: what the agent prints, and what it is given on its stdin."""

    output: Decode
    input: Decode


def _no(_args: Arguments) -> bool:
    return False


def _never(_line: FirstLine) -> bool:
    return False


@dataclass(frozen=True)
class Engine:
    """One agent CLI: how to read its lines and its command line, and how it behaves.

    The functions of arguments get what follows the program, see `argv.program`; `argv.option`
    and `argv.own` help to read them.

    :param name: lower case; ``untether.engine`` in all that leaves.
    :param decoder: a `Decode`, or where to import it from (``package.module:function``); None
        for a CLI whose output nobody can read yet.
    :param input_decoder: likewise, of the lines that its program writes to its stdin: prompts,
        answers to what it asked. Not every program lets us see them.
    :param dialogue: in place of both, for a protocol of requests and answers: what makes a
        `Dialogue`, or where to import that from.
    :param provider: the ``gen_ai.provider.name`` of the models it talks to by default.
    :param commands: the names of its executable, as on PATH.
    :param packages: the packages it is started from by ``npx`` and its like.
    :param headless_arguments: whether they ask for the JSON lines that `decoder` reads.
    :param json_flags: the arguments that ask for them, for a person to read.
    :param resume_arguments: the session they continue, True for the latest one, or False.
    :param prompt_arguments: whether they make it take one prompt after another on its stdin.
    :param server_arguments: the protocol they make it serve (``acp``, ``mcp``, …), or None.
    :param manage_arguments: whether they start no session at all (``--version``, ``mcp list``).
    :param first_line: whether a line, one of the first, is certainly its own and no other's.
    :param tells: which of `TELLS` its lines say; the rest can only be seen elsewhere.
    :param transcripts: a `Transcripts`, or the module to import that is one.
    :param session_files: where it keeps what `transcripts` reads, None where nobody knows: then
        a running session's are not followed.
    :param writes_log: what names its debug log, None where nothing does.
    :param joins_trace: whether, in an environment, spans of its own for what the model answers and
        for its calls join the trace that it is told of.
    :param traits: how it behaves while it works.
    """

    name: str
    _: KW_ONLY
    decoder: str | Decode | None = None
    input_decoder: str | Decode | None = None
    dialogue: str | Callable[[], Dialogue] | None = None
    provider: str | None = None
    commands: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    headless_arguments: Callable[[Arguments], bool] = _no
    json_flags: str | None = None
    resume_arguments: Callable[[Arguments], str | bool] = _no
    prompt_arguments: Callable[[Arguments], bool] = _no
    server_arguments: Callable[[Arguments], str | None] = lambda _args: None
    manage_arguments: Callable[[Arguments], bool] = _no
    first_line: Callable[[FirstLine], bool] = _never
    tells: frozenset[str] = frozenset()
    transcripts: str | Transcripts | None = None
    session_files: SessionFiles | None = None
    writes_log: DebugLog | None = None
    joins_trace: Callable[[Mapping[str, str]], bool] = lambda _environ: False
    traits: Traits = UNKNOWN_TRAITS

    @property
    def understood(self) -> bool:
        """Whether there is a decoder: else its lines are signs of life, and no more."""
        return self.decoder is not None or self.dialogue is not None

    @cached_property
    def decode(self) -> Decode:
        """The decoder, imported when it is first asked for; its names are fit to leave.

        Of a protocol it is what one line says that nothing came before.
        """
        if self.dialogue is not None:
            return lambda line, at: self.reading().output(line, at)
        return _cleaned(cast("Decode", _imported(self.decoder or _UNKNOWN)))

    def reading(self) -> Reading:
        """Return what reads one session, from its first line on; names in it are fit to leave."""
        if self.dialogue is None:
            given = cast("Decode | None", _imported(self.input_decoder))
            return Reading(self.decode, _cleaned(given) if given else _nothing)
        made = cast("Callable[[], Dialogue]", _imported(self.dialogue))()
        return Reading(_cleaned(made.output), _cleaned(made.input))

    def speaking(self, protocol: Engine) -> Engine:
        """Return this engine as it is while it serves `protocol`: named alike, read otherwise.

        :param protocol: the engine of that protocol, such as ``acp``.
        """
        late, hidden = protocol.traits.names_tools_late, protocol.traits.hides_subagents
        return replace(
            self,
            decoder=protocol.decoder,
            input_decoder=protocol.input_decoder,
            dialogue=protocol.dialogue,
            tells=protocol.tells,
            traits=self.traits._replace(names_tools_late=late, hides_subagents=hidden),
        )

    @cached_property
    def transcripts_reader(self) -> Transcripts | None:
        """The reader of its transcripts, imported when it is first asked for."""
        return cast("Transcripts | None", _imported(self.transcripts))

    def argv_match(self, argv: Sequence[str]) -> bool:
        """Tell whether `argv` certainly starts this engine."""
        return self._arguments(argv) is not None

    def behaves(self, *, plain: bool) -> Traits:
        """Return its traits; `plain` says that it prints something else than events.

        Then whatever it does until its answer is there, it does in silence.
        """
        if not plain:
            return self.traits
        hidden = {"names_tools_late": True, "hides_subagents": True, "silent_until_done": True}
        return self.traits._replace(**hidden)

    def prints_no_events(self, argv: Sequence[str]) -> bool:
        """Tell whether `argv` certainly starts this engine and asks for no JSON lines.

        A person's terminal, a text or one JSON document at the end, a protocol that it serves.
        """
        return self._arguments(argv) is not None and not self.headless(argv)

    def headless(self, argv: Sequence[str]) -> bool:
        """Tell whether `argv` asks for the JSON lines that `decode` reads."""
        args = self._arguments(argv)
        return args is not None and self.headless_arguments(args)

    def resumes(self, argv: Sequence[str]) -> str | bool:
        """Return the session `argv` continues, True for the latest one, False for none."""
        args = self._arguments(argv)
        return args is not None and self.resume_arguments(args)

    def debug_log(self, argv: Sequence[str], environ: Mapping[str, str]) -> str | None:
        """Return the path of the debug log that `argv` or `environ` names, None if neither does."""
        args = self._arguments(argv)
        log = self.writes_log
        return log.named(args, environ) if log is not None and args is not None else None

    def multi_prompt(self, argv: Sequence[str]) -> bool:
        """Tell whether the process takes one prompt after another on its stdin.

        :param argv: the command line.
        """
        args = self._arguments(argv)
        return args is not None and self.prompt_arguments(args)

    def serves(self, argv: Sequence[str]) -> str | None:
        """Return the protocol that `argv` makes it serve (``acp``, ``mcp``, …), None for none."""
        args = self._arguments(argv)
        return None if args is None else self.server_arguments(args)

    def manages(self, argv: Sequence[str]) -> bool:
        """Tell whether `argv` starts no session at all: ``--version``, ``mcp list``."""
        args = self._arguments(argv)
        return args is not None and self.manage_arguments(args)

    def _arguments(self, argv: Sequence[str]) -> Arguments | None:
        """Return what `argv` gives to this engine, None if it starts another, or none."""
        name, args = _argv.program(argv) or (None, [])
        return args if name in self.commands or name in self.packages else None


_UNKNOWN = "otel_untether.engines.unknown:decode"
_CLEANED = "otel_untether.engines.parsing.names:cleaned"


def _nothing(_line: bytes, _at: int, /) -> tuple[Event, ...]:
    return ()


def _cleaned(decode: Decode) -> Decode:
    return cast("Callable[[Decode], Decode]", _imported(_CLEANED))(decode)


def _imported(what: object) -> object:
    """Return what an import string leads to, anything else as it is."""
    if not isinstance(what, str):
        return what
    module, _, names = what.partition(":")
    with suppress(ModuleNotFoundError):
        found = import_module(module)
        return reduce(getattr, names.split("."), found) if names else found
    from pkgutil import resolve_name  # noqa: PLC0415  for who does not say where the module ends

    return resolve_name(what)
