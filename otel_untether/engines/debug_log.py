"""What names the debug log of a CLI: an option, or a variable of its environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_untether.engines import argv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DebugLog(NamedTuple):
    """What names it.

    :param options: the options that do.
    :param variable: the environment variable that does.
    """

    options: tuple[str, ...]
    variable: str | None = None

    def named(self, words: Sequence[str], environ: Mapping[str, str]) -> str | None:
        """Return the path that a command line or environment names, None if neither does.

        :param words: the arguments of the CLI.
        :param environ: the environment that it has.
        """
        path = argv.option(words, *self.options)
        if isinstance(path, str):
            return path
        return environ.get(self.variable) if self.variable else None
