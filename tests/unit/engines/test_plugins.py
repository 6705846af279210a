"""Engines that other packages offer by an entry point."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry.util import _importlib_metadata

from otel_untether.engines import plugins, registry
from otel_untether.session.events import SessionStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENGINE = """
from otel_untether.engines.engine import Engine, Traits
from otel_untether.session.events import SessionStarted

def decode(line, at):
    return (SessionStarted(at=at, session_id=line.decode()),)

ENGINE = Engine(
    "demo",
    decoder="demo_engine:decode",
    commands=frozenset({"demo"}),
    headless_arguments=lambda args: "--json" in args,
    first_line=lambda line: line.get("demo") == 1,
    traits=Traits(names_tools_late=False),
)
"""


def forget() -> None:
    """Have installed packages looked for anew; OpenTelemetry keeps what it found, too."""
    plugins.engines.cache_clear()
    _importlib_metadata._original_entry_points_cached.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Offer a package with a module and entry points, as an installation would."""

    def installed(module: str, **entries: str) -> None:
        (tmp_path / "demo_engine.py").write_text(module)
        info = tmp_path / "demo_engine-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-engine\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *lines]))
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()
        forget()

    yield installed
    forget()
    sys.modules.pop("demo_engine", None)


def test_an_installed_engine_is_one_like_ours(install: Callable[..., None]) -> None:
    install(ENGINE, demo="demo_engine:ENGINE")
    engine = registry.get("demo")
    assert registry.detect_argv(["env", "A=b", "demo", "--json"]) is engine
    assert registry.detect_line(b'{"demo":1}') is engine
    assert engine.headless(["demo", "--json"])
    assert engine.decode(b"s1", 7) == (SessionStarted(at=7, session_id="s1"),)
    assert registry.names()[-2:] == ("demo", "unknown")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("demo", "demo_engine:NOTHING", "NOTHING"),
        ("demo", "no_such_module:ENGINE", "no_such_module"),
        ("demo", "demo_engine:decode", "expected an otel_untether Engine"),
        ("other", "demo_engine:ENGINE", "differs from the engine's, 'demo'"),
        ("claude", "demo_engine:ENGINE", "comes with otel-untether"),
    ],
)
def test_what_is_no_engine_costs_a_warning_that_names_it_and_its_package(
    install: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: str,
    said: str,
) -> None:
    install(ENGINE, **{name: value})
    assert dict(plugins.engines()) == {}
    (record,) = caplog.records
    assert f"engine plug-in {name!r} of demo-engine is not used" in record.getMessage()
    assert said in record.getMessage()


def test_a_package_that_fails_to_import_does_not_hide_the_engines_we_have(
    install: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    install("raise SystemError('broken')", demo="demo_engine:ENGINE")
    assert registry.detect_argv(["unheard-of"]) is None
    assert registry.get("claude").name == "claude"
    assert "broken" in caplog.text
