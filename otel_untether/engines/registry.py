"""The engines we know, and how to tell which one is talking."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from otel_untether.events import StrayLine

from . import _argv, claude, codex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_untether.events import Event

    Decode: TypeAlias = Callable[[bytes, int], tuple[Event, ...]]
    OfArguments: TypeAlias = Callable[[Sequence[str]], Any]

_THREAD: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Engine:
    """One agent CLI: how to read its lines and its command line.

    `provider` is the ``gen_ai.provider.name`` of the models it talks to by default. `programs`
    are the names it is started by, npm packages included.
    """

    name: str
    decode: Decode
    provider: str | None = None
    programs: frozenset[str] = frozenset()
    _headless: OfArguments = lambda _args: False
    _resumes: OfArguments = lambda _args: False
    _multi_prompt: OfArguments = lambda _args: False

    def argv_match(self, argv: Sequence[str]) -> bool:
        """Tell whether `argv` certainly starts this engine."""
        started = _argv.program(argv)
        return started is not None and started[0] in self.programs

    def headless(self, argv: Sequence[str]) -> bool:
        """Tell whether `argv` asks for the JSON lines that `decode` reads."""
        return bool(self._ask(self._headless, argv))

    def resumes(self, argv: Sequence[str]) -> str | bool:
        """Return the session `argv` continues, True for the latest one, False for none."""
        answer = self._ask(self._resumes, argv)
        return answer if isinstance(answer, str) else bool(answer)

    def multi_prompt(self, argv: Sequence[str]) -> bool:
        """Tell whether the process takes one prompt after another on its stdin."""
        return bool(self._ask(self._multi_prompt, argv))

    def _ask(self, question: OfArguments, argv: Sequence[str]) -> Any:
        started = _argv.program(argv)
        return started is not None and started[0] in self.programs and question(started[1])


def get(name: str) -> Engine:
    """Return the engine called `name`; `ValueError` lists those there are."""
    try:
        return ENGINES[name]
    except KeyError:
        raise ValueError(f"unknown engine {name!r}: expected one of {', '.join(ENGINES)}") from None


def detect_argv(argv: Sequence[str]) -> Engine | None:
    """Return the engine that `argv` certainly starts."""
    return next((engine for engine in ENGINES.values() if engine.argv_match(argv)), None)


def detect_line(line: bytes) -> Engine | None:
    """Return the engine that certainly wrote `line`, one of the first of its stdout.

    Several CLIs imitate Claude's lines; what none of them has is its version in ``init`` or,
    before that, the lines of its SessionStart hooks.
    """
    try:
        found = _key_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if found.type in _CODEX_TYPES and (found.thread_id or found.type != "thread.started"):
        return ENGINES["codex"]
    if found.type == "system" and found.session_id and _is_claude(found):
        return ENGINES["claude"]
    return None


class _Keys(msgspec.Struct):
    type: str | None = None
    subtype: str | None = None
    session_id: str | None = None
    uuid: str | None = None
    thread_id: str | None = None
    claude_code_version: str | None = None
    api_key_source: str | None = msgspec.field(default=None, name="apiKeySource")
    tools: msgspec.Raw = msgspec.Raw()


def _is_claude(found: _Keys) -> bool:
    if found.claude_code_version is not None:
        return True
    if found.subtype == "init":  # before 1.0.60 or so it had no version
        return found.api_key_source is not None and bool(bytes(found.tools))
    return found.uuid is not None and found.subtype in ("hook_started", "hook_response")


def _claude_headless(args: Sequence[str]) -> bool:
    return _argv.option(args, "--output-format") == "stream-json"


def _claude_resumes(args: Sequence[str]) -> str | bool:
    named = _argv.option(args, "--resume", "-r")
    return named or _argv.option(args, "--continue", "-c") is not False


def _claude_multi_prompt(args: Sequence[str]) -> bool:
    return _argv.option(args, "--input-format") == "stream-json"


def _codex_headless(args: Sequence[str]) -> bool:
    given = set(_argv.own(args))
    return not given.isdisjoint({"exec", "e"}) and not given.isdisjoint(
        {"--json", "--experimental-json"}
    )


def _codex_resumes(args: Sequence[str]) -> str | bool:
    given = _argv.own(args)
    if "resume" not in given:
        return False
    after = given[given.index("resume") + 1 :]
    return next((arg for arg in after if _THREAD.fullmatch(arg)), True)


def _decode_generic(line: bytes, at: int) -> tuple[Event, ...]:
    """Take every JSON object for a sign of life and nothing else."""
    if not line.strip():
        return ()
    try:
        _object_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return (StrayLine(at=at, reason="not_json"),)
    return ()


_CODEX_TYPES: Final = frozenset({
    "thread.started", "turn.started", "item.started", "item.completed",
})  # fmt: skip
_key_decoder: Final = msgspec.json.Decoder(_Keys)
_object_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

ENGINES: Final[dict[str, Engine]] = {
    engine.name: engine
    for engine in (
        Engine(
            "claude",
            claude.decode,
            "anthropic",
            frozenset({"claude", "@anthropic-ai/claude-code"}),
            _claude_headless,
            _claude_resumes,
            _claude_multi_prompt,
        ),
        Engine(
            "codex",
            codex.decode,
            "openai",
            frozenset({"codex", "@openai/codex"}),
            _codex_headless,
            _codex_resumes,
        ),
        Engine("generic", _decode_generic),
    )
}
