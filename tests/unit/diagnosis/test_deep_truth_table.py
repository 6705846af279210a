"""What a deep look may show, in every combination, and the few that a kill may rest on."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from otel_untether.proc_diag.deep_look import CgroupLook, SocketLook, StdinLook, ThreadLook
from otel_untether.stall import StallDetector
from tests.unit.diagnosis.worlds import CONFIG, LEADER, T0, S, deep, process, sample, session

if TYPE_CHECKING:
    from otel_untether.proc_diag.deep_look import DeepLook
    from otel_untether.session.state import SessionState

# Where a second thread of the agent is: state, wait channel, what its call is about.
PLACES: dict[str, tuple[Any, str | None, str | None]] = {
    "an event loop": ("S", "do_epoll_wait", None),
    "a lock of its own": ("S", "futex_do_wait", None),
    "a sleep": ("S", "hrtimer_nanosleep", None),
    "a pipe": ("S", "anon_pipe_read", "pipe:[7]"),
    "a socket": ("S", "unix_stream_read_generic", "socket:[7]"),
    "a child": ("S", "do_wait", None),
    "ended": ("Z", None, None),
    "running": ("R", None, None),
    "a full pipe": ("S", "anon_pipe_write", "pipe:[7]"),
    "a disk": ("D", "folio_wait_bit_common", None),
    "FUSE": ("S", "request_wait_answer", None),
    "a file lock": ("S", "flock_lock_inode_wait", "/x"),
    "a terminal": ("S", "n_tty_read", "/dev/pts/1"),
    "a terminal, in select": ("S", "do_select", "/dev/pts/1"),
    "the freezer": ("S", "do_freezer_trap", None),
    "stopped": ("T", "do_signal_stop", None),
    "a debugger": ("t", "ptrace_stop", None),
    "a place that nobody knows": ("S", "some_new_function", None),
    "a place that is not told": ("S", None, None),
    "a state that is not told": (None, None, None),
    "woken by who knows what": ("S", "wait_woken", None),
}
AT_REST = set(list(PLACES)[:7])
SOCKETS: dict[str, dict[str, Any]] = {
    "none": {},
    "inside": {"family": "unix", "reach": "inside"},
    "nowhere": {"family": "tcp", "reach": "nowhere", "state": "CLOSE"},
    "the kernel": {"family": "netlink", "reach": "kernel"},
    "TCP": {"family": "tcp", "reach": "outside", "state": "ESTABLISHED"},
    "UDP": {"family": "udp", "reach": "outside", "state": "ESTABLISHED"},
    "UDP to nobody": {"family": "udp", "reach": "outside", "state": "CLOSE"},
    "UNIX": {"family": "unix", "reach": "outside", "state": "ESTABLISHED"},
    "who knows where": {"family": "other", "reach": None},
    "listening": {"family": "tcp", "reach": "outside", "state": "LISTEN"},
}
NO_WAY_OUT = {"none", "inside", "nowhere", "the kernel"}
WHOLE: dict[str, dict[str, Any]] = {
    "whole": {},
    "sockets unknown": {"sockets": None},
    "incomplete": {"complete": False, "problems": ("more than is looked at",)},
    "frozen": {"cgroup": CgroupLook("/x", frozen=True)},
    "a client": {"remote_client": "ssh"},
}


def shown(place: str, socket: str, whole: str = "whole", **agent: Any) -> DeepLook:
    look = deep(sample())
    (one,) = look.processes
    state, wchan, target = PLACES[place]
    other = ThreadLook(777, "worker", state, wchan, 1, target, runs=1)
    threads = (*(one.threads or ()), other)
    one = replace(one, **{"threads": threads, **agent})
    about = SOCKETS[socket]
    held = SocketLook(5, owner=process().identity, numbers=(9,), **about) if about else None
    changes = {"processes": (one,), "sockets": (held,) if held else (), **WHOLE[whole]}
    return replace(look, **changes)


def kills(look: DeepLook | None, state: SessionState | None = None) -> bool:
    """Whether a tree that sleeps without a socket in every sample is killed, given this look."""
    detector, window = StallDetector(CONFIG), [sample(at=float(at)) for at in range(250, 600, 5)]
    for at in (600, 605, 610, 615):
        window.append(sample(at=float(at)))
        seen = None if look is None else replace(look, at=float(at))
        now = T0 + at * S
        found = detector.tick(state or session(), window, now, look=lambda seen=seen: seen)  # type: ignore[misc]
        if found is not None and found.kind == "kill":
            return True
    return False


@pytest.mark.parametrize("place", PLACES)
def test_every_thread_is_at_rest_and_nothing_leads_out_or_nobody_is_killed(place: str) -> None:
    killed = {socket for socket in SOCKETS if kills(shown(place, socket))}
    assert killed == (NO_WAY_OUT if place in AT_REST else set())


@pytest.mark.parametrize("whole", [name for name in WHOLE if name != "whole"])
def test_what_is_not_whole_supports_no_kill(whole: str) -> None:
    for place, socket in product(AT_REST, NO_WAY_OUT):
        assert not kills(shown(place, socket, whole))


def test_without_a_look_nobody_is_killed() -> None:
    assert not kills(None)


@pytest.mark.parametrize("turn", [True, False])
@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal", "null", "file", "closed"])
@pytest.mark.parametrize("open_ended", [True, False, None])
def test_an_open_input_spares_who_is_between_two_turns(
    turn: Any, kind: Any, open_ended: Any
) -> None:
    state = session()
    state.turn_open = turn
    stdin = StdinLook(kind, "pipe:[3]", 0, "outside", open_ended)
    may_be_asked = kind in ("pipe", "socket", "terminal") and open_ended is not False
    assert kills(shown("an event loop", "none", stdin=stdin), state) is (turn or not may_be_asked)


def test_threads_that_were_not_all_looked_at_support_no_kill() -> None:
    assert not kills(shown("an event loop", "none", all_threads=False))
    assert not kills(shown("an event loop", "none", threads=None))


def test_the_agent_itself_is_meant() -> None:
    assert shown("an event loop", "none").processes[0].identity.pid == LEADER
    assert kills(shown("an event loop", "none"))
