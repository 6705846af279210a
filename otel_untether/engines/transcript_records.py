"""Records on disk: JSON lines, of which the last may be torn and any may be broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from otel_untether.engines.parsing.salvage import BROKEN, LARGEST, fit, loads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

Shape = TypeVar("Shape", bound=msgspec.Struct)


def records(
    path: Path, decoder: msgspec.json.Decoder[Shape], shape: type[Shape]
) -> Iterator[Shape]:
    """Yield a file's lines as `shape`; what is no JSON object is left out. Raises OSError.

    A line that was written twice, its time and its ids included, is told once.
    """
    told: set[int] = set()
    with regular(path) as file:
        for line in file:
            number = hash(line)
            if number in told:
                continue
            told.add(number)
            found = record(line, decoder, shape)
            if found is not None:
                yield found


def regular(path: Path) -> BinaryIO:
    """Open a file, but nothing that is no file: a named pipe would keep us waiting for ever.

    Raises OSError, as `open` does.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "no regular file", str(path))
    return path.open("rb")


def record(line: bytes, decoder: msgspec.json.Decoder[Shape], shape: type[Shape]) -> Shape | None:
    """Return one line as `shape`, as far as it fits; None where it is no JSON object."""
    try:
        return decoder.decode(line)
    except BROKEN:
        pass
    try:
        value = loads(line) if len(line) <= LARGEST else None
    except ValueError:
        return None
    return fit(value, shape)[0] if isinstance(value, dict) else None


def first_record(
    path: Path, decoder: msgspec.json.Decoder[Shape], shape: type[Shape]
) -> Shape | None:
    """Return the first line of a file that may not be there, or not be readable."""
    try:
        with regular(path) as file:
            return record(file.readline(LARGEST), decoder, shape)
    except OSError:
        return None
