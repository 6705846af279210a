"""The process tree of a silent session as one picture: who the agent is, and what leads out.

Made of the newest sample and, where one was taken, of a deep look. Without a deep look less is
known: every socket of the tree may be the agent's, and nobody knows where it leads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from otel_untether.proc_diag.deep_look import DeepLook, ProcessLook, SocketLook
    from otel_untether.proc_diag.snapshot import ProcessSnapshot, SocketDiag, TreeSnapshot

# TCP sockets in these states are nobody's connection any more. A datagram socket that was never
# connected is in CLOSE as well, and anybody may send it something.
_GONE: Final = frozenset({"TIME_WAIT", "CLOSE"})
_NAME_SERVICE: Final = 53
_TELEMETRY_PORTS: Final = frozenset({4317, 4318})
_STANDARD: Final = frozenset({0, 1, 2})


class Connection(NamedTuple):
    """One socket that leads out of the tree; ages in seconds, queues and counts in bytes.

    `owner` names the process that holds it, None where that is not known.
    """

    inode: int | None
    family: str
    state: str | None
    remote: str | None
    port: int | None
    owner: str | None
    send_age: float | None
    receive_age: float | None
    send_queue: int | None
    sent: int | None
    received: int | None

    @property
    def established(self) -> bool:
        """Whether something could come in on it; datagram sockets know no other state."""
        return self.state == "ESTABLISHED" or (self.family != "tcp" and self.state != "LISTEN")

    @property
    def asks_for_a_name(self) -> bool:
        """Whether it leads to a name service: by it no answer of a model comes."""
        return self.port == _NAME_SERVICE


class Scene(Struct, frozen=True):
    """Who is there, and what leads out.

    `agent` is the agent's own process, behind whatever launched it; `children` the living
    members other than it and its launchers; `sockets` the connections of the agent itself,
    `others` those of its children, `listening` what anybody may connect to. They are None where
    they could not be told.
    """

    newest: TreeSnapshot | None
    look: DeepLook | None
    agent: ProcessSnapshot | None
    children: tuple[ProcessSnapshot, ...]
    sockets: tuple[Connection, ...] | None
    others: tuple[Connection, ...] | None
    listening: tuple[Connection, ...] | None

    def in_depth(self, process: ProcessSnapshot | None) -> ProcessLook | None:
        """Return what the deep look says of a process."""
        if self.look is None or process is None:
            return None
        return next((p for p in self.look.processes if p.identity == process.identity), None)


def picture(newest: TreeSnapshot | None, look: DeepLook | None) -> Scene:
    """Put the picture together; `look` None where none was taken."""
    if newest is None:
        return Scene(None, look, None, (), None, None, None)
    agent = _agent(newest, look)
    launchers = set(look.launchers) if look else set()
    ended = ("Z", "X")
    children = tuple(
        process
        for process in newest.processes
        if process is not agent
        and process.state not in ended
        and process.identity not in launchers
        and (agent is None or process.identity != agent.identity)
    )
    if look is None:
        live = live_sockets(newest)
        known = None if live is None else tuple(map(_sampled, live))
        return Scene(newest, look, agent, children, known, (), ())
    return Scene(newest, look, agent, children, *_outward(look, agent))


def live_sockets(sample: TreeSnapshot | None) -> tuple[SocketDiag, ...] | None:
    """Return the tree's TCP sockets that could still carry something, None if unknown."""
    if sample is None or sample.sockets is None:
        return None
    return tuple(s for s in sample.sockets if s.state not in _GONE)


def _agent(newest: TreeSnapshot, look: DeepLook | None) -> ProcessSnapshot | None:
    if look is None or look.agent is None:
        return newest.leader
    found = (p for p in newest.processes if p.identity == look.agent)
    return next(found, newest.leader)


def _outward(
    look: DeepLook, agent: ProcessSnapshot | None
) -> tuple[
    tuple[Connection, ...] | None, tuple[Connection, ...] | None, tuple[Connection, ...] | None
]:
    if look.outward is None:
        return None, None, None
    pid = agent.identity.pid if agent else 0
    own: list[Connection] = []
    others: list[Connection] = []
    listening: list[Connection] = []
    for socket in look.outward:
        gone = socket.state in _GONE and socket.family == "tcp"
        if gone or socket.reach == "kernel" or _is_standard(socket):
            continue
        where = listening if socket.listening else own if _holds(socket, pid) else others
        where.append(_looked_at(socket))
    return tuple(own), tuple(others), tuple(listening)


def _holds(socket: SocketLook, pid: int) -> bool:
    return socket.owner.pid == pid or pid in socket.holders


def _is_standard(socket: SocketLook) -> bool:
    """Whether it is somebody's standard input or output: hosts in Node use socket pairs."""
    return socket.family == "unix" and bool(socket.numbers) and set(socket.numbers) <= _STANDARD


def _looked_at(socket: SocketLook) -> Connection:
    return Connection(
        socket.inode,
        socket.family,
        socket.state,
        socket.remote,
        _port(socket),
        socket.owner_name,
        socket.send_age,
        socket.receive_age,
        socket.send_queue,
        socket.bytes_sent,
        socket.bytes_received,
    )


def _port(socket: SocketLook) -> int | None:
    tail = (socket.remote or "").rpartition(":")[2]
    return int(tail) if socket.family in ("tcp", "udp") and tail.isdigit() else None


def _sampled(socket: SocketDiag) -> Connection:
    return Connection(
        socket.inode,
        "tcp",
        socket.state,
        None,
        socket.remote_port,
        None,
        socket.send_age,
        socket.receive_age,
        socket.send_queue,
        None,
        None,
    )


def of_the_model(sockets: tuple[Connection, ...], asked: float | None) -> Connection | None:
    """Return the connection that most likely leads to the model, None if there is none.

    `asked` is how many seconds ago the model was asked. What a CLI holds besides (a keep-alive
    connection, one to a collector of telemetry) was used at other times: of the candidates it is
    the one whose last request lies nearest, or the last used where nobody knows when it was.
    """
    other = (*_TELEMETRY_PORTS, _NAME_SERVICE)
    telling = [s for s in sockets if s.state != "LISTEN" and s.port not in other]
    tcp = [s for s in telling if s.family == "tcp"] or telling
    return min(tcp, key=lambda socket: _distance(socket, asked), default=None)


def _distance(socket: Connection, asked: float | None) -> float:
    if socket.send_age is None:
        return float("inf")
    return socket.send_age if asked is None else abs(socket.send_age - asked)
