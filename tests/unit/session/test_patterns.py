"""Patterns that are compiled at their first use."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import otel_untether
from otel_untether.session.patterns import lazily


def test_it_does_what_a_compiled_pattern_does() -> None:
    names = lazily("[a-z]+", re.IGNORECASE)
    assert names.findall("Ab, c") == ["Ab", "c"]
    assert names.sub("x", "Ab, c", count=1) == "x, c"
    found = names.match("--Ab", 2)
    assert found is not None
    assert found.span() == (2, 4)
    assert names.pattern == "[a-z]+"


def test_bytes_are_patterns_too() -> None:
    assert lazily(rb"\d+").findall(b"1, 22") == [b"1", b"22"]


def test_it_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = lazily("[0-9]+")
    compiled: list[object] = []
    real = re.compile

    def compile_(expression: str, flags: int) -> re.Pattern[str]:
        compiled.append(expression)
        return real(expression, flags)

    monkeypatch.setattr(re, "compile", compile_)
    assert numbers.search("a1") is not None
    assert numbers.search("a2") is not None
    assert numbers.fullmatch("3") is not None
    assert len(compiled) == 1


def test_one_that_is_wrong_says_so_at_its_first_use() -> None:
    wrong = lazily("(")
    with pytest.raises(re.error, match="unterminated subpattern"):
        wrong.search("")


def test_every_pattern_of_the_package_is_right() -> None:
    kind = type(lazily(""))
    found = 0
    for module in pkgutil.walk_packages(otel_untether.__path__, "otel_untether."):
        if module.name.startswith(("otel_untether.session.", "otel_untether.engines.")):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, kind):
                    found += 1
                    value.findall("" if isinstance(value.pattern, str) else b"")
    assert found > 50
