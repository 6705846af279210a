"""Agents that compute, are stopped, frozen, stuck in a file system, or gone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.processes.proc_diag.test_deep_look import hung_mount
from tests.processes.verdicts.zoo import Named, Quiet, State
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def hung(folder: Path) -> Iterator[Mapping[str, str]]:
    """Mount a file system that never answers."""
    mount = folder / "mount"
    mount.mkdir()
    with hung_mount(mount):
        yield {"ZOO_HUNG": str(mount)}


def _freezer(version: int) -> tuple[Path, str, str, str] | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        point = Path(fields.split()[4])
        if version == 2 and kind.startswith("cgroup2 "):
            return point, "cgroup.freeze", "1", "0"
        if version == 1 and kind.startswith("cgroup ") and "freezer" in kind.split()[-1]:
            return point, "freezer.state", "FROZEN", "THAWED"
    return None


def unfreezable(version: int) -> str | None:
    """Return why no control group of that version can be made and frozen here, None if one can."""
    found = _freezer(version)
    if found is None:
        return f"no control groups of version {version} are mounted"
    return None if os.access(found[0], os.W_OK) else f"{found[0]} is not to be written"


_NO_FUSE: Final = None if os.access("/dev/fuse", os.W_OK) else "/dev/fuse is not to be opened"


@contextlib.contextmanager
def _starved(pid: int) -> Iterator[None]:
    """Leave it of a core what another that never sleeps leaves: next to nothing."""
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(pid, {core})
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):  # where sessions share a core, not processes: sched(7)
        Path(f"/proc/{pid}/autogroup").write_text("19")
    loop = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-SE", "-c", loop]) as other:
        try:
            yield
        finally:
            other.kill()


@contextlib.contextmanager
def _frozen(pid: int, version: int) -> Iterator[None]:
    found = _freezer(version)
    assert found is not None
    point, switch, frozen, thawed = found
    group = point / f"untether-zoo-{pid}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        time.sleep(0.3)
        (group / switch).write_text(frozen)
        yield
    finally:
        (group / switch).write_text(thawed)
        (point / "cgroup.procs").write_text(str(pid))
        processes.eventually(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def frozen_v1(pid: int) -> contextlib.AbstractContextManager[None]:
    """Freeze it as docker pause does, with control groups of version 1."""
    return _frozen(pid, 1)


def frozen_v2(pid: int) -> contextlib.AbstractContextManager[None]:
    """Freeze it as systemctl freeze does."""
    return _frozen(pid, 2)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop it once it sleeps."""
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


_TRACED: Final = """
init()
pid = os.fork()
if pid == 0:
    while not os.path.exists("attached"):
        time.sleep(0.01)
    forever()
child(f'''
libc = ctypes.CDLL(None); libc.ptrace.restype = ctypes.c_long
assert libc.ptrace(16, {pid}, None, None) == 0
os.waitpid({pid}, 0x40000000)
open("attached", "w"); at_rest(); forever()
''')
text(); at_rest(); forever()
"""
_SPINS: Final = Named("spinning")
_DISK: Final = Named("disk_wait", words=("waits for a disk or file system",))

STATES: Final = (
    State(
        "a busy loop",
        Named("spinning", words=("claude (pid",)),
        "init(); text(); at_rest(); spin()",
    ),
    State(
        "a busy loop in a thread", _SPINS, "init(); text(); alongside(spin); at_rest(); forever()"
    ),
    State(
        "others have the core that it wants",
        Named("cpu_starved", killed=False),
        "init(); text(); at_rest(); spin()",
        around=_starved,
    ),
    State(
        "an event loop that spins",
        _SPINS,
        "init(); text(); at_rest(); spin(0.42)",
        share=0.35,
        config={"stall_timeout": 2.4, "liveness_timeout": 3.0},
    ),
    State(
        "a busy loop behind npm's shim",
        _SPINS,
        "init(); text(); at_rest(); spin()",
        argv="""node -e '
            const {spawn} = require("child_process");
            spawn("claude", ["-p", "hi", "--output-format", "stream-json", "--verbose"],
                  {stdio: "inherit"});'""",
    ),
    State(
        "two subagents, no connection, a core busy",
        _SPINS,
        """
        init(); delegate("toolu_1", "t1"); delegate("toolu_2", "t2"); at_rest(); spin(0.81)
        """,
        share=0.55,
    ),
    State(
        "a busy loop beside an idle connection",
        _SPINS,
        "init(); text(); connect(); at_rest(); spin()",
    ),
    State(
        "it computes, and bytes arrive",
        Quiet(),
        """
        init(); text(); one = connect("streaming"); at_rest()
        def work():
            until = time.thread_time() + 0.004
            while time.thread_time() < until:
                pass
            one.recv(4096)
        every(0.02, work)
        """,
    ),
    State(
        "stopped (SIGSTOP)",
        Named("stopped", words=("kill -CONT",)),
        "init(); text(); at_rest(); forever()",
        around=stopped,
    ),
    State("held by a debugger", Named("stopped", words=("debugger",)), _TRACED, privileged=True),
    State(
        "frozen, by control groups of version 1",
        Named("frozen"),
        "init(); text(); at_rest(); forever()",
        around=frozen_v1,
        privileged=True,
        barred=unfreezable(1),
    ),
    State(
        "frozen, by control groups of version 2",
        Named("frozen"),
        "init(); text(); at_rest(); forever()",
        around=frozen_v2,
        privileged=True,
        barred=unfreezable(2),
    ),
    State(
        "stuck in a hung file system",
        _DISK,
        "init(); text(); at_rest(); os.stat(os.environ['ZOO_HUNG'] + '/x')",
        inside=hung,
        privileged=True,
        barred=_NO_FUSE,
    ),
    State(
        "a thread stuck in a hung file system",
        Named("disk_wait", words=("thread",)),
        """
        init(); text(); alongside(lambda: os.stat(os.environ["ZOO_HUNG"] + "/x"))
        time.sleep(0.1); at_rest(); forever()
        """,
        inside=hung,
        privileged=True,
        barred=_NO_FUSE,
    ),
    State(
        "a tool stuck in a hung file system",
        Named("disk_wait", "tool_timeout", words=("ls (pid",)),
        """
        init(); shell("exec ls $ZOO_HUNG/x"); tool(); time.sleep(0.3); at_rest(); forever()
        """,
        inside=hung,
        privileged=True,
        barred=_NO_FUSE,
    ),
    State(
        "a thread in D, whose child cannot be executed",
        Named("disk_wait"),
        """
        init(); text()
        alongside(lambda: subprocess.Popen([os.environ["ZOO_HUNG"] + "/program"]))
        time.sleep(0.3); at_rest(); forever()
        """,
        inside=hung,
        privileged=True,
        barred=_NO_FUSE,
    ),
    State(
        "gone, and nobody has noticed",
        Named("dead", "sample_interval"),
        "init(); text(); at_rest()",
        late=3,
    ),
    State(
        "gone, and a process it left holds its output",
        Named("orphan_holds_output", "sample_interval", words=("sleep (pid",)),
        "init(); text(); subprocess.Popen(['sleep', '600']); time.sleep(0.8); at_rest()",
        late=3,
    ),
)
