"""Recorded sessions: what a CLI printed, or wrote down about itself, as it arrived.

Three kinds of file, all JSON lines:

- raw: the bytes a CLI printed. Each line arrived when it says, else when the one before it
  did; where no line of the file says, a tenth of a second passes between two.
- timed: ``{"t": 12.5, "line": "…"}`` for each line and perhaps ``{"t": 13.0, "exit": 0}``, with
  `t` in seconds, since the epoch or since the start. ``"dir": "in"`` marks a line that the agent
  was given on its stdin; a line may be text, or the object that it was.
- transcript: a CLI's own record of a session, with its subagents' files around it, or the newest
  session in its database.

`scan` and `arrivals` are functions of lines; `inspect` and `find` look at the disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import msgspec

from otel_untether.engines import registry
from otel_untether.engines.parsing.names import clean
from otel_untether.engines.parsing.timestamps import SECOND, own_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from otel_untether.engines.transcripts import Transcripts
    from otel_untether.session.events import Event

Kind: TypeAlias = Literal["raw", "timed", "transcript"]

STEP: Final = SECOND // 10
_HEAD: Final = 32  # lines within which a file must show what it is
_EPOCH_SECONDS: Final = 1e9  # the year 2001, or a session of 31 years


class RecordingError(Exception):
    """A file that cannot be replayed; the text names it, and says what was expected."""


class Arrival(NamedTuple):
    """A line and when it arrived, in ns since the epoch."""

    at: int
    line: bytes


class Given(Arrival):
    """A line that the agent was given on its stdin."""

    __slots__ = ()


class Exit(NamedTuple):
    """The end of the process; `status` as in `subprocess` (negative for a signal) or None."""

    at: int
    status: int | None


class _Timed(msgspec.Struct):
    t: float
    line: msgspec.Raw = msgspec.Raw()
    dir: Literal["in", "out"] = "out"
    exit: int | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def tells(self) -> bool:
        """Whether there is a line, or an end, in it."""
        return self.exit is not msgspec.UNSET or bytes(self.line)[:1] in (b'"', b"{")

    @property
    def text(self) -> bytes | None:
        """The line, None where there is none: as a string, or as it was."""
        raw = bytes(self.line)
        if not raw.startswith(b'"'):
            return raw if raw.startswith(b"{") else None
        return _text_decoder.decode(raw).encode("utf-8", "replace")


_text_decoder: Final = msgspec.json.Decoder(str)
_timed_decoder: Final = msgspec.json.Decoder(_Timed)
_object_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BROKEN: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


@dataclass(slots=True)
class Scan:
    """What one pass over a file tells.

    `digest` is of its bytes; `own` the first time a line itself gives (ns since the epoch),
    with the `t` it arrived at in a timed recording. `engine` is None where no line tells.
    """

    kind: Kind = "raw"
    digest: bytes = b""
    size: int = 0
    lines: int = 0
    objects: int = 0
    nul: bool = False
    own: tuple[int, float] | None = None
    first_t: float | None = None
    last_t: float = 0.0
    exit: tuple[float, int | None] | None = None
    engine: str | None = None
    head: list[bytes] = field(default_factory=list)

    @property
    def untimed(self) -> bool:
        """Whether nothing in the file says when a line came, so that times are made up."""
        return self.kind == "raw" and self.own is None


def scan(lines: Iterable[bytes]) -> Scan:
    """Look a file through, given its lines with their ends."""
    found, digest = Scan(), hashlib.blake2b(digest_size=16)
    for line in lines:
        digest.update(line)
        found.size += len(line)
        if line.strip():
            found.lines += 1
            _take(found, line)
    found.digest = digest.digest()
    wrote = registry.detect_transcript(found.head) if found.kind == "raw" else None
    if wrote is not None:
        found.kind = "transcript"
    else:
        wrote = next(filter(None, map(registry.detect_line, found.head)), None)
    found.engine = wrote.name if wrote else None
    return found


def _take(found: Scan, line: bytes) -> None:
    t, inner = 0.0, line
    # Its head says what it is, and the first of its own times when it was: no other text is read.
    looks = len(found.head) < _HEAD or found.own is None
    entries = found.kind == "timed" or found.lines == 1
    told = _timed(line, read=looks) if entries else None
    if told is not None:
        timed, text = told
        found.kind = "timed"
        t, inner = timed.t, b"" if timed.dir == "in" else text or b""
        found.first_t = t if found.first_t is None else found.first_t
        found.last_t = max(found.last_t, t)
        if timed.exit is not msgspec.UNSET:
            found.exit = (t, timed.exit)
    found.nul = found.nul or b"\0" in line
    found.objects += told is not None or _is_object(line)
    if len(found.head) < _HEAD and inner:
        found.head.append(inner)
    if found.own is None and (own := own_time(inner)) is not None:
        found.own = (own, t)


def arrivals(lines: Iterable[bytes], found: Scan, modified: int) -> Iterator[Arrival]:
    """Yield each line, without its end, and when it arrived; never backwards.

    `modified` (ns since the epoch) dates a recording that does not date itself: it was over
    by then.
    """
    if found.kind == "timed":
        yield from _timed_arrivals(lines, started(found, modified), _offset(found, modified))
    elif found.own is not None:
        yield from _dated_arrivals(lines, started(found, modified))
    else:
        ends = (line.removesuffix(b"\n") for line in lines)
        for number, line in enumerate(filter(bytes.strip, ends)):
            yield Arrival(started(found, modified) + number * STEP, line)


def _timed_arrivals(lines: Iterable[bytes], at: int, offset: int) -> Iterator[Arrival]:
    """Yield the lines of a timed recording; what is no entry came with the one before."""
    for line in lines:
        told = _timed(line)
        if told is None:
            if line.strip():
                yield Arrival(at, line.removesuffix(b"\n"))
            continue
        timed, text = told
        at = max(at, offset + _nanoseconds(timed.t))
        if text is not None:
            yield Given(at, text) if timed.dir == "in" else Arrival(at, text)


def _dated_arrivals(lines: Iterable[bytes], at: int) -> Iterator[Arrival]:
    """Yield lines some of which give their time; the others came with the one before."""
    for line in lines:
        if line.strip():
            at = max(at, own_time(line) or 0)
            yield Arrival(at, line.removesuffix(b"\n"))


def started(found: Scan, modified: int) -> int:
    """Say when the recorded process was spawned, as well as can be told, in ns."""
    if found.kind == "timed":
        first = found.first_t or 0.0
        return _offset(found, modified) + (_nanoseconds(first) if first > _EPOCH_SECONDS else 0)
    if found.own is not None:
        return found.own[0]
    return modified - max(found.lines - 1, 0) * STEP


def ended(found: Scan, modified: int) -> Exit | None:
    """Say how the recorded process ended, None where the recording does not."""
    if found.kind != "timed" or found.exit is None:
        return None
    t, status = found.exit
    return Exit(_offset(found, modified) + _nanoseconds(t), status)


def _offset(found: Scan, modified: int) -> int:
    """Say when `t` was zero, in ns since the epoch."""
    if (found.first_t or 0.0) > _EPOCH_SECONDS:
        return 0
    if found.own is not None:
        own, t = found.own
        return own - _nanoseconds(t)
    return modified - _nanoseconds(found.last_t)


def _nanoseconds(t: float) -> int:
    # To the microsecond: seconds since the epoch have no more digits than that in a float.
    return round(t * 1_000_000) * 1000


def _timed(line: bytes, *, read: bool = True) -> tuple[_Timed, bytes | None] | None:
    """Return what an entry of a timed recording says, and its line; None for what is no entry.

    `read` says whether anybody wants to know the line.
    """
    try:
        timed = _timed_decoder.decode(line)
        text = timed.text if read else None
    except _BROKEN:
        return None
    return (timed, text) if timed.tells and 0 <= timed.t < 1e12 else None


def _is_object(line: bytes) -> bool:
    try:
        _object_decoder.decode(line)
    except _BROKEN:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Recording:
    """A file that can be replayed."""

    path: Path
    scan: Scan
    modified: int

    @property
    def started(self) -> int:
        """When its process was spawned, in ns since the epoch."""
        first = next(self.events(), None) if self.scan.own is None else None
        return first.at if first is not None else started(self.scan, self.modified)

    @property
    def ended(self) -> Exit | None:
        """How its process ended, where that is known."""
        return ended(self.scan, self.modified)

    def arrivals(self) -> Iterator[Arrival]:
        """Yield its lines; of raw and timed recordings. Raises OSError."""
        with self.path.open("rb") as file:
            yield from arrivals(file, self.scan, self.modified)

    def events(self) -> Iterator[Event]:
        """Yield its events; of transcripts. Raises OSError."""
        reader = _reader(self.scan)
        return map(clean, reader.read(self.path)) if reader else iter(())


def inspect(path: Path) -> Recording:
    """Look at a file; raises RecordingError where it is no recording, or unreadable."""
    try:
        with path.open("rb") as file:
            found = scan(file)
        if reader := _reader(found):
            found.digest = _together(found.digest, reader.parts(path))
        modified = path.stat().st_mtime_ns
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from error
    if not found.lines:
        raise RecordingError(f"{path}: empty; expected the JSON lines an agent printed")
    if not found.objects and found.kind != "transcript":
        what = "binary" if found.nul else "not JSON lines"
        raise RecordingError(f"{path}: {what}; expected the JSON lines an agent printed")
    return Recording(path, found, modified)


def find(path: Path) -> Iterator[Path]:
    """Yield the files to replay for a path: itself, or those below a directory.

    Of a recording with and without times the one with is taken. Subagents' files belong to
    their session's. Raises RecordingError where there is nothing of the kind.
    """
    if not path.is_dir():
        yield path
        return
    found = sorted([*path.rglob("*.jsonl"), *path.rglob("*.db")])
    files = [file for file in found if not _belongs_to_another(file)]
    if not files:
        raise RecordingError(f"{path}: a directory without recordings (*.jsonl, *.db)")
    yield from files


def _belongs_to_another(file: Path) -> bool:
    timed = file.with_suffix(".timed.jsonl")
    readers = filter(None, (engine.transcripts_reader for engine in registry.engines()))
    part = any(reader.is_part(file) for reader in readers)
    return part or (timed != file and timed.is_file())


def _reader(found: Scan) -> Transcripts | None:
    if found.kind != "transcript" or found.engine is None:
        return None
    return registry.get(found.engine).transcripts_reader


def _together(digest: bytes, files: Iterable[Path]) -> bytes:
    """Digest a session together with its other files: they are replayed together."""
    together = hashlib.blake2b(digest, digest_size=16)
    for file in files:
        together.update(file.read_bytes())
    return together.digest()
