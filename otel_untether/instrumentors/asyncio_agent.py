"""An agent under asyncio: seen at the protocol that its transport calls back.

Methods of that one protocol object are put before its own; no other process's is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from otel_untether.instrumentors import claims
from otel_untether.instrumentors.agent import HostedAgent, ended
from otel_untether.instrumentors.harmless import harmless
from otel_untether.instrumentors.loop_pulse import pulse_of
from otel_untether.sources.spawned_agent import DRAIN
from otel_untether.sources.spawning import spawning, unstarted
from otel_untether.watching.attendant import attendant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from otel_untether.instrumentors.guest import Guest

_STDOUT: Final = 1
# How often (s) we look whether the loop is still there.
_LOOK: Final = 1.0


class AsyncioAgent:
    """Spawns the agent as the loop would, and looks on.

    `piped` says that its output goes through the loop.
    """

    def __init__(self, guest: Guest, argv: Sequence[str], loop: Any, *, piped: bool) -> None:
        self._guest = guest
        self._argv = argv
        self._loop = loop
        self._piped = piped
        self._pulse = pulse_of(loop)
        self._transport: Any = None
        self._protocol: Any = None
        self._ours: dict[str, Any] = {}  # methods of the protocol that are put before its own
        self._theirs: dict[str, Any] = {}  # what the protocol itself had in their place
        self._kind: type | None = None  # the protocol's own class, where ours is in its place
        self._writer: Any = None
        self._pid = 0
        self._ended = self._drained = False
        self._unread_since: int | None = None
        self._agent: HostedAgent | None = None

    async def spawn(
        self, wrapped: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Spawn it, `args` and `kwargs` being those of ``loop.subprocess_exec`` or ``_shell``."""
        factory, *command = args
        protocol = factory()
        if id(protocol) in _listened_to:  # by another agent: what it hears, nobody could tell apart
            return await wrapped(lambda: protocol, *command, **kwargs)
        with harmless("an agent is about to start"):
            command, kwargs = self._prepare(protocol, command, kwargs)
        try:
            with spawning():
                return await wrapped(lambda: protocol, *command, **kwargs)
        except BaseException as error:
            if self._agent is not None and self._transport is None:
                _listened_to.discard(id(protocol))
                self._agent.finish(unstarted(error))
            raise

    def _prepare(
        self, protocol: Any, command: list[Any], kwargs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Open the session; return the words and keywords to spawn its agent with."""
        heard = self._piped and isinstance(protocol, asyncio.SubprocessProtocol)
        agent = HostedAgent(self._guest, self._argv, heard=heard, unread_since=self._look_unread)
        try:
            claims.opened(agent)
            kwargs = {**kwargs, "env": agent.environment(kwargs.get("env"))}
            command = list(agent.command(command))
            self._drained = not self._piped
            self._listen(protocol)
        except BaseException:
            agent.finish(None)
            raise
        self._agent = agent
        return command, kwargs

    def _listen(self, protocol: Any) -> None:
        """Put ourselves behind what the transport calls: the program's own comes first."""
        self._protocol = protocol
        _listened_to.add(id(protocol))
        both = {name: _after(getattr(protocol, name), ours) for name, ours in self._hooks().items()}
        if hasattr(protocol, "__dict__"):
            own = vars(protocol)
            self._theirs = {name: own[name] for name in both if name in own}
            self._ours = both
            own.update(both)
        else:  # it has slots, as asyncio's own base classes do
            self._kind = kind = type(protocol)
            methods = {name: staticmethod(method) for name, method in both.items()}
            protocol.__class__ = type(kind.__name__, (kind,), {"__slots__": (), **methods})

    def _listen_to_input(self, agent: HostedAgent) -> None:
        """Put ourselves behind the stream writer, the one thing that all loops have."""
        writer = getattr(self._protocol, "stdin", None)
        if not isinstance(writer, asyncio.StreamWriter):
            return
        self._writer = writer
        _writers[writer] = agent
        write, writelines = writer.write, writer.writelines

        def write_lines(data: Iterable[bytes]) -> None:
            chunks = list(data)  # it may be possible to go through them only once
            writelines(chunks)
            with harmless("standard input"):
                agent.given(b"".join(chunks))

        def write_data(data: bytes) -> None:
            write(data)
            with harmless("standard input"):
                agent.given(bytes(data))

        theirs: Any = writer  # to mypy, methods are not for assigning
        theirs.write = write_data
        theirs.writelines = write_lines

    def _leave(self) -> None:
        """Give back what is the program's, as it was."""
        _listened_to.discard(id(self._protocol))
        if self._kind is not None:
            self._protocol.__class__, self._kind = self._kind, None
        for name, ours in self._ours.items():
            own = vars(self._protocol)
            if own.get(name) is ours:
                del own[name]
                if name in self._theirs:
                    own[name] = self._theirs[name]
        for name in ("write", "writelines"):
            with contextlib.suppress(AttributeError):
                delattr(self._writer, name)

    def _hooks(self) -> dict[str, Callable[..., object]]:
        return {
            "connection_made": self._begun,
            "pipe_data_received": self._received,
            "pipe_connection_lost": self._lost,
            "process_exited": self._exited,
        }

    def _begun(self, transport: Any) -> None:
        self._transport = transport
        self._pid = transport.get_pid()
        if not self._piped:  # else it is looked at whenever its silence is judged
            attendant().tick(self, _LOOK, self._look_after)
        if self._agent is not None:
            self._agent.returncode = transport.get_returncode
            self._listen_to_input(self._agent)
            self._agent.attend(self._pid)

    def _received(self, fd: int, data: bytes) -> None:
        if self._agent is None:
            return
        if fd == _STDOUT:
            self._agent.took(data)
        else:
            self._agent.complained(data)

    def _lost(self, fd: int, _error: Exception | None) -> None:
        if fd == _STDOUT:
            self._drained = True
            if self._ended:
                self._finish()

    def _exited(self) -> None:
        """Its output may still be on its way, and a descendant may hold it open for ever."""
        self._ended = True
        if self._drained:
            self._finish()
        else:
            self._loop.call_later(DRAIN, self._finish)

    def _finish(self) -> None:
        attendant().release(self)
        with harmless("an agent has ended"):
            self._leave()
            if self._agent is not None:
                self._agent.finish(self._transport.get_returncode())

    def _look_after(self) -> None:
        """Where the loop was closed while the agent lives, nobody tells us of its end."""
        if self._loop.is_closed() and (status := ended(self._pid)) is not None:
            attendant().release(self)
            self._leave()
            if self._agent is not None:
                known = self._transport.get_returncode()  # where its loop has waited for it, too
                self._agent.finish(*status if known is None else (known,))

    def _look_unread(self) -> int | None:
        """Tell since when the program leaves unread what the agent has printed."""
        waits = False
        with harmless("unread output"):
            self._look_after()
            waits = self._piped and (
                self._loop.is_closed() or self._pulse.held_up() or _waits(self._transport)
            )
        if not waits:
            self._unread_since = None
        elif self._unread_since is None and self._agent is not None:
            self._unread_since = self._agent.clock.now()
        return self._unread_since


# Protocols, by their `id`: those with slots can neither be noted in nor be referred to weakly.
_listened_to: Final[set[int]] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_listened_to.clear)


def agent_of(writer: object) -> HostedAgent | None:
    """Return the agent whose standard input that is, None where it is nobody's we watch."""
    return _writers.get(writer) if isinstance(writer, asyncio.StreamWriter) else None


_writers: Final[WeakKeyDictionary[object, HostedAgent]] = WeakKeyDictionary()


def _after(theirs: Callable[..., Any], ours: Callable[..., object]) -> Callable[..., Any]:
    """Return their method, after which ours is called; what theirs does and raises stays.

    Where it raises, its loop names it, as it would without us.
    """
    hook = ours.__name__.strip("_")

    @functools.wraps(theirs)
    def both(*args: Any) -> Any:
        try:
            return theirs(*args)
        finally:
            with harmless(hook):
                ours(*args)

    return both


def _waits(transport: Any) -> bool:
    """Tell whether output waits for the loop: reading is paused, or the loop is held up."""
    pipe = transport.get_pipe_transport(_STDOUT)
    if pipe is None or pipe.is_closing():
        return False
    if not pipe.is_reading():
        return True
    source = pipe.get_extra_info("pipe")  # uvloop does not tell
    if source is None:
        return False
    poller = select.poll()  # select(2) ends at descriptor 1,023
    poller.register(source, select.POLLIN)
    return bool(poller.poll(0))
