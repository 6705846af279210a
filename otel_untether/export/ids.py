"""Where span and trace ids come from.

What makes them is called as the SDK's `IdGenerator`, and not derived from it: it is used where
there is no SDK, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from otel_untether.export.propagation import new_span_id, new_trace_id

if TYPE_CHECKING:
    from otel_untether.export.propagation import RootContext


class IdGenerator(Protocol):
    """What makes ids."""

    def generate_trace_id(self) -> int:
        """Return a new one, 128 bits."""

    def generate_span_id(self) -> int:
        """Return a new one, 64 bits."""


class RootIdGenerator:
    """Gives the first span the ids its child process was already told, then random ones.

    Where the root has a remote parent the SDK takes the trace id from there and asks for a
    span id only. Random ids come from the system, not from `random`, which a host may seed.
    """

    def __init__(self, root: RootContext | None = None) -> None:
        self._trace_id = root.trace_id if root else None
        self._span_id = root.span_id if root else None

    def generate_trace_id(self) -> int:
        """Return the root's trace id, later a random one."""
        trace_id, self._trace_id = self._trace_id, None
        return trace_id or new_trace_id()

    def generate_span_id(self) -> int:
        """Return the root's span id, later a random one."""
        span_id, self._span_id, self._trace_id = self._span_id, None, None
        return span_id or new_span_id()

    def is_trace_id_random(self) -> bool:
        """Say no, though they are: the flag that says yes makes Codex drop the context."""
        return False


class SeededIdGenerator:
    """The same ids in the same order for the same seed: replaying a file twice is idempotent.

    An id is the BLAKE2b hash of its ordinal, keyed with the seed.
    """

    def __init__(self, seed: bytes) -> None:
        from hashlib import blake2b  # noqa: PLC0415  loads OpenSSL, which is for replays

        self._hash = blake2b
        self._key = blake2b(seed, digest_size=32).digest()
        self._ordinal = 0

    def generate_trace_id(self) -> int:
        """Return the next id, 128 bits."""
        return self._next(16)

    def generate_span_id(self) -> int:
        """Return the next id, 64 bits."""
        return self._next(8)

    def is_trace_id_random(self) -> bool:
        """Say no: they are not."""
        return False

    def _next(self, size: int) -> int:
        self._ordinal += 1
        ordinal = self._ordinal.to_bytes(8, "big")
        digest = self._hash(ordinal, digest_size=size, key=self._key).digest()
        return int.from_bytes(digest, "big") or 1
