"""Which places hold settings. Imports nothing, for it runs before the agent is spawned."""

# ruff: noqa: PTH110, PTH117, PTH118  pathlib takes 5 ms to import

from __future__ import annotations

import os

from otel_untether.config.home import home_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

FILE_NAME: Final = "otel-untether.toml"
PREFIX: Final = "OTEL_UNTETHER_"
_STATE_DIR: Final = PREFIX + "STATE_DIR"


def find(path: str | None, env: Mapping[str, str], cwd: str, home: str) -> str | None:
    """Return the settings file of the user; one that was asked for is read or is an error."""
    asked = path or env.get(PREFIX + "CONFIG")
    if asked:
        return os.path.join(cwd, asked)
    folder = env.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):  # the XDG specification has relative ones ignored
        folder = os.path.join(home, ".config")
    name = os.path.join(folder, "otel-untether", FILE_NAME)
    return name if os.path.exists(name) else None


def find_local(path: str | None, env: Mapping[str, str], cwd: str, home: str) -> str | None:
    """Return the settings file that lies in the working directory, and is not trusted for it.

    None where there is none, where another file was asked for, or where it is the user's own.
    """
    name, own = os.path.join(cwd, FILE_NAME), find(path, env, cwd, home)
    if path or env.get(PREFIX + "CONFIG") or not os.path.lexists(name):
        return None
    return None if own is not None and os.path.realpath(own) == os.path.realpath(name) else name


def untether_file(env: Mapping[str, str], home: str) -> str | None:
    """Return Untether's own settings file, if there is one."""
    name = env.get("UNTETHER_CONFIG_PATH") or os.path.join(home, ".untether", "untether.toml")
    return name if os.path.exists(name) else None


def anything_set(env: Mapping[str, str]) -> bool:
    """Tell whether any place sets anything, and so might be wrong.

    An absolute path to keep runs at cannot be: who begins a run reads that by itself.
    """
    home = home_of(env)
    return (
        any(
            name.startswith(PREFIX) and not (name == _STATE_DIR and os.path.isabs(text))
            for name, text in env.items()
        )
        or find(None, env, ".", home) is not None
        or find_local(None, env, ".", home) is not None
        or untether_file(env, home) is not None
    )
