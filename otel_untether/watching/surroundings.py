"""What an agent was started with: its environment, and the folder in which it works.

Asking may wait for a hung process for ever, so it is asked in a thread that is not waited for,
once; an answer that does not come is none.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from msgspec import Struct

from otel_untether.proc_diag.tree import default_backend

if TYPE_CHECKING:
    from collections.abc import Mapping


class Surroundings(Struct, frozen=True):
    """The environment and the working directory of a process."""

    environ: Mapping[str, str]
    directory: str

    @classmethod
    def given(
        cls, environ: Mapping[str, str], directory: str | os.PathLike[str]
    ) -> Surroundings | None:
        """Return them as they are given to a process; None where there is no such folder.

        :param environ: its environment.
        :param directory: where it is started.
        """
        try:
            return cls(environ, os.path.realpath(directory, strict=True))
        except OSError:
            return None


class Inquiry:
    """Asks for the surroundings of a process, and of whoever takes its place.

    :param expected: what it was started with, as far as whoever started it knows: it may be gone
        before it can be asked, and what stands before it may have changed that.
    """

    def __init__(self, expected: Surroundings | None = None) -> None:
        self._pid: int | None = None
        self._answers = [] if expected is None else [expected]

    def ask(self, pid: int) -> Surroundings | None:
        """Return the surroundings of a process, None while, or if, they are not known.

        :param pid: the process; of another one than before is asked anew, and until that is
            answered, what was said of the one before holds.
        """
        if pid != self._pid:
            args = (pid, self._answers)
            thread = threading.Thread(target=_ask, args=args, name="untether-asks", daemon=True)
            with contextlib.suppress(RuntimeError):  # no more to be had: it is asked the next time
                thread.start()
                self._pid = pid
        return self._answers[-1] if self._answers else None


def _ask(pid: int, answers: list[Surroundings]) -> None:
    backend = default_backend()
    raw, directory = backend.environ(pid), backend.directory(pid)
    if not raw or not directory:
        return  # it has ended
    answers.append(Surroundings(variables(raw), directory))


def variables(raw: bytes) -> dict[str, str]:
    r"""Return an environment as a mapping.

    >>> variables(b"HOME=/home/u\0X=a=b\0")
    {'HOME': '/home/u', 'X': 'a=b'}
    """
    pairs = (word.partition(b"=") for word in raw.split(b"\0") if b"=" in word)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
