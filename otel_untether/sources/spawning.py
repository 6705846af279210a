"""How agents are spawned, by us and by programs that we are a guest in."""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from otel_untether.export.propagation import RootContext, child_environ, without_telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.trace import SpanContext

    from otel_untether.config.settings import Native

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as a shell has it
_spawning: Final = ContextVar("untether_spawning", default=False)


@contextmanager
def spawning() -> Iterator[None]:
    """Say that an agent is spawned here which is watched already.

    An event loop spawns through `subprocess.Popen`, `watch` through an event loop: of several
    that look on, one makes a session.
    """
    token = _spawning.set(True)
    try:
        yield
    finally:
        _spawning.reset(token)


def is_spawning() -> bool:
    """Tell whether somebody above us spawns, who watches what comes of it."""
    return _spawning.get()


def into_clean(words: Sequence[Any], context: SpanContext) -> Sequence[Any]:
    """Hand the session's span on through ``env -i A=b … agent``, which drops the environment."""
    if not context.is_valid or list(words[1:2]) != ["-i"]:
        return words
    if PurePath(os.fsdecode(words[0])).name != "env":
        return words
    told = environment({}, context)
    return [*words[:2], *(f"{key}={value}" for key, value in told.items()), *words[2:]]


def environment(
    env: Mapping[Any, Any], context: SpanContext, *, native: Native = "join"
) -> dict[Any, Any]:
    """Hand the session's span on; where there is none, only the agent's telemetry may be off.

    :param env: what the agent would have been given.
    :param context: of the session's root span.
    :param native: what becomes of the agent's own telemetry.
    """
    if native == "off":
        env = without_telemetry(env)
    if not context.is_valid:
        return dict(env)
    state = context.trace_state.to_header() if context.trace_state else None
    flags = context.trace_flags & 1  # Codex rejects the SDK's 03
    return child_environ(
        env, RootContext(context.trace_id, context.span_id, None, flags, tracestate=state)
    )


def unstarted(error: BaseException) -> int | None:
    """Return the status that a shell gives a command that could not be started."""
    if isinstance(error, OSError):
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
    return None
