"""The engines we know, and how to tell which one is talking."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from otel_untether.engines import argv as _argv
from otel_untether.engines.claude import stream as claude
from otel_untether.engines.codex import stream as codex
from otel_untether.engines.parsing.salvage import ABSENT, given
from otel_untether.session.events import StrayLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_untether.session.events import Event

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

    Several CLIs speak in Claude's words; what only Claude says is its version in ``init`` (in
    older ones its tools and how they are allowed), before that its SessionStart hooks,
    and in a ``result`` the cost.
    """
    try:
        found = _key_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if found.type in _CODEX_TYPES and (found.thread_id or found.type != "thread.started"):
        return ENGINES["codex"]
    if found.session_id and _is_claude(found):
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
    permission_mode: str | None = msgspec.field(default=None, name="permissionMode")
    total_cost_usd: float | None = None
    tools: msgspec.Raw = ABSENT


def _is_claude(found: _Keys) -> bool:
    if found.type == "result":
        return found.total_cost_usd is not None
    if found.type != "system":
        return False
    if found.subtype == "init":
        older = given(found.tools) and (found.api_key_source or found.permission_mode)
        return bool(older) or found.claude_code_version is not None
    return found.uuid is not None and found.subtype in ("hook_started", "hook_response")


def _claude_headless(args: Sequence[str]) -> bool:
    return _argv.option(args, "--output-format") == "stream-json"


def _claude_resumes(args: Sequence[str]) -> str | bool:
    named = _argv.option(args, "--resume", "-r")
    return named or _argv.option(args, "--continue", "-c") is not False


def _claude_multi_prompt(args: Sequence[str]) -> bool:
    return _argv.option(args, "--input-format") == "stream-json"


def _codex_headless(args: Sequence[str]) -> bool:
    words = set(_argv.own(args))
    return bool(words & {"exec", "e"} and words & {"--json", "--experimental-json"})


def _codex_resumes(args: Sequence[str]) -> str | bool:
    words = _argv.own(args)
    if "resume" not in words:
        return False
    after = words[words.index("resume") + 1 :]
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
