"""Whether an installed package may offer something, asked cheaply.

What is offered, `importlib.metadata` tells, which with all it imports takes 20 ms of every run.
Most machines have no package that offers us anything, which the packages' files tell in 2 ms.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from typing import Final

_FOLDERS: Final = (".dist-info", ".egg-info")
_EGG: Final = ".egg"
_FILE: Final = "entry_points.txt"


def may_offer(group: str) -> bool:
    """Tell whether a package may have entry points of a group; False only where none has.

    Where packages are found in other ways than as folders on the path, one may.
    """
    if any(_finds_otherwise(finder) for finder in sys.meta_path):
        return True
    heading = f"[{group}]".encode()
    # On other people's path there may be anything; of what is no text nothing is ever imported.
    places = [place for place in sys.path if isinstance(place, str)]
    return any(_may_hold(place or os.curdir, heading) for place in places)


def _finds_otherwise(finder: object) -> bool:
    """Whether somebody finds packages elsewhere than on the path.

    `importlib.metadata` as it was before Python had it, which older OpenTelemetry takes, looks
    there as well.
    """
    if finder is PathFinder or type(finder).__module__ == "importlib_metadata":
        return False
    return hasattr(finder, "find_distributions")


def _may_hold(place: str, heading: bytes) -> bool:
    if place.lower().endswith(_EGG):
        return True
    try:
        with os.scandir(place) as entries:
            packages = [entry.path for entry in entries if entry.name.lower().endswith(_FOLDERS)]
    except NotADirectoryError:
        return True  # an archive
    except (OSError, ValueError):  # the one is not there, the other is no path
        return False
    return any(heading in _read(os.path.join(package, _FILE)) for package in packages)  # noqa: PTH118


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return b""
