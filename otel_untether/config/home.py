"""Where the user's home is. Imports nothing, for it runs before the agent is spawned."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def home_of(environ: Mapping[str, str]) -> str:
    """Return the user's home: $HOME, or what the system knows; ``/`` where neither is a place.

    As containers have it for a user that the system does not know. A folder ``~`` in the working
    directory, or a relative $HOME, is whoever's the directory is: nothing there is the user's own.

    :param environ: environment variables.
    """
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  pathlib takes 5 ms
    return home if os.path.isabs(home) else os.sep  # noqa: PTH117  as above
