r"""Secrets taken out of text, names and JSON before anything is kept or leaves.

>>> redact("curl -u admin:hunter2 https://example.org")
'curl -u admin:[redacted] https://example.org'
>>> redact_json(b'{"command": "ls", "password": "hunter2"}')
'{"command":"ls","password":"[redacted]"}'

What a secret looks like is a dozen modules (`redactor`), which a session that says nothing but
ordinary names can do without: they are imported at the first text that is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def redact(text: str, *, command: bool = False) -> str:
    """Return `text` with ``[redacted]`` wherever it shows a secret.

    `command` says that it is a command line, where a blank ends a value without quotes.
    """
    from otel_untether.session import redactor  # noqa: PLC0415  as is said above

    return redactor.redact(text, command=command)


def redact_command(line: str) -> str:
    """Return a command line without its secrets."""
    return redact(line, command=True)


def redact_lines(lines: Iterable[str]) -> list[str]:
    """Return lines that belong together without their secrets, a key of several lines included."""
    return redact("\n".join(lines)).split("\n")


def redact_json(raw: bytes, limit: int | None = None) -> str:
    """Return a JSON document as text without its secrets; what is no JSON is taken as text.

    `limit` is how many characters of each string are looked at, and no more come back. A
    document without secrets comes back as it was written.
    """
    from otel_untether.session import redactor  # noqa: PLC0415  likewise

    return redactor.redact_json(raw, limit)
