"""The file `delivered` of a run: what collectors have taken of it, and what need not be sent.

    traces 00f067aa0ba902b7 3e2f…        span ids
    logs 1795381598578395396.….3e2f…     times and span id
    metrics 9f86d081884c7d65             digests of lines
    traces:refused 53995c3f42cd8ad8      a collector threw it away, and would again
    traces:partly-2 a1b2… c3d4… e5f6…    a collector took these and threw away two of them
    traces:lost 3e2f9f86d081884c         a line that nobody can read any more, by its digest
    traces:unsure 00f067aa0ba902b7       its end is made up; a collector may have the true one

What the disk has no room for is noted again with the next answer; until then an empty file,
`unnoted-traces` say, keeps what is missing from being sent with another end.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from otel_untether.export.environment import SIGNALS
from otel_untether.store.files import LineFile, lines
from otel_untether.store.run_folder import DELIVERED, UNDELIVERED, UNSURE, unnoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from otel_untether.export.answers import Answer
    from otel_untether.export.environment import Signal

_REFUSED: Final = "refused"
_PARTLY: Final = "partly-"
_LOST: Final = "lost"
# Answers that wait for room in `delivered`: a session of days must not fill the memory, either.
_MOST_UNNOTED: Final = 256


class Notes:
    """What a collector took of a signal, until `delivered` has it."""

    def __init__(self, run_dir: Path | None, signal: Signal) -> None:
        self._run_dir = run_dir
        self._signal: Signal = signal
        self._lock = threading.Lock()
        self._answers: deque[tuple[Collection[str], Answer]] = deque(maxlen=_MOST_UNNOTED)
        self._marked = self._forgotten = False

    def note(self, keys: Collection[str] = (), answer: Answer | None = None) -> None:
        """Note an answer after those that wait; where that cannot be, leave a mark instead."""
        with self._lock:
            if answer is not None:
                self._forgotten |= len(self._answers) == _MOST_UNNOTED
                self._answers.append((keys, answer))
            try:
                while self._answers:
                    record_answer(self._run_dir, self._signal, *self._answers[0])
                    self._answers.popleft()
            except OSError:
                self._mark()
                return
            self._unmark()

    def _mark(self) -> None:
        # An empty file takes no room but in its folder, where there mostly is some.
        if self._run_dir is not None and not self._marked:
            with contextlib.suppress(OSError):
                LineFile(self._run_dir / unnoted(self._signal)).close()
                self._marked = True

    def _unmark(self) -> None:
        if self._run_dir is not None and self._marked and not self._forgotten:
            with contextlib.suppress(OSError):
                (self._run_dir / unnoted(self._signal)).unlink()
                self._marked = False


def by_key(answer: Answer, signal: Signal, held: int) -> Answer:
    """Return an answer that rejects as many keys as it can, of a request that held so many items.

    An export of metrics has one key: of that all is rejected, or it is taken. A collector may
    claim to have rejected more than it was sent.
    """
    rejected = min(answer.rejected, held)
    if signal == "metrics":
        rejected = int(0 < held == rejected)
    return answer._replace(rejected=rejected)


def record_answer(
    run_dir: Path | None, signal: Signal, keys: Collection[str], answer: Answer
) -> None:
    """Note what a collector took, and how much of it it threw away. Raises OSError."""
    if not answer.rejected:
        _append(run_dir, signal, keys)
    elif answer.rejected >= len(keys):
        _append(run_dir, f"{signal}:{_REFUSED}", keys)
    else:
        _append(run_dir, f"{signal}:{_PARTLY}{answer.rejected}", keys)


def require_room(run_dir: Path, signal: Signal, keys: Collection[str]) -> None:
    """Raise OSError where there is no room to note an answer about these, on a full disk.

    What a collector took would be sent again, by every resend until then.
    """
    path = run_dir / DELIVERED
    longest = " ".join((f"{signal}:{_PARTLY}{len(keys)}", *keys))
    file = LineFile(path)
    try:
        before = file.size
        try:
            file.append(b" " * len(longest))
        finally:
            os.truncate(path, before)
    finally:
        file.close()


def record_refused(run_dir: Path, signal: Signal, keys: Iterable[str]) -> None:
    """Note what a collector will not have, ever. Raises OSError."""
    _append(run_dir, f"{signal}:{_REFUSED}", keys)


def record_lost(run_dir: Path, signal: Signal, keys: Iterable[str]) -> None:
    """Note lines that cannot be read, and of which somebody was told. Raises OSError."""
    _append(run_dir, f"{signal}:{_LOST}", keys)


def _append(run_dir: Path | None, what: str, keys: Iterable[str]) -> None:
    if run_dir is not None:
        append_line(run_dir / DELIVERED, " ".join((what, *keys)).encode())


class Delivered(Struct):
    """What collectors have taken of a run: keys by signal, and how many they threw away.

    `unsure` are spans that are not sent, as a collector may have them with their true end; `lost`
    is the number of lines that cannot be read.
    """

    settled: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    refused: Counter[str] = field(default_factory=Counter)
    unsure: set[str] = field(default_factory=set)
    lost: int = 0

    def read(self, line: str) -> None:
        """Take in a line of the file."""
        what, *keys = line.split() or [""]
        signal, _, how = what.partition(":")
        if how == _REFUSED:
            self.refused[signal] += len(set(keys) - self.settled[signal])
        elif how.startswith(_PARTLY) and how.removeprefix(_PARTLY).isdecimal():
            new = len(set(keys) - self.settled[signal])
            self.refused[signal] += min(int(how.removeprefix(_PARTLY)), new)
        elif how == _LOST:
            self.lost += len(set(keys) - self.settled[signal])
        elif how == UNSURE:
            self.unsure.update(keys)
        self.settled[signal].update(keys)


def read_delivered(run_dir: Path) -> Delivered:
    """Return what collectors have taken of a run, and need not be sent. Raises OSError."""
    delivered = Delivered()
    with contextlib.suppress(FileNotFoundError):
        for line in lines(run_dir / DELIVERED):
            delivered.read(line.decode("utf-8", "replace"))
    return delivered


def had_all(run_dir: Path, signal: Signal) -> bool:
    """Whether a collector took all that was meant for it, though `delivered` does not say so."""
    return (run_dir / unnoted(signal)).exists() and not (run_dir / UNDELIVERED).exists()


def read_meant(run_dir: Path) -> set[Signal]:
    """Return the signals of which something may be left that was meant for a collector.

    All of them where that is not said. Raises OSError.
    """
    try:
        named = b" ".join(lines(run_dir / UNDELIVERED)).decode("utf-8", "replace").split()
    except FileNotFoundError:
        return set()
    return {signal for signal in SIGNALS if signal in named} or set(SIGNALS)


def forget_undelivered(run_dir: Path) -> None:
    """Note that nothing is left that was meant for a collector."""
    with contextlib.suppress(OSError):
        (run_dir / UNDELIVERED).unlink()


def append_line(path: Path, line: bytes) -> None:
    """Append one line to a file of the run. Raises OSError."""
    file = LineFile(path)
    try:
        file.append(line)
    finally:
        file.close()
