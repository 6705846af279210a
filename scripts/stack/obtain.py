"""Find or build the real backends: `python -m scripts.stack.obtain`.

Prints one `NAME=path` line a binary on stdout (OTELCOL_BIN, JAEGER_BIN, PROMETHEUS_BIN,
PROMTOOL_BIN, ALERTMANAGER_BIN, AMTOOL_BIN, NODE_EXPORTER_BIN, COMPOSE_BIN, KUSTOMIZE_BIN,
GITLEAKS_BIN; KAFKA_LIB and OPENSEARCH_LIB are folders of jars) and its progress on stderr. A
variable of that name wins, then a copy on PATH (the compose plugin also where Docker keeps it),
then what an earlier run left in `$XDG_CACHE_HOME/otel-untether-stack`; what is left is built with
Go or fetched with Maven, which takes about twenty minutes on two cores the first time.

A machine without Go, or Java and Maven, is told so. That is a failure where CI is set; elsewhere
the lines that could not be had are missing and the tests that need them skip, saying why.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .recipes import RECIPES, BuildError, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_TOOL = """\
{title}: not built: there is no `{tool}` on PATH.
  Get {where}, or set {variables} to released binaries.
"""
_JAVA = "a JDK 17 or newer (https://adoptium.net)"
WHERE = {
    "go": "Go 1.26 or newer (https://go.dev/doc/install)",
    "java": _JAVA,
    "javac": _JAVA,
    "mvn": "Maven 3.6 or newer (https://maven.apache.org/install.html)",
}
PLUGIN_DIRECTORIES = (
    "~/.docker/cli-plugins",
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)


def say(message: str) -> None:
    """Report progress."""
    print(message, file=sys.stderr, flush=True)


def cache_directory() -> Path:
    """Return where built binaries are kept, outside any working tree."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "otel-untether-stack"


def find_own(variable: str, commands: tuple[str, ...]) -> str | None:
    """Return the user's own copy: named by the variable, or on PATH."""
    if named := os.environ.get(variable):
        if not os.access(named, os.X_OK):
            raise BuildError(f"{variable}={named}: expected the path of an executable")
        return named
    plugins = os.pathsep.join(str(Path(d).expanduser()) for d in PLUGIN_DIRECTORIES)
    search = os.environ.get("PATH", os.defpath) + os.pathsep + plugins
    return next((path for c in commands if (path := shutil.which(c, path=search))), None)


def find_all_own(recipe: Recipe) -> dict[str, str] | None:
    """Return the user's own copies of everything a recipe leaves, or None if one is missing."""
    found = {name: find_own(name, commands) for name, commands in recipe.commands.items()}
    return {name: path for name, path in found.items() if path} if all(found.values()) else None


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Let one process build at a time; the others find its result."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for leftover in directory.glob("build-*"):  # of a build that was killed
            shutil.rmtree(leftover)
        yield


def build(recipe: Recipe, target: Path) -> None:
    """Build into `target`, which appears only once it is complete."""
    say(f"{recipe.title}: building (about {recipe.minutes} min the first time)")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as name:
        work = Path(name)
        recipe.build(work)
        done = work / "done"
        done.mkdir()
        for binary in recipe.binaries.values():
            (work / binary).rename(done / binary)
        done.rename(target)
    say(f"{recipe.title}: built in {time.monotonic() - began:.0f} s")


def obtain(recipe: Recipe) -> dict[str, str]:
    """Return the binaries of one recipe by variable name; empty where they can't be had."""
    if own := find_all_own(recipe):
        say(f"{recipe.title}: taking {', '.join(own.values())}")
        return own
    target = cache_directory() / f"{recipe.title.replace(' ', '-')}-{recipe.digest}"
    with lock(target.parent):
        if target.exists():
            say(f"{recipe.title}: in {target}")
        elif tool := next((t for t in recipe.tools if shutil.which(t) is None), None):
            variables = " and ".join(recipe.binaries)
            where = WHERE[tool]
            say(NO_TOOL.format(title=recipe.title, tool=tool, where=where, variables=variables))
            return {}
        else:
            build(recipe, target)
    return {variable: str(target / name) for variable, name in recipe.binaries.items()}


def main() -> int:
    """Obtain everything; 1 if a build failed, or if something is missing in CI."""
    status = 0
    for recipe in RECIPES:
        try:
            binaries = obtain(recipe)
        except BuildError as error:
            say(f"{recipe.title}: {error}")
            status = 1
            continue
        for variable, path in binaries.items():
            print(f"{variable}={path}", flush=True)
        if not binaries and os.environ.get("CI"):
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
