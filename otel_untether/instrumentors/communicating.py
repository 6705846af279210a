"""What `subprocess.Popen.communicate` gathers, overheard as it comes.

It reads the pipes by their descriptors, and keeps the pieces in lists until the end. While it is
at it, the process is of a class of ours, which hands it lists that tell::

    process.communicate()
        process._fileobj2output = {}              a dict of ours is kept in its place
        process._fileobj2output[stdout] = []      and in that, a list of ours
        ….append(b"…")                            which tells

Where a Python keeps the pieces elsewhere nobody is told, and there is the result.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from otel_untether.instrumentors.harmless import harmless

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    Tell = Callable[[bytes], object]

_KEPT: Final = "_fileobj2output"


@contextmanager
def overheard(
    process: subprocess.Popen[Any], told: dict[Any, Tell], waits: Callable[[int], object]
) -> Iterator[None]:
    """Have what `process.communicate` reads in here told.

    :param process: it is of its own class again afterwards.
    :param told: for each of its files, whom to tell.
    :param waits: is told 1 when what comes will be told, and -1 when no more will.
    """
    kind, waiting = type(process), None
    with harmless("communicate begins"):
        waiting = _Waiting(waits)
        if isinstance(vars(process).get(_KEPT), _Outputs):
            waiting.begin()  # it goes on after a timeout
        else:
            process.__class__ = _overheard_kind(kind, told, waiting)
    try:
        yield
    finally:
        process.__class__ = kind
        with harmless("communicate ends"):
            if waiting is not None:
                waiting.end()


class _Waiting:
    def __init__(self, waits: Callable[[int], object]) -> None:
        self._waits = waits
        self._begun = False

    def begin(self) -> None:
        self._begun = True
        self._waits(1)

    def end(self) -> None:
        if self._begun:
            self._waits(-1)


def _overheard_kind(kind: type, told: dict[Any, Tell], waiting: _Waiting) -> type:
    def keep(process: Any, outputs: dict[Any, list[bytes]]) -> None:
        with harmless("communicate is at it"):
            outputs = _Outputs(told)
            waiting.begin()
        vars(process)[_KEPT] = outputs

    kept = property(lambda process: vars(process)[_KEPT], keep)
    return type(kind.__name__, (kind,), {"__slots__": (), _KEPT: kept})


class _Outputs(dict[Any, Any]):
    def __init__(self, told: dict[Any, Tell]) -> None:
        super().__init__()
        self._told = told

    def __setitem__(self, file: Any, chunks: list[bytes]) -> None:
        tell = self._told.get(file)
        super().__setitem__(file, chunks if tell is None else _Chunks(tell))


class _Chunks(list[bytes]):
    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def append(self, chunk: bytes) -> None:
        super().append(chunk)
        with harmless("communicate has read"):
            if chunk:
                self._tell(chunk)
