"""A journal without what nobody will need: of the spans that have ended, and of older progress.

    before: resource, start A, start B, update A, end B, progress 1, progress 2, kill decided
    after:  resource, start A (as updated), progress 2, kill decided

It is read by the reader that recoveries use, so a recovery finds in the new journal what it would
have found in the old one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from otel_untether.store.encoding import ENCODER
from otel_untether.store.files import lines
from otel_untether.store.remains import Journaled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def compacted(journal: Path, *, ended: bool) -> bytes:
    """Return what a journal is to hold; `ended` says whether ended spans stay in it.

    Without them it takes no more memory than what is open. Raises OSError where it cannot be
    read to its end.
    """
    found = Journaled()
    for line in lines(journal):
        # A torn line said nothing before, either.
        with contextlib.suppress(
            msgspec.MsgspecError, LookupError, TypeError, AttributeError, ValueError, RecursionError
        ):
            entry = msgspec.json.decode(line.strip(b"\0"))
            found.read(entry)
            if entry["kind"] == "end" and not ended:
                found.forget(entry["span"]["spanId"])
    return b"".join(ENCODER.encode(entry) + b"\n" for entry in _entries(found))


def _entries(found: Journaled) -> Iterator[dict[str, Any]]:
    at = found.last
    if found.resource:
        yield {"at": at, "kind": "resource", "resource": found.resource}
    for span_id, span in found.spans.items():
        yield {"at": at, "kind": "start", "scope": found.scopes[span_id], "span": span}
    for request in found.whole:
        yield {"at": at, "kind": "span", "request": request}
    if found.progress:
        yield {"at": at, "kind": "progress", "attributes": list(found.progress.values())}
    yield from found.decisions
