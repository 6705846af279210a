"""Finds a Chromium, or gets Debian's: `python -m scripts.browser` prints where it is.

The variable CHROMIUM_BIN wins, then one on PATH, then what an earlier call left in
`$XDG_CACHE_HOME/otel-untether/chromium`. What is left is Debian's package and the libraries
that it lacks here, downloaded by apt and unpacked there: nothing is installed, and nobody
needs to be root.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

_NAMES: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_PACKAGE: Final = "chromium-headless-shell"
_INSIDE: Final = "usr/lib/chromium/chromium-headless-shell"
_TRIES: Final = 3


class BrowserError(Exception):
    """There is none, and none can be had; the text says why."""


class Browser(NamedTuple):
    """An executable, and the folders of the libraries that came with it."""

    binary: str
    libraries: tuple[str, ...] = ()

    def environ(self) -> dict[str, str]:
        """Return the environment to start it in."""
        paths = [*self.libraries, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        return os.environ | ({"LD_LIBRARY_PATH": os.pathsep.join(paths)} if paths else {})


def find() -> Browser:
    """Return a Chromium; raises BrowserError where there is none to be had."""
    if named := os.environ.get("CHROMIUM_BIN"):
        return Browser(named)
    if own := next(filter(None, map(shutil.which, _NAMES)), None):
        return Browser(own)
    folder = cache() / "chromium"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = folder / "root"
        if not (root / _INSIDE).exists():
            _unpack(folder, root)
    libraries = root / "usr/lib/x86_64-linux-gnu"
    found = sorted({str(file.parent) for file in root.glob("usr/lib/*-linux-gnu*/**/*.so*")})
    return Browser(str(root / _INSIDE), (str(libraries), *found))


def cache() -> Path:
    """Return where tools are kept, outside any working tree."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-untether"


def _unpack(folder: Path, root: Path) -> None:
    """Download Debian's package with what it needs, and unpack all of it below `root`."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise BrowserError(
                f"no Chromium on PATH, and no {tool} to get Debian's with: install Chromium,"
                " or set CHROMIUM_BIN"
            )
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        here = Path(temporary)
        apt = _own_apt(here)
        names = _needed(apt)
        _run([*apt, "download", *names], here)
        for package in here.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(here / "root")], here)
        if root.exists():
            shutil.rmtree(root)
        (here / "root").rename(root)


def _own_apt(here: Path) -> list[str]:
    """Return an apt-get with package lists of its own, which are then made.

    Those of the machine may be old, missing, or somebody's at this moment.
    """
    for name in ("lists/partial", "archives/partial"):
        (here / name).mkdir(parents=True)
    options = {
        "Dir::State::lists": here / "lists",
        "Dir::Cache": here,
        "Dir::Cache::archives": here / "archives",
        "APT::Sandbox::User": "",
        "Acquire::Retries": _TRIES,
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt, "update"], here)
    return apt


def _needed(apt: list[str]) -> list[str]:
    """Return the packages that an installation would bring."""
    command = [*apt, "install", "--simulate", "--no-install-recommends", _PACKAGE]
    said = _run(["env", "LC_ALL=C", *command], Path.cwd())
    names = [line.split()[1] for line in said.splitlines() if line.startswith("Inst ")]
    if not names:
        raise BrowserError(f"apt-get would install nothing for {_PACKAGE}: {said[-300:]}")
    return names


def _run(command: list[str], where: Path) -> str:
    ran = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    if ran.returncode:
        said = (ran.stderr or ran.stdout)[-500:].strip()
        raise BrowserError(f"no Chromium on PATH; `{' '.join(command[:2])} …` failed: {said}")
    return ran.stdout


def main() -> int:
    """Print where it is."""
    try:
        print(find().binary)
    except BrowserError as error:
        print(f"browser: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
