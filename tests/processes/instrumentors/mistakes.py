"""Mistakes put into what watches a program, by its environment; for the programs of these tests."""

from __future__ import annotations

import importlib
import os
from typing import Any, NoReturn


def make() -> None:
    """Break the functions that `BROKEN` names, ``module:name,…`` of our instrumentors."""
    for place in filter(None, os.environ.get("BROKEN", "").split(",")):
        module, _, name = place.partition(":")
        setattr(importlib.import_module(f"otel_untether.instrumentors.{module}"), name, _broken)


def _broken(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("a mistake")
