"""Which process of a tree is the agent: often not the one that was spawned.

npm installs most CLIs as a script that starts the real program and waits for it; operators add
`timeout`, `sh -c`, `nice`, `npx`. All of these hand their standard output on, and only the
agent writes to it:

    timeout 90 sh -c 'codex exec … | tee log'
    ├ timeout          stdout: pipe A   hands it on to sh: a launcher
    └─ sh              stdout: pipe A   hands it on to tee: a launcher
       ├─ node codex   stdout: pipe B   writes into tee's stdin: goes on here; a launcher again
       │  └─ codex     stdout: pipe B   the agent: its tools have pipes of their own
       └─ tee          stdout: pipe A   a filter, since its stdin comes from a sibling

A tool is told from an agent by this: it is given pipes of its own, and mostly a session of its
own; an agent behind a launcher shares the launcher's standard output and its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from otel_untether.proc_diag.sums import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_untether.proc_diag.snapshot import ProcessSnapshot

# Clients of something that runs elsewhere, by the kernel's name of the process (15 characters):
# what they show of themselves says nothing about the agent at the other end.
REMOTE_CLIENTS: Final = frozenset(
    {"docker", "docker-compose", "podman", "podman-remote", "nerdctl", "ctr", "crictl", "finch"}
    | {"ssh", "mosh-client", "dbclient", "plink", "autossh", "sshpass", "tsh", "et"}
    | {"kubectl", "oc", "k9s", "helm", "telepresence", "nomad", "flyctl", "fly", "heroku"}
    | {"nsenter", "machinectl", "systemd-run", "lxc", "lxc-attach", "incus", "distrobox", "toolbox"}
    | {"flatpak-spawn", "limactl", "colima", "orb", "orbctl", "multipass", "vagrant", "wsl.exe"}
    | {"devcontainer", "coder", "gcloud", "aws", "session-manager", "az", "modal", "daytona"}
    | {"e2b", "socat", "nc", "ncat", "websocat", "telnet"}
)
# These do nothing but start another program. One that shares less than all three standard
# descriptors with its child is taken for a launcher by its name only.
LAUNCHERS: Final = frozenset(
    {"sh", "bash", "dash", "zsh", "fish", "ash", "ksh", "busybox", "env", "nice", "ionice"}
    | {"timeout", "stdbuf", "setsid", "nohup", "time", "chrt", "taskset", "setpriv", "unshare"}
    | {"sudo", "su", "doas", "runuser", "npm", "npx", "pnpm", "yarn", "bunx", "uv", "uvx", "pipx"}
    | {
        "mise",
        "asdf",
        "volta",
        "direnv",
        "op",
        "dotenv",
        "chamber",
        "aws-vault",
        "bwrap",
        "firejail",
    }
    | {"xargs", "strace", "ltrace", "catchsegv", "tini", "dumb-init", "catatonit", "nsenter"}
    | {"firejail", "script", "start-stop-daem"}
)


_NODE: Final = ("node", "MainThread", "bun", "deno")
_INTERPRETERS: Final = (*_NODE, "python", "ruby", "perl")
# Clock ticks (of 10 ms, as good as everywhere) within which a shim has started the agent.
_EARLY: Final = 1_000
# The same, for Node that starts Node anew: of itself, with more memory, once it has loaded all
# that it consists of. On a busy machine that takes a quarter of a minute.
_RELAUNCHED: Final = 6_000


Stdio: TypeAlias = tuple[str | None, str | None, str | None]


class Member(Struct, frozen=True):
    """A member and what its descriptors 0, 1 and 2 point to; None where that is not known."""

    process: ProcessSnapshot
    stdio: Stdio

    @property
    def program(self) -> str:
        """Its name, without what npm adds (`npm exec codex`)."""
        return (self.process.name or "").partition(" ")[0]

    @property
    def started(self) -> float:
        """When it was started, in clock ticks."""
        return self.process.identity.start_time


class Agent(Struct, frozen=True):
    """The process that is the agent, and those from the spawned one down to its parent."""

    process: ProcessSnapshot
    launchers: tuple[ProcessSnapshot, ...] = ()

    @property
    def remote_client(self) -> str | None:
        """The program's name if it is but a client of an agent that runs elsewhere."""
        return self.process.name if self.process.name in REMOTE_CLIENTS else None


def find_agent(root: Member, members: Iterable[Member]) -> Agent:
    """Find the agent among the members, from the spawned process `root` downwards.

    Where descriptors cannot be read, that is as far as it goes.
    """
    children: dict[int | None, list[Member]] = {}
    for member in members:
        if member.process.state not in ENDED and member.process != root.process:
            children.setdefault(member.process.ppid, []).append(member)
    launchers: list[ProcessSnapshot] = []
    current = root
    while (heir := _heir(current, children.get(current.process.identity.pid, ()))) is not None:
        launchers.append(current.process)
        current = heir
    return Agent(current.process, tuple(launchers))


def _heir(parent: Member, children: Sequence[Member]) -> Member | None:
    """Return the child that a launcher handed its output on to; None if it is no launcher."""
    heirs = [child for child in children if _inherits(parent, child)]
    if not heirs:
        return None
    # A shell gives what it runs in the background an empty stdin.
    chosen = min(heirs, key=lambda one: (one.stdio[0] != parent.stdio[0], one.started))
    return _source(chosen, children)


def is_terminal(target: str) -> bool:
    """Whether a descriptor's target is a terminal."""
    return target.startswith(("/dev/pts/", "/dev/tty", "/dev/console"))


def _inherits(parent: Member, child: Member) -> bool:
    """Whether a child writes to its parent's output in its place."""
    out = parent.stdio[1]
    if out is None or child.stdio[1] != out:
        return False
    if parent.program in LAUNCHERS:
        return True
    # Whoever else hands on all it has, early in its life, to another program is a shim too; a
    # fork of the same program is a worker, but for Node, in which agents relaunch themselves.
    node = parent.program.startswith(_NODE)
    alike = parent.program == child.program and not node
    again = node and child.program.startswith(_NODE)
    early = child.started - parent.started < (_RELAUNCHED if again else _EARLY)
    # At a terminal agents start editors and pagers in the same way: only a script's interpreter.
    shim = not is_terminal(out) or parent.program.startswith(_INTERPRETERS)
    same = child.stdio == parent.stdio and child.process.sid == parent.process.sid
    return same and shim and early and not alike


def _source(end: Member, siblings: Sequence[Member]) -> Member:
    """Return who feeds a pipeline that ends with `end` (`agent | tee log | jq .`)."""
    seen = {end.process.identity}
    while (pipe := end.stdio[0]) is not None and pipe.startswith("pipe:"):
        feeds = [m for m in siblings if m.stdio[1] == pipe and m.process.identity not in seen]
        if not feeds:
            break
        end = feeds[0]
        seen.add(end.process.identity)
    return end
