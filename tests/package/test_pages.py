"""The pages: every command is run, every snippet is checked, every link leads somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from otel_untether import cli
from otel_untether.cli import build_parser
from otel_untether.config import settings
from otel_untether.engines import registry
from scripts.pictures.costs import FIGURES
from tests.unit.report.report_sessions import healthy, stalled

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What is not run here, and where it is tried instead.
ELSEWHERE = (
    "git clone ",  # nothing to clone from; `pip install` is tests/package/test_distributions.py
    "docker compose ",  # tests/stack runs what it would start
    "curl ",  # asks stores that tests/stack and tests/scale start
    "export ",
)
DOUBTFUL = ("otel-untether doctor",)  # its status is what it finds
IDS = {"5f0c": "5f0c1d2e3a4b5c6d", "9a1e": "9a1e5d7c3b2a1f0e"}
ELSEWHERE_FOLDER = "untether/runs/20261122T205630.123456Z-5f0c1a2b3c4d5e6f"


def blocks(language: str) -> list[tuple[str, str]]:
    """The blocks of a language on all pages, with the page of each."""
    return [
        (page.name, body)
        for page in PAGES
        for found, body in BLOCK.findall(page.read_text(encoding="utf-8"))
        if found == language
    ]


def commands() -> list[str]:
    """What a reader would type, each once."""
    typed = [
        line.removeprefix("$ ")
        for _, body in blocks("console")
        for line in body.splitlines()
        if line.startswith("$ ")
    ]
    typed += [
        line.partition("run: ")[2].replace("$PROMPT", "explain")
        for _, body in blocks("yaml")
        for line in body.splitlines()
        if "run: otel-untether" in line
    ]
    return list(dict.fromkeys(typed))


def examples() -> list[str]:
    """What the commands' own help has as examples."""
    return [
        re.split(r"\s{2,}", line.strip())[0]
        for name in cli.COMMANDS
        for line in (getattr(cli.load(name), "_EPILOG", "") or "").splitlines()
        if line.startswith("  otel-untether ")
    ]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A machine with two agents, tools that pages pipe into, and two runs."""
    place = tmp_path_factory.mktemp("machine")
    tools = place / "bin"
    tools.mkdir()
    agent = f"exec {sys.executable} -m otel_untether.demo --pace 0.01 >&1\n"
    for name in ("claude", "codex"):
        write(tools / name, agent)
    for name in ("jq", "gh"):
        write(tools / name, "cat >/dev/null\n")
    write(tools / "otel-untether", f'exec {sys.executable} -P -m otel_untether "$@"\n')
    state = place / "state"
    for number, (session, run_id) in enumerate(
        zip((healthy(), stalled()), IDS.values(), strict=True)
    ):
        folder = state / "runs" / f"20261122T20563{number}.123456Z-{run_id}"
        session.write(folder, {"run_id": run_id})
    healthy().write(place / ELSEWHERE_FOLDER)
    (place / "summary.md").touch()
    environ = {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(place),
        "PYTHONPATH": str(ROOT),
        "OTEL_UNTETHER_STATE_DIR": str(state),
        "GITHUB_STEP_SUMMARY": str(place / "summary.md"),
    }
    return place, environ


def write(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}")
    file.chmod(0o755)


def test_there_is_something_to_run() -> None:
    """The pages are read as they are written."""
    assert len([line for line in commands() if line.startswith("otel-untether")]) > 20
    assert len(examples()) > 20


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_pages_works(
    command: str, machine: tuple[Path, dict[str, str]]
) -> None:
    place, environ = machine
    if command.startswith("make "):
        target = command.split()[1]
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    if command.startswith(ELSEWHERE):
        return
    assert command.startswith("otel-untether "), command
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=place,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0 or command.startswith(DOUBTFUL), done.stderr


@pytest.mark.parametrize("example", examples())
def test_every_example_of_the_help_is_a_right_command_line(example: str) -> None:
    words = shlex.split(example, comments=True)
    for stop in ("|", "&&", ">"):
        words = words[: words.index(stop)] if stop in words else words
    assert words[0] == "otel-untether"
    build_parser().parse_args(words[1:])


def test_every_snippet_is_rightly_typed(tmp_path: Path) -> None:
    """As somebody would paste it into a program of theirs that is checked strictly."""
    for number, (page, body) in enumerate(blocks("python")):
        (tmp_path / f"{page.removesuffix('.md').lower()}_{number}.py").write_text(body)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_every_snippet_of_the_readme_runs(
    machine: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    place, environ = machine
    found = [body for page, body in blocks("python") if page == "README.md"]
    assert found
    for body in found:
        file = tmp_path / "snippet.py"
        file.write_text(body)
        done = subprocess.run(
            [sys.executable, file], cwd=place, env=environ, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "claude completed" in done.stdout


def test_every_settings_file_of_the_pages_is_right(tmp_path: Path) -> None:
    found = [body for _, body in blocks("toml") if "[watchdog]" in body]
    assert found
    for body in found:
        (tmp_path / "otel-untether.toml").write_text(body)
        settings.load(str(tmp_path / "otel-untether.toml"), {}, home=str(tmp_path))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    links += re.findall(r'(?:src|srcset)="(?!https?:)([^"]+)"', text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_names_what_each_agent_is_asked_by() -> None:
    """Of those whose events are decoded."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for engine in registry.engines():
        if engine.understood:
            assert f"`{engine.json_flags}`" in readme, engine.name


def test_the_chart_shows_the_figures_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for _, bars in FIGURES:
        for bar in bars:
            for number in re.findall(r"\d[\d.]*", bar.said):
                assert number in readme, bar
