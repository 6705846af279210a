"""Finding or building the backends, without building anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.stack import jaeger, obtain
from scripts.stack.backends import ROOT
from scripts.stack.recipes import BuildError, Recipe


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def two_tools() -> Recipe:
    def build(into: Path) -> None:
        executable(into / "one")
        executable(into / "two")

    binaries = {"ONE_BIN": "one", "TWO_BIN": "two"}
    return Recipe("tools 1.0", 1, build, binaries, {"ONE_BIN": ("one",), "TWO_BIN": ("two",)})


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No PATH but a folder of our own, no cache, no CI."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(obtain, "PLUGIN_DIRECTORIES", ())
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


def test_a_variable_wins_over_path(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(empty_machine / "bin/one")
    named = executable(empty_machine / "mine/one")
    monkeypatch.setenv("ONE_BIN", str(named))
    assert obtain.find_own("ONE_BIN", ("one",)) == str(named)


def test_a_variable_that_names_nothing_executable_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONE_BIN", "/nowhere/one")
    with pytest.raises(BuildError, match="ONE_BIN=/nowhere/one: expected the path of an exec"):
        obtain.find_own("ONE_BIN", ("one",))


def test_copies_on_path_are_taken_if_all_are_there(empty_machine: Path) -> None:
    one = executable(empty_machine / "bin/one")
    assert obtain.find_all_own(two_tools()) is None
    two = executable(empty_machine / "bin/two")
    assert obtain.obtain(two_tools()) == {"ONE_BIN": str(one), "TWO_BIN": str(two)}


def test_without_go_it_says_what_is_missing_and_how_to_get_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert obtain.obtain(two_tools()) == {}
    said = capsys.readouterr().err
    assert "tools 1.0: not built: there is no `go` on PATH" in said
    assert "https://go.dev/doc/install" in said
    assert "ONE_BIN and TWO_BIN" in said


@pytest.mark.parametrize(("variables", "status"), [({}, 0), ({"CI": "true"}, 1)])
def test_missing_backends_fail_only_in_ci(
    empty_machine: Path, variables: dict[str, str], status: int
) -> None:
    environment = {"PATH": str(empty_machine / "bin"), "HOME": str(empty_machine)} | variables
    result = subprocess.run(
        [sys.executable, "-m", "scripts.stack.obtain"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == status
    assert "OTELCOL_BIN=" not in result.stdout


def test_a_build_is_kept_and_found_again(
    empty_machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    executable(empty_machine / "bin/go")
    built = obtain.obtain(two_tools())
    assert all(os.access(path, os.X_OK) for path in built.values())
    assert "built in" in capsys.readouterr().err
    assert obtain.obtain(two_tools()) == built
    assert "built in" not in capsys.readouterr().err


def test_another_recipe_does_not_find_an_older_result() -> None:
    recipe = two_tools()
    other = Recipe("tools 1.1", 1, recipe.build, recipe.binaries, recipe.commands)
    assert recipe.digest != other.digest


def test_a_failed_build_leaves_nothing(empty_machine: Path) -> None:
    executable(empty_machine / "bin/go")

    def fail(into: Path) -> None:
        executable(into / "one")
        raise BuildError("go install: no")

    recipe = two_tools()
    failing = Recipe(recipe.title, 1, fail, recipe.binaries, recipe.commands)
    with pytest.raises(BuildError):
        obtain.obtain(failing)
    assert [p.name for p in obtain.cache_directory().iterdir()] == ["lock"]


def test_an_edit_that_finds_nothing_to_edit_is_an_error(tmp_path: Path) -> None:
    """Another Jaeger than the one the edits are for is not built half edited."""
    for name, _, _ in jaeger.EDITS:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_text("package other\n")
    with pytest.raises(ValueError, match="expected to find"):
        jaeger.copy_edited(tmp_path / "source", tmp_path / "target")
