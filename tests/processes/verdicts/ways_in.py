"""Ways in that are easily overlooked: what waits there may yet be woken from outside the tree."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Final

from tests.processes.verdicts.zoo import Named, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@contextlib.contextmanager
def fifo(folder: Path) -> Iterator[Mapping[str, str]]:
    """Make a FIFO, whose writing end is ours."""
    path = folder / "fifo"
    os.mkfifo(path)
    writing = os.open(path, os.O_RDWR)
    try:
        yield {"ZOO_FIFO": str(path)}
    finally:
        os.close(writing)


@contextlib.contextmanager
def crowded(folder: Path) -> Iterator[Mapping[str, str]]:
    """Listen on a UNIX socket, accept nobody, and fill its queue."""
    path = str(folder / "s")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(path)
        server.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                one = stack.enter_context(socket.socket(socket.AF_UNIX))
                one.settimeout(0)
                one.connect(path)
        yield {"ZOO_CROWDED": path}


STATES: Final = (
    State(
        "in a FIFO that others may write to",
        Named("agent_asleep", killed=False, words=("reads", "fifo")),
        """
        init(); text(); reading = os.open(os.environ["ZOO_FIFO"], os.O_RDONLY)
        at_rest(); os.read(reading, 1)
        """,
        inside=fifo,
    ),
    State(
        "a hook that no line tells of, which reads a FIFO",
        Named("agent_asleep", killed=False, words=("reads", "fifo")),
        """
        init(); text(); shell("read line <$ZOO_FIFO"); time.sleep(0.2); at_rest(); forever()
        """,
        inside=fifo,
    ),
    State(
        "in an event loop that watches a FIFO that others may write to",
        Named("agent_asleep", killed=False, words=("reads", "fifo")),
        """
        init(); text(); reading = os.open(os.environ["ZOO_FIFO"], os.O_RDONLY | os.O_NONBLOCK)
        poll = select.epoll(); poll.register(reading, select.EPOLLIN); at_rest(); poll.poll()
        """,
        inside=fifo,
    ),
    # The daemon goes when the agent does: the agent holds the other end of its input.
    State(
        "a command that is over, but for a daemon that holds its output",
        Named("tool_hung", "tool_timeout"),
        """
        init(); reading, writing = os.pipe(); its_input, _ = os.pipe()
        leaves = "exec 3<&0; setsid cat <&3 3<&- 2>/dev/null &"
        shell(leaves, stdin=its_input, stdout=writing).wait()
        os.close(writing); os.close(its_input)
        tool(); at_rest(); poll = select.epoll(); poll.register(reading); poll.poll()
        """,
    ),
    State(
        "over a UNIX socket whose server takes no more connections",
        Named("unexplained", killed=False, words=("unix_wait_for_peer",)),
        """
        init(); text(); one = socket.socket(socket.AF_UNIX)
        at_rest(); one.connect(os.environ["ZOO_CROWDED"])
        """,
        inside=crowded,
    ),
    State(
        "a model that never answers, asked by a thread; the main one has ended",
        Named("model_silent"),
        """
        init(); text(); connect(); alongside(forever); at_rest()
        ctypes.CDLL(None).pthread_exit(0)
        """,
    ),
    State(
        "an MCP server that does not read, and a full pair of sockets",
        Named("child_not_reading", words=("python",)),
        """
        init(); ours, its = socket.socketpair()
        child("at_rest(); forever()", stdin=its, start_new_session=False); its.close()
        text(); at_rest(); ours.sendall(bytes(1 << 22))
        """,
    ),
)
