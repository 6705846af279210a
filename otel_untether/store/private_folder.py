"""Folders that nobody but their user can change: made so, or refused.

A path is as safe as its weakest component: who may write to a folder may put another thing in
place of what is in it. So each component, links included, must belong to root or to us, and must
not be writable for others, unless it is sticky as /tmp is and the next component is ours. Once
that holds, nobody else can change it behind our back, and paths may be used without a race.

    /home/anna/.local/state/otel-untether     anna's or root's all the way: hers
    /tmp/anna/state                           /tmp is sticky, /tmp/anna hers: hers
    /srv/shared/state                         /srv/shared is 0777: refused
    /home/anna/state, as root                 anna could swap it under root's hands: refused

It is used before the agent is spawned, and so imports next to nothing.
"""

# ruff: noqa: PTH100, PTH102, PTH103, PTH115, PTH118, PTH120, PTH123, PTH206, SIM105  pathlib is slow

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_MOST_LINKS: Final = 40  # Linux gives up there, too
_ROOT: Final = 0


class NotPrivateError(PermissionError):
    """A folder that somebody else could change; the text says which component, and why."""


def make_private(path: str | os.PathLike[str]) -> None:
    """Make a folder and its missing parents, for their user only.

    Raises NotPrivateError where somebody else could change it, OSError where it cannot be made.
    """
    _walk(os.path.abspath(path), make=True)


def require_private(path: str | os.PathLike[str]) -> None:
    """Raise NotPrivateError where somebody else could change this folder; OSError without it."""
    _walk(os.path.abspath(path), make=False)


def require_real(path: str | os.PathLike[str]) -> None:
    """Raise OSError where a path is not a folder itself but, say, a link to one."""
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise NotADirectoryError(f"{os.fspath(path)}: expected a folder, not a link or a file")


def _walk(path: str, *, make: bool) -> None:
    """Look at each component of an absolute path, and at those of the links in it."""
    if not hasattr(os, "geteuid"):
        if make:
            os.makedirs(path, 0o700, exist_ok=True)
        return
    at, links = os.sep, 0
    left = _components(path)
    _require_ours(at, os.lstat(at))
    while left:
        name = left.pop()
        if name == os.pardir:
            at = os.path.dirname(at)
            continue
        entry = os.path.join(at, name)
        info = _made(entry) if make else os.lstat(entry)
        _require_ours(entry, info)
        if not stat.S_ISLNK(info.st_mode):
            at = entry
            continue
        links += 1
        target = os.readlink(entry)
        if links > _MOST_LINKS:
            raise OSError(f"{entry}: too many links")
        at = os.sep if target.startswith(os.sep) else at
        left += _components(target)


def _components(path: str) -> list[str]:
    """Return the names in a path, the last one first."""
    return [name for name in reversed(path.split(os.sep)) if name not in ("", os.curdir)]


def _made(path: str) -> os.stat_result:
    """Return what is at a path, a new folder if there was nothing."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        pass
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass  # somebody was faster, and is looked at now
    return os.lstat(path)


def _require_ours(path: str, info: os.stat_result) -> None:
    if not _is_trusted(info.st_uid):
        raise NotPrivateError(f"{path} belongs to user {info.st_uid}, expected root or us")
    if stat.S_ISLNK(info.st_mode):
        return  # its own mode means nothing; whoever may replace it owns the folder it is in
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(f"{path} is not a directory")
    if info.st_mode & stat.S_ISVTX:
        return
    if info.st_mode & stat.S_IWOTH:
        raise NotPrivateError(f"{path} is writable for others (mode {info.st_mode & 0o7777:04o})")
    if info.st_mode & stat.S_IWGRP and not _is_own_group(info.st_gid):
        raise NotPrivateError(f"{path} is writable for its group, {info.st_gid}, of several users")


def _is_trusted(uid: int) -> bool:
    return uid in (_ROOT, os.geteuid()) or (uid == _unmapped_uid() and not _is_mapped(_ROOT))


def _unmapped_uid() -> int:
    """Return as whom a user namespace shows owners that it does not know, user_namespaces(7)."""
    try:
        with open("/proc/sys/kernel/overflowuid", "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return _ROOT


def _is_mapped(uid: int) -> bool:
    """Whether our user namespace knows a user; without it root's own files look like nobody's."""
    try:
        with open("/proc/self/uid_map", "rb") as file:
            spans = [[int(number) for number in line.split()] for line in file]
    except (OSError, ValueError):
        return True
    # Inside, outside, count: outside is relative to the namespace above.
    return any(outside <= uid < outside + count for _, outside, count in spans)


def _is_own_group(gid: int) -> bool:
    """Whether nobody but us is in a group, as where each user has one of their own.

    Group 0 is root's, and that of containers which run as a user without a name.
    """
    import grp  # noqa: PLC0415  only where a folder is writable for its group
    import pwd  # noqa: PLC0415

    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = "root"
    private = gid == _ROOT or (gid == os.getegid() and group.gr_name == user)
    return private and all(member in (user, "root") for member in group.gr_mem)
