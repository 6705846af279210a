"""SHA-256 for the names of files, without `hashlib`, which loads OpenSSL: 4 ms of each run.

Python's own module of it is what `random` takes, too; where there is none, `hashlib` it is.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MODULES: Final = ("_sha2", "_sha256", "hashlib")  # since Python 3.12, before, anywhere


def _found() -> Callable[[bytes], Any]:
    for name in _MODULES:
        try:
            sha256: Callable[[bytes], Any] = import_module(name).sha256
        except (ImportError, AttributeError):
            continue
        return sha256
    raise ImportError("this Python has no SHA-256")


_sha256: Final = _found()


def digest_of(content: bytes) -> str:
    """Return the SHA-256 digest of `content`, 64 hex digits."""
    digits: str = _sha256(content).hexdigest()
    return digits
