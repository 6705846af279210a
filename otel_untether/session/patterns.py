"""Regular expressions that are compiled when they are first asked for.

What a secret looks like takes some sixty of them, 20 ms to compile, and most sessions show
nothing that would need more than a few.

>>> numbers = lazily("[0-9]+")
>>> numbers.findall("1, 22")
['1', '22']
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, Final, cast

_METHODS: Final = ("search", "match", "fullmatch", "finditer", "findall", "sub", "split")


class _Uncompiled:
    """Stands for a pattern; from the first use on its methods are the compiled pattern's own."""

    def __init__(self, expression: str | bytes, flags: int) -> None:
        self._source = expression, flags

    def __getattr__(self, name: str) -> Any:
        compiled: re.Pattern[Any] = re.compile(*self._source)
        if name in _METHODS:
            self.__dict__.update((method, getattr(compiled, method)) for method in _METHODS)
        return getattr(compiled, name)


def lazily(expression: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return a pattern; `flags` are those of `re`. What is wrong with it shows at its first use."""
    return cast("re.Pattern[AnyStr]", _Uncompiled(expression, flags))
