"""The subagents of an ACP session: which call started which, and whose words are whose.

The protocol has no subagents. What agents add differs: Copilot CLI's name on each call of a
subagent which one made it, and nowhere by which call that was started; its subagents' words are
told as if the main agent had spoken. Both it and Qwen Code have some that work on in the
background: Copilot CLI's are done when the prompt is answered, of Qwen Code's an update says
so. An example, of Copilot CLI::

    call 4, agent_type "task"      starts a subagent
    call 6, agentId e62766c8…      the only one that it can be of: so e62766c8… was started by 4
    "One."                         the main agent waits for call 4: its subagent speaks
    call 4 completed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines.parsing.values import word
from otel_untether.session.events import Event, TaskFinished, TaskStarted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.engines.acp.shapes import BackgroundTask

_REMEMBERED: Final = 1024  # more are never at work at once


class Subagents:
    """Those at work: by the calls that started them."""

    def __init__(self) -> None:
        self._awaited: dict[str, str | None] = {}
        self._behind: dict[str, str | None] = {}
        self._call_of: dict[str, str] = {}

    def begin(self, call: str, parent: str | None, name: str | None, at: int) -> TaskStarted:
        """A call turns out to start one; `parent` is the call whose subagent made it."""
        self._awaited[call] = parent
        if len(self._awaited) > _REMEMBERED:
            self.over(next(iter(self._awaited)))
        return TaskStarted(at=at, id=f"{call}/agent", kind="agent", tool_id=call, name=name)

    def over(self, call: str) -> None:
        """A call has returned."""
        self._awaited.pop(call, None)

    def caller(self, agent: str | None) -> str | None:
        """Return the call that started an agent; None where it may be one of several."""
        if agent is None:
            return None
        known = self._call_of.get(agent)
        if known is not None:
            return known
        taken = set(self._call_of.values())
        free = [call for call in self._awaited if call not in taken]
        if len(free) != 1:
            return None
        self._keep(agent, free[0])
        return free[0]

    def _keep(self, agent: str, call: str) -> None:
        self._call_of[agent] = call
        if len(self._call_of) > _REMEMBERED:
            del self._call_of[next(iter(self._call_of))]

    def speakers(self) -> list[str]:
        """Return the calls whose subagents may speak: others wait for one of these."""
        waiting = set(self._awaited.values())
        return [call for call in self._awaited if call not in waiting]

    def detach(self, call: str, agent: str | None, at: int) -> Iterator[Event]:
        """A call has returned with a receipt; what it started, `agent` by its name, goes on."""
        self._behind[call] = agent
        if len(self._behind) > _REMEMBERED:
            del self._behind[next(iter(self._behind))]
        if agent is not None:
            self._keep(agent, call)
            yield TaskStarted(at=at, id=agent, kind="agent", tool_id=call, background=True)

    def settle(self, at: int) -> Iterator[Event]:
        """Yield that those known by name are over: who waits for them all has gone on."""
        for call, agent in tuple(self._behind.items()):
            if agent is not None:
                del self._behind[call]
                yield TaskFinished(at=at, id=agent, tool_id=call)

    def told(self, task: BackgroundTask, at: int) -> Iterator[Event]:
        """Yield what is told of one in the background: that it is over, once."""
        call = task.tool_use_id or ""
        if call not in self._behind or task.status in (None, "running"):
            return
        del self._behind[call]
        key = task.task_id or f"{call}/agent"
        error = None if task.status == "completed" else word(task.status) or "error"
        # Its files know it by this name, and may have told of it already.
        yield TaskStarted(at=at, id=key, kind="agent", tool_id=call, background=True)
        yield TaskFinished(at=at, id=key, tool_id=call, error=error)
