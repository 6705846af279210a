"""Content (tool arguments, results) leaves the process only when somebody asked for it.

`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` is OpenTelemetry's switch; its values are
those of opentelemetry-util-genai, and ``true`` as older packages wrote it. What is captured is
rid of attachments, decoded, redacted (`session.redaction`), cut to a limit, and passed through a
host's own hook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from otel_untether.session.attachments import without_attachments
from otel_untether.session.redaction import redact, redact_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ON: Final = frozenset({"true", "span_only", "event_only", "span_and_event"})

__all__ = ["VARIABLE", "Capture", "Redact", "from_environ", "redact"]

Redact: TypeAlias = "Callable[[str], str]"


class Capture(Struct, frozen=True):
    """Whether content is captured, how much of it, and what goes over it last.

    `limit` is in characters of one attribute's value. `redact` is a host's own function from
    text to text, run after ours.
    """

    enabled: bool = False
    limit: int = 4096
    redact: Redact = redact

    def text(self, raw: bytes | None) -> tuple[str, bool] | None:
        """Return redacted text and whether it was cut, or None where nothing may leave.

        `raw` is JSON as the agent wrote it, or text. Redaction comes before the cut, and looks
        further than that: half a secret would not look like one any more.
        """
        if not self.enabled or raw is None:
            return None
        raw, seen = without_attachments(raw), 8 * self.limit
        text = redact_json(raw, seen)
        if self.redact is not redact:
            text = self.redact(text)
        return text[: self.limit], len(text) > self.limit or len(raw) > seen


def from_environ(environ: Mapping[str, str]) -> Capture:
    """Read OpenTelemetry's own switch."""
    return Capture(enabled=environ.get(VARIABLE, "").strip().lower() in _ON)
