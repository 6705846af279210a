"""Environments of their own for real programs, in a cache outside the tree.

Each has one program at one version and what this project needs at runtime. The project itself is
put before them by PYTHONPATH, as a distribution, so that its entry points are found.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONSTRAINTS = ROOT / "constraints"
EXAMPLES = ROOT / "examples"
UNUSED = 14 * 86_400.0  # seconds after which an environment of a package makes room for another


def unavailable(why: str) -> None:
    """A missing tool is a failure where everything must run, and said loudly elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def environment(package: str, *more: str, python: tuple[int, int] = (3, 11)) -> Path:
    """Return the Python of an environment with packages, as ``name==version``; made once."""
    interpreter = _interpreter(python)
    pins = (CONSTRAINTS / "dev.txt").read_text()
    packages = " ".join([package, *more])
    key = hashlib.sha256(f"{packages} {interpreter} {pins}".encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = package.replace("==", "-")
    folder = cache / "otel-untether" / "hosts" / f"{name}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make_room(folder.parent.glob(f"{name}-*/complete"))
            print(f"\nmaking an environment with {packages} (once) …", flush=True)
            _run([interpreter, "-m", "venv", str(folder)])
            _install(folder, package, *more)
        (folder / "complete").touch()  # its time says when it was last wanted
    return folder / "bin" / "python"


def _make_room(used: Iterable[Path]) -> None:
    """Delete the environments that nobody has wanted for long: half a gigabyte each."""
    for stamp in used:
        if stamp.stat().st_mtime < time.time() - UNUSED:
            shutil.rmtree(stamp.parent, ignore_errors=True)


def site(target: Path) -> Path:
    """Install this project alone into a folder, for PYTHONPATH; return it."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(ROOT)])
    return target


def _install(folder: Path, *packages: str) -> None:
    """Install the packages, with the versions of OpenTelemetry that are tested here."""
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    ours = [
        line.split(" ")[0]
        for line in (CONSTRAINTS / "dev.txt").read_text().splitlines()
        if line.startswith("opentelemetry-")
    ]
    needed = ["msgspec", "psutil", "anyio", "wrapt", "uvloop"]
    _run([*pip, "--disable-pip-version-check", *packages, *ours, *needed])


def _run(command: Sequence[str]) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        unavailable(f"{' '.join(command[:6])} … failed: {ran.stderr[-800:]}")


def _interpreter(at_least: tuple[int, int]) -> str:
    """Return a Python of this version or a newer one, what this one was made from if it will do.

    That of a checkout's own environment has another path in each checkout.
    """
    if sys.version_info >= at_least:
        return str(Path(sys.executable).resolve())
    minors = range(at_least[1], at_least[1] + 4)
    named = [shutil.which(f"python{at_least[0]}.{minor}") for minor in minors]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    kept = [
        str(path)
        for minor in minors
        for path in sorted(pyenv.glob(f"{at_least[0]}.{minor}.*/bin/python"))
    ]
    for candidate in filter(None, [*named, *kept]):
        # Shims of pyenv are there for versions that are not.
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    unavailable(f"Python {at_least[0]}.{at_least[1]} or newer is missing, needed for this program")
    raise AssertionError
