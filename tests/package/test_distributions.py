"""The sdist and the wheel: the same whoever builds them, complete, and nothing too much."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What working here leaves behind.
LEFT = shutil.ignore_patterns(".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "build")


def build(tree: Path) -> tuple[Path, Path]:
    """Build both from a tree, with what is installed here; return the sdist and the wheel."""
    environ = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", "made"],
        cwd=tree,
        env=environ,
        check=True,
        capture_output=True,
    )
    (sdist,), (wheel,) = (tree / "made").glob("*.tar.gz"), (tree / "made").glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Both, of this tree."""
    tree = tmp_path_factory.mktemp("here") / "tree"
    shutil.copytree(ROOT, tree, ignore=LEFT)
    return build(tree)


@pytest.fixture(scope="module")
def unpacked(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist's tree."""
    place = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built[0]) as archive:
        archive.extractall(place, filter="data")
    (tree,) = place.iterdir()
    return tree


def test_another_place_time_and_umask_make_the_same_bytes(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    tree = tmp_path / "elsewhere"
    shutil.copytree(ROOT, tree, ignore=LEFT)
    for path in tree.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(path.stat().st_mode & ~0o077)
    again = build(tree)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


def test_the_sdist_makes_the_same_wheel(
    built: tuple[Path, Path], unpacked: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(unpacked, tree)
    assert build(tree)[1].read_bytes() == built[1].read_bytes()


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    package = ROOT / "otel_untether"
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == modules
    assert "otel_untether/py.typed" in names


@pytest.mark.timeout(1800)
def test_the_sdist_tests_itself(unpacked: Path) -> None:
    """Its pure tests pass where only its own files are; all but the longest, which needs none."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit",
         "tests/conformance", "--ignore=tests/conformance/test_mutated_lines.py"],
        cwd=unpacked,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-5000:]


def test_the_installed_wheel_does_the_main_job(built: tuple[Path, Path], tmp_path: Path) -> None:
    """In an environment of its own, with our dependencies and none of our files."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
         "--no-index", built[1]],
        check=True,
    )  # fmt: skip
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    # The path alone: what makes this project importable there is itself a .pth file.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    code = "import otel_untether, opentelemetry.sdk; print(otel_untether.__file__)"
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    where = subprocess.run(
        [python, "-P", "-c", code],
        env=environ, cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(site))
    demo = subprocess.run(
        [python.with_name("otel-untether"), "demo"],
        env=environ, cwd=tmp_path, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert demo.returncode == 0, demo.stderr
    assert "8 tool calls (1 failed)" in demo.stdout
