"""Folders that nobody but their user can change."""

from __future__ import annotations

import grp
import os
from typing import TYPE_CHECKING

import pytest

from otel_untether.store import private_folder
from otel_untether.store.private_folder import (
    NotPrivateError,
    make_private,
    require_private,
    require_real,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STRANGER = 54_321


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a folder somebody else's: by its owner where we may, else by who we are."""

    def given(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, STRANGER, -1, follow_symlinks=False)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: STRANGER)

    return given


def test_a_folder_is_made_with_its_parents_for_its_user_only(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        make_private(tmp_path / "a" / "b")
    finally:
        os.umask(mask)
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert folder.stat().st_mode & 0o7777 == 0o700


def test_a_folder_of_ours_may_be_used(tmp_path: Path) -> None:
    make_private(tmp_path / "state")
    require_private(tmp_path / "state")
    (tmp_path / "state").chmod(0o755)
    require_private(tmp_path / "state")


def test_a_missing_folder_is_not_made_where_that_was_not_asked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        require_private(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, give_away: Callable[[Path], None]
) -> None:
    (tmp_path / "theirs").mkdir(0o700)
    give_away(tmp_path / "theirs")
    with pytest.raises(NotPrivateError, match=r"belongs to user \d+, expected root or us"):
        make_private(tmp_path / "theirs" / "state")
    assert not list(tmp_path.glob("theirs/*"))


@pytest.mark.parametrize("where", ["", "state", "state/runs"])
def test_a_component_that_all_may_write_to_is_refused(tmp_path: Path, where: str) -> None:
    path = tmp_path / "open"
    make_private(path / "state" / "runs")
    (path / where).chmod(0o777)
    with pytest.raises(NotPrivateError, match=r"writable for others \(mode 0777\)"):
        require_private(path / "state" / "runs")


def test_a_sticky_folder_is_fine_as_long_as_what_we_use_in_it_is_ours(tmp_path: Path) -> None:
    """As /tmp: there nobody can rename what is not theirs."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    make_private(tmp_path / "tmp" / "state")


def test_somebody_else_s_folder_in_a_sticky_one_is_refused(
    tmp_path: Path, give_away: Callable[[Path], None]
) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    (tmp_path / "tmp" / "state").mkdir()
    give_away(tmp_path / "tmp" / "state")
    with pytest.raises(NotPrivateError, match="belongs to user"):
        make_private(tmp_path / "tmp" / "state")


def test_the_way_behind_a_link_is_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to("open")
    with pytest.raises(NotPrivateError, match="open is writable for others"):
        make_private(tmp_path / "link" / "state")


def test_a_link_of_ours_to_a_folder_of_ours_is_followed(tmp_path: Path) -> None:
    """Somebody has their state on a larger disk."""
    (tmp_path / "large").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link").symlink_to("../large")
    make_private(tmp_path / "sub" / "link" / "state")
    assert (tmp_path / "large" / "state").is_dir()


def test_a_link_of_somebody_else_is_refused(
    tmp_path: Path, give_away: Callable[[Path], None]
) -> None:
    (tmp_path / "large").mkdir()
    link = tmp_path / "link"
    link.symlink_to("large")
    give_away(link)
    with pytest.raises(NotPrivateError, match="belongs to user"):
        make_private(link / "state")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="too many links"):
        make_private(tmp_path / "a" / "state")


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file is not a directory"):
        make_private(tmp_path / "file" / "state")


@pytest.mark.parametrize(
    ("name", "members", "fine"),
    [("me", [], True), ("me", ["me", "root"], True), ("me", ["eve"], False), ("staff", [], False)],
)
def test_a_group_that_may_write_must_be_ours_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, members: list[str], fine: object
) -> None:
    """Many systems give each user a group of their own, and a umask of 002."""
    group = 4242
    monkeypatch.setattr(os, "getegid", lambda: group)
    monkeypatch.setattr("pwd.getpwuid", lambda _: _User("me"))
    monkeypatch.setattr(grp, "getgrgid", lambda _: grp.struct_group((name, "x", group, members)))
    assert private_folder._is_own_group(group) is fine


class _User:
    def __init__(self, name: str) -> None:
        self.pw_name = name


def test_a_group_without_a_name_is_nobody_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> object:
        raise KeyError

    monkeypatch.setattr(grp, "getgrgid", unknown)
    assert not private_folder._is_own_group(4242)


@pytest.mark.parametrize(("members", "fine"), [([], True), (["root"], True), (["eve"], False)])
def test_root_s_group_is_fine_for_a_user_without_a_name(
    monkeypatch: pytest.MonkeyPatch, members: list[str], fine: object
) -> None:
    """As in containers of OpenShift, whose folders are 0775 and of root and its group."""

    def nameless(_: int) -> object:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nameless)
    monkeypatch.setattr(grp, "getgrgid", lambda _: grp.struct_group(("root", "x", 0, members)))
    assert private_folder._is_own_group(0) is fine


def test_only_a_folder_itself_is_real(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    require_real(tmp_path / "folder")
    (tmp_path / "link").symlink_to("folder")
    with pytest.raises(NotADirectoryError, match="not a link or a file"):
        require_real(tmp_path / "link")
