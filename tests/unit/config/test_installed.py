"""Whether a package may offer something: never no where `importlib.metadata` finds it."""

from __future__ import annotations

import sys
from importlib.metadata import DistributionFinder, entry_points
from pathlib import PurePath
from typing import Any
from zipfile import ZipFile

import pytest

from otel_untether.config.installed import may_offer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

GROUP = "somebody.offers"
OFFERED = f"[{GROUP}]\nname = module:THING\n"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is all there is on the path."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def install(folder: Path, offered: str) -> None:
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(offered)


@pytest.mark.parametrize("name", ["demo-1.0.dist-info", "Demo-1.0.Dist-Info", "demo.egg-info"])
def test_what_a_package_offers_may_be_there(path: Path, name: str) -> None:
    install(path / name, OFFERED)
    assert [point.name for point in entry_points(group=GROUP)] == ["name"]
    assert may_offer(GROUP)


def test_where_no_package_offers_it_there_is_none(path: Path) -> None:
    install(path / "demo-1.0.dist-info", "[console_scripts]\nsomebody.offers = module:main\n")
    (path / "bare-1.0.dist-info").mkdir()
    assert not entry_points(group=GROUP)
    assert not may_offer(GROUP)


def test_the_working_directory_is_on_the_path_as_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(path / "demo-1.0.dist-info", OFFERED)
    monkeypatch.setattr(sys, "path", [""])
    assert not may_offer(GROUP)
    monkeypatch.chdir(path)
    assert may_offer(GROUP)


@pytest.mark.parametrize("name", ["demo.whl", "demo.zip"])
def test_what_is_in_an_archive_may_be_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with ZipFile(path / name, "w") as archive:
        archive.writestr("demo-1.0.dist-info/METADATA", "Name: demo\nVersion: 1.0\n")
        archive.writestr("demo-1.0.dist-info/entry_points.txt", OFFERED)
    monkeypatch.setattr(sys, "path", [str(path / name)])
    assert entry_points(group=GROUP)
    assert may_offer(GROUP)


def test_what_is_in_an_egg_may_be_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(path / "demo-1.0-py3.11.egg" / "EGG-INFO", OFFERED)
    monkeypatch.setattr(sys, "path", [str(path / "demo-1.0-py3.11.egg")])
    assert may_offer(GROUP)


def test_where_somebody_else_finds_packages_there_may_be_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Finder(DistributionFinder):
        def find_distributions(self, context: object = None) -> list[object]:  # type: ignore[override]
            del context
            return []

        def find_spec(self, *_: object) -> None:
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert may_offer(GROUP)


def test_what_python_once_had_as_a_package_looks_on_the_path_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: dict[str, Any] = {"find_distributions": lambda _self, _context=None: []}
    finder = type("MetadataPathFinder", (), {**looks, "__module__": "importlib_metadata"})
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder()])
    assert not may_offer(GROUP)


def test_what_cannot_be_read_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/there/is/no/such/folder"])
    assert not may_offer(GROUP)


@pytest.mark.parametrize("place", [PurePath("here"), b"here", None, 1, "no\0path"])
def test_what_is_no_place_is_passed_over(
    path: Path, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    monkeypatch.setattr(sys, "path", [place, str(path)])
    assert not may_offer(GROUP)
    install(path / "demo-1.0.dist-info", OFFERED)
    assert may_offer(GROUP)
