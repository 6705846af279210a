"""The template of an engine plug-in installs, is found, and decodes; its own tests pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "engine-plugin"


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the example is installed, as its entry point needs it."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(site), str(EXAMPLE)], check=True)
    paths = [str(site), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    state = str(tmp_path_factory.mktemp("state"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OTEL_UNTETHER_STATE_DIR": state}


def untether(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "otel_untether", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_it_is_listed(environ: dict[str, str]) -> None:
    assert "demo --json" in untether(environ, "engines").stdout


@pytest.mark.parametrize("named", [["--engine", "demo"], []])
def test_it_decodes_by_name_and_by_its_first_line(
    environ: dict[str, str], named: list[str]
) -> None:
    recording = str(EXAMPLE / "tests" / "recordings" / "demo.jsonl")
    done = untether(environ, "run", "--exit-timeout", "60", *named, "--", "cat", recording)
    assert done.returncode == 0
    assert "demo completed" in done.stderr
    assert "1 turn, 1 tool (1 failed), 120 tokens in, 8 out" in done.stderr


def test_its_own_tests_pass(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, env=environ, cwd=EXAMPLE, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
