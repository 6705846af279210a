"""The trace context a session inherits and hands on, through environment variables.

The child is spawned before the SDK is imported, so the root span's ids are made here and the
SDK is told to use them (`telemetry.ids.RootIdGenerator`). Nothing here imports OpenTelemetry, nor
`dataclasses`, `typing` or `secrets`, which together would delay the child by 20 ms.

The formats are W3C Trace Context (https://www.w3.org/TR/trace-context/) and OpenTelemetry's
environment variable carriers (`TRACEPARENT`, `TRACESTATE`, `BAGGAGE`).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from typing import Any, Final

TRACEPARENT: Final = "TRACEPARENT"
TRACESTATE: Final = "TRACESTATE"
SAMPLED: Final = 0x01

_EXPECTED: Final = "version-traceid-spanid-flags in lower-case hex, like 00-4bf9…4736-00f0…02b7-01"
_TRACEPARENT: Final = (
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


class RootContext:
    """The identity of a session's root span, before there is a span.

    `parent_span_id` is the ambient caller's, None for a trace of our own; `trace_flags` is
    1 when sampled, else 0. `problem` says why an ambient `TRACEPARENT` was ignored.
    """

    __slots__ = (
        "parent_span_id", "problem", "span_id", "trace_flags", "trace_id", "tracestate",
    )  # fmt: skip

    def __init__(
        self,
        trace_id: int,
        span_id: int,
        parent_span_id: int | None = None,
        trace_flags: int = SAMPLED,
        tracestate: str | None = None,
        problem: str | None = None,
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_span_id = parent_span_id
        self.trace_flags = trace_flags
        self.tracestate = tracestate
        self.problem = problem

    @property
    def traceparent(self) -> str:
        """This root as a `TRACEPARENT` value, for what runs below it."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.trace_flags:02x}"


def new_trace_id() -> int:
    """Return a random trace id; all zeros would be invalid."""
    return int.from_bytes(os.urandom(16)) or 1


def new_span_id() -> int:
    """Return a random span id; all zeros would be invalid."""
    return int.from_bytes(os.urandom(8)) or 1


def root_context(environ: Mapping[str, str]) -> RootContext:
    """Return the ids of a new root span, below the ambient `TRACEPARENT` where one is valid.

    A malformed one is ignored, as W3C asks, together with its `TRACESTATE`.
    """
    value = environ.get(TRACEPARENT, "").strip()
    if not value:
        return RootContext(new_trace_id(), new_span_id())
    match = _match(value)
    problem = _defect(match)
    if match is None or problem:
        return RootContext(
            new_trace_id(),
            new_span_id(),
            problem=f"{TRACEPARENT} is ignored: {problem}; expected {_EXPECTED}",
        )
    return RootContext(
        int(match["trace"], 16),
        new_span_id(),
        parent_span_id=int(match["span"], 16),
        # Only the sampled bit is passed on: Codex drops a context whose flags are 03
        # (sampled and "random trace id"), which is what newer SDKs write.
        trace_flags=int(match["flags"], 16) & SAMPLED,
        tracestate=environ.get(TRACESTATE, "").strip() or None,
    )


def _match(value: str) -> re.Match[str] | None:
    import re  # noqa: PLC0415  3 ms, only below an ambient trace

    return re.fullmatch(_TRACEPARENT, value)


def _defect(match: re.Match[str] | None) -> str | None:
    if match is None:
        return "it is malformed"
    if match["version"] == "ff":
        return "version ff is forbidden"
    if match["version"] == "00" and match["more"]:
        return "version 00 has four fields"
    if int(match["trace"], 16) == 0:
        return "its trace id is all zeros"
    if int(match["span"], 16) == 0:
        return "its span id is all zeros"
    return None


def without_telemetry(environ: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return `environ` without what turns an agent's own telemetry on, or tells where it goes."""
    own = ("OTEL_", "GEMINI_TELEMETRY_", "QWEN_TELEMETRY_", "COPILOT_OTEL_")
    switches = ("CLAUDE_CODE_ENABLE_TELEMETRY", "BETA_TRACING_ENDPOINT")
    kept = {
        name: value
        for name, value in environ.items()
        if (word := os.fsdecode(name)).startswith("OTEL_UNTETHER_")
        or not (word.startswith(own) or word in switches)
    }
    return {**kept, "OTEL_SDK_DISABLED": "true"}


def child_environ(environ: Mapping[str, str], root: RootContext) -> dict[str, str]:
    """Return `environ` with the root span as the child's trace context.

    A `TRACESTATE` belongs to the trace it came with, so it goes when that trace is not
    continued. All else, `BAGGAGE` included, is as it was.
    """
    child = {**environ, TRACEPARENT: root.traceparent}
    child.pop(TRACESTATE, None)
    return child if root.tracestate is None else {**child, TRACESTATE: root.tracestate}
