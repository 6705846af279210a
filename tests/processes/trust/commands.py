"""The commands as a victim runs them: a home and a working directory of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# As it is installed: `python -m` alone would put the working directory on Python's path.
COMMAND = Path(sys.executable).with_name("otel-untether")
# What hangs is a failure, long before a test's own time is up.
PATIENCE = 60.0


@dataclass(frozen=True)
class Victim:
    """Somebody who works in a folder they did not write."""

    home: Path
    folder: Path

    @property
    def state(self) -> Path:
        """Where their runs are kept."""
        return self.home / ".local" / "state" / "otel-untether"

    def start(
        self, *arguments: str, memory: int | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, with at most so many bytes of memory, to its end."""
        command = [str(COMMAND), *arguments]
        if memory is not None:
            command = ["sh", "-c", f'ulimit -v {memory // 1024}; exec "$@"', "sh", *command]
        own = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=own | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            check=False,
            timeout=PATIENCE,
        )

    def wait_until_kept(self) -> None:
        """Wait for every run's observer, which may go on when the command is over.

        It looks after other runs' folders, too, and its own once more, until it is gone.
        """
        deadline = time.monotonic() + PATIENCE
        while self._is_observed() or not all(
            b'"ended"' in path.read_bytes() for path in self.state.glob("runs/*/run.json")
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _is_observed(self) -> bool:
        """Tell whether any process of theirs is left: it has their home in its environment."""
        name = b"HOME=" + os.fsencode(self.home) + b"\0"
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if name in environ.read_bytes():
                    return True
        return False

    def run(self, *agent: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Watch an agent."""
        return self.start("run", "--", *agent, memory=None, **environ)


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return every file below a folder: mode, time of change, content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }
