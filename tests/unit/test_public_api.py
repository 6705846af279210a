from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import otel_untether


@pytest.mark.parametrize("name", otel_untether.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(otel_untether, name)


def test_the_version_is_that_of_the_distribution() -> None:
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    declared = tomllib.loads(pyproject.read_text())["project"]["version"]
    assert otel_untether.__version__ == declared


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = otel_untether.nonsense


def test_importing_the_package_imports_nothing_heavy() -> None:
    """`run` spawns the agent before anything else; the package must not get in its way."""
    code = (
        "import sys, otel_untether, otel_untether.cli, otel_untether.cli.run;"
        "heavy = {'opentelemetry', 'msgspec', 'anyio', 'psutil', 'argparse', 'dataclasses'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
