"""Mistakes put into what watches a program, by its environment; for the programs of these tests."""

from __future__ import annotations

import importlib
import os
from typing import Any, NoReturn


def make() -> None:
    """Break the functions that `BROKEN` names, ``module:name,…`` of our instrumentors."""
    for place in filter(None, os.environ.get("BROKEN", "").split(",")):
        module, _, path = place.partition(":")
        owner: Any = importlib.import_module(f"otel_untether.instrumentors.{module}")
        *steps, name = path.split(".")
        for step in steps:
            owner = getattr(owner, step)
        setattr(owner, name, _broken)


def _broken(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("a mistake")
