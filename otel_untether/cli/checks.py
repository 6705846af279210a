"""What has to be in place on this machine, checked one by one; `otel-untether doctor` shows it.

Each check does the thing itself, once, rather than guess from versions and flags.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from otel_untether.config.settings import ConfigError, load
from otel_untether.engines import registry
from otel_untether.proc_diag import Tree, sample
from otel_untether.store.private_folder import NotPrivateError, make_private
from otel_untether.store.runs import store_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Status: TypeAlias = Literal["ok", "warning", "problem"]

_VERSION: Final = 20.0


class Check(NamedTuple):
    """One thing that was checked: how it is, and what to do about it where it is not well."""

    name: str
    status: Status
    text: str
    advice: str = ""


def configuration(path: str | None = None) -> Check:
    """Whether the settings can be read."""
    try:
        config = load(path)
    except ConfigError as error:
        advice = "correct it; `otel-untether config --explain` lists every setting"
        return Check("configuration", "problem", str(error), advice)
    if config.notices:
        advice = "what is not trusted belongs in the user's own file, or behind --config"
        return Check("configuration", "warning", "; ".join(config.notices), advice)
    return Check("configuration", "ok", ", ".join(config.files) or "no file, defaults")


def configured_state_dir(path: str | None = None) -> str | None:
    """Return the state folder that the settings name, None if they name none or are wrong."""
    try:
        return load(path).telemetry.state_dir
    except ConfigError:
        return None


def state_folder(environ: Mapping[str, str], configured: str | None = None) -> Check:
    """Whether runs can be kept, and only their user can change them."""
    folder = store_at(configured, environ).root
    try:
        make_private(folder)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except NotPrivateError as error:
        advice = "set OTEL_UNTETHER_STATE_DIR to a folder that only you can write to"
        return Check("state folder", "problem", f"{folder}: {error}", advice)
    except OSError as error:
        advice = "make it writable, or set OTEL_UNTETHER_STATE_DIR to a folder that is"
        return Check("state folder", "problem", f"{folder}: {error.strerror or error}", advice)
    return Check("state folder", "ok", str(folder))


def process_tree() -> Iterator[Check]:
    """Whether a process tree can be looked at, down to its own connections."""
    if sys.platform != "linux":
        text = "not Linux: psutil is used, and much stays unknown"
        yield Check("/proc", "warning", text, "unknown is never taken for idle: no kill from here")
    tree = Tree(os.getpid())
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            look = sample([tree])[0]
            client.close()
    except OSError as error:
        yield Check("sock_diag", "warning", f"no loopback connection: {error.strerror}")
        return
    finally:
        tree.close()
    yield _proc(look.fds, look.leader is not None)
    connections = [s for s in look.sockets or () if s.state == "ESTABLISHED"]
    yield _sockets([connection.receive_age for connection in connections], look.problems)


def _proc(fds: int | None, seen: bool) -> Check:  # noqa: FBT001  a fact, not a switch
    if not seen:
        advice = "mount /proc without hidepid, or run as the user who runs the agent"
        return Check("/proc", "problem", "processes cannot be read", advice)
    if fds is None:
        advice = "the agent must run as this user; CAP_SYS_PTRACE sees the others"
        return Check("/proc", "warning", "descriptors of processes cannot be read", advice)
    return Check("/proc", "ok", "processes, their states and descriptors can be read")


def _sockets(ages: list[float | None], problems: tuple[str, ...]) -> Check:
    if not ages:
        why = "; ".join(problems) or "our own connection was not found"
        advice = "without it no kill is ever decided; allow reading /proc/<pid>/fd and netlink"
        return Check(
            "sock_diag", "problem", f"a process's own connections are unknown: {why}", advice
        )
    if any(age is None for age in ages):
        advice = "allow NETLINK_SOCK_DIAG in the container's seccomp profile"
        return Check("sock_diag", "warning", "connections are known, but not how silent", advice)
    return Check("sock_diag", "ok", "each process's own connections, and how silent they are")


def signalling() -> Check:
    """Whether a process can be held by a descriptor, so that no other is ever signalled."""
    if not hasattr(os, "pidfd_open"):
        return Check("pidfd", "warning", "not here: identity is checked before each signal instead")
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        text = f"{error.strerror}: identity is checked before each signal instead"
        return Check("pidfd", "warning", text, "Linux 5.3 or newer has it; seccomp may forbid it")
    return Check("pidfd", "ok", "processes are held by descriptor before they are signalled")


def agents(*, versions: bool = False) -> Iterator[Check]:
    """Which agent CLIs there are; only with `versions` is any of them started."""
    commands = (name for engine in registry.engines() for name in sorted(engine.commands))
    found = {name: path for name in commands if (path := shutil.which(name))}
    if not found:
        advice = "install one, or give `otel-untether run --` the full path"
        yield Check("agents", "warning", "no known agent on PATH", advice)
    for name, path in found.items():
        yield _version(name, path) if versions else Check(name, "ok", path)


def _version(name: str, path: str) -> Check:
    try:
        done = subprocess.run(  # noqa: S603  asked for, and found on PATH
            [path, "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_VERSION,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, "problem", f"{path} --version: {error}", "run it by hand")
    said = done.stdout.decode(errors="replace").strip().partition("\n")[0]
    if done.returncode:
        text = f"{path} --version exited with {done.returncode}"
        return Check(name, "problem", text, "run it by hand")
    return Check(name, "ok", f"{path} ({said or 'no version'})")
