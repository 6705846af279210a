"""What is public, and that it is described; all else may change in any release."""

from __future__ import annotations

import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import otel_untether

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PUBLIC = {
    "otel_untether": {
        "BlockingWatchedProcess", "Capture", "Config", "ConfigError", "Outcome", "Recorder",
        "RunInfo", "SessionState", "SessionTracer", "Summary", "WatchdogConfig",
        "WatchedProcess", "__version__", "load_config", "watch",
    },
    "otel_untether.engines.conformance": {"problems"},
    "otel_untether.engines.engine": {
        "TELLS", "Arguments", "Decode", "Dialogue", "Engine", "FirstLine", "Reading",
        "SessionFiles", "Traits",
    },
    "otel_untether.instrumentors": {
        "AcpInstrumentor", "AsyncioAgentInstrumentor", "ClaudeAgentSdkInstrumentor",
        "CodexSdkInstrumentor", "SubprocessAgentInstrumentor", "UntetherInstrumentor",
    },
    "otel_untether.metrics": {"FleetMetrics", "SessionMetrics", "SessionPoints"},
    "otel_untether.spans": {"SessionTracer", "finding_attributes"},
    "otel_untether.stall": {
        "CAUSES", "Assessment", "Decision", "Finding", "LivenessWatchdog", "StallDetector",
        "describe",
    },
}  # fmt: skip
"""A change here is a change of what others may rely on: CHANGELOG.md must say so."""

# Made by `watch` only; and a state that users read, while `session.fold` alone changes it.
MADE_BY_US = {"BlockingWatchedProcess", "WatchedProcess", "SessionState"}


@pytest.mark.parametrize("module", PUBLIC)
def test_what_is_public_is_said_once(module: str) -> None:
    assert set(import_module(module).__all__) == PUBLIC[module]


@pytest.mark.parametrize("name", otel_untether.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(otel_untether, name)


def test_dir_shows_the_public_names() -> None:
    assert set(otel_untether.__all__) <= set(dir(otel_untether))


def test_the_version_is_that_of_the_distribution() -> None:
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    declared = tomllib.loads(pyproject.read_text())["project"]["version"]
    assert otel_untether.__version__ == declared


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = otel_untether.nonsense


def callables(name: str, value: Any) -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Yield the functions of a public name, each with the text that describes it."""
    if inspect.isfunction(value):
        yield name, value, value.__doc__ or ""
    if not inspect.isclass(value) or name in MADE_BY_US:
        return
    written = Path(inspect.getfile(value)).read_text()
    if f"class {value.__name__}" in written and "__init__" in vars(value):
        plain = not hasattr(value, "__dataclass_fields__") and not issubclass(value, tuple)
        plain = plain and not getattr(value, "_is_protocol", False)
        if plain and not issubclass(value, BaseException):
            yield name, value, value.__doc__ or ""
    fields = getattr(value, "__dataclass_fields__", {})
    for key, member in vars(value).items():
        function = getattr(member, "__func__", member)
        if not key.startswith("_") and key not in fields and inspect.isfunction(function):
            yield f"{name}.{key}", function, function.__doc__ or ""


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in PUBLIC.items() for n in names])
def test_every_public_function_describes_every_parameter(module: str, name: str) -> None:
    """By ``:param name:``, or by the name in backquotes."""
    for qualified, function, text in callables(name, getattr(import_module(module), name)):
        assert text, f"{qualified} has no docstring"
        parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
        described = {p for p in parameters if re.search(rf":param {p}:|`{p}`", text)}
        assert described == parameters, qualified


def modules() -> list[str]:
    """Return every module of the package but those that act when they are imported."""
    found = pkgutil.walk_packages(otel_untether.__path__, "otel_untether.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def test_every_example_in_a_docstring_is_right() -> None:
    """In a process of its own: examples set up what programs do, global providers too."""
    code = (
        "import doctest, importlib, sys\n"
        "results = [doctest.testmod(importlib.import_module(name)) for name in sys.argv[1:]]\n"
        "print(sum(result.attempted for result in results))\n"
        "sys.exit(any(result.failed for result in results))\n"
    )
    command = [sys.executable, "-c", code, *modules()]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert int(ran.stdout) > 0


def test_importing_the_package_imports_nothing_heavy() -> None:
    """`run` spawns the agent before anything else; the package must not get in its way."""
    code = (
        "import sys, otel_untether, otel_untether.cli, otel_untether.cli.run;"
        "heavy = {'opentelemetry', 'msgspec', 'anyio', 'psutil', 'argparse', 'dataclasses'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
