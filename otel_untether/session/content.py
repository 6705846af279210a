"""Content (tool arguments, results) leaves the process only when somebody asked for it.

`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` is OpenTelemetry's switch; its values are
those of opentelemetry-util-genai, and ``true`` as older packages wrote it. What is captured is
cut to a limit and passed through one redaction hook.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ON: Final = frozenset({"true", "span_only", "event_only", "span_and_event"})

Redact: TypeAlias = "Callable[[str], str]"

# What secrets look like: well-known key prefixes, bearer tokens, and values of telling names.
_SECRET: Final = re.compile(
    r"""
    \b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}            # model providers' and payment keys
    | \bgh[pousr]_[A-Za-z0-9]{20,}              # GitHub
    | \bgithub_pat_[A-Za-z0-9_]{20,}
    | \bglpat-[A-Za-z0-9_-]{16,}
    | \bxox[abeprs]-[A-Za-z0-9-]{10,}           # Slack
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b             # AWS
    | \bAIza[A-Za-z0-9_-]{30,}                  # Google
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+   # JWT
    | -----BEGIN[ A-Z]*PRIVATE\ KEY-----[\s\S]*?(?:-----END[ A-Z]*PRIVATE\ KEY-----|\Z)
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)           # credentials in a URL
    """,
    re.VERBOSE,
)
_NAMED_SECRET: Final = re.compile(
    r"""(?ix)
    ( \b[\w-]*(?:api[_-]?key|token|secret|passw(?:or)?d|authorization|credential)[\w-]*
      ["']? \s* [=:] \s* (?:bearer\s+|basic\s+)? ["']? | \bbearer\s+ )
    ( [^\s"',;&]{4,} )
    """
)


def redact(text: str) -> str:
    """Replace what looks like a secret by ``[redacted]``."""
    return _NAMED_SECRET.sub(r"\1[redacted]", _SECRET.sub("[redacted]", text))


@dataclass(frozen=True, slots=True)
class Capture:
    """Whether content is captured, how much of it, and what goes over it last.

    `limit` is in characters of one attribute's value.
    """

    enabled: bool = False
    limit: int = 4096
    redact: Redact = redact

    def text(self, raw: bytes | None) -> tuple[str, bool] | None:
        """Return redacted text and whether it was cut, or None where nothing may leave.

        Redaction comes before the cut: half a secret would not look like one any more.
        """
        if not self.enabled or raw is None:
            return None
        text = self.redact(bytes(raw[: 8 * self.limit]).decode("utf-8", "replace"))
        return text[: self.limit], len(text) > self.limit or len(raw) > 8 * self.limit


def from_environ(environ: Mapping[str, str]) -> Capture:
    """Read OpenTelemetry's own switch."""
    return Capture(enabled=environ.get(VARIABLE, "").strip().lower() in _ON)
