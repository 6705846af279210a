"""What an agent did, in words that belong to no engine.

A decoder (`otel_untether.engines`) turns one line of a CLI's output into a few of these; the
fold (`otel_untether.session.state`) turns them into the state of a session. They are immutable and
carry facts only: what the fold can work out (which span is a parent, when a model's turn
began) is not in here. None holds anything that could hold it, so the garbage collector is
told not to look at them.

All times are nanoseconds since the epoch. `at` is when the line arrived; `happened` is when
the CLI says it happened, or None where it says nothing.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

ToolType: TypeAlias = Literal["function", "extension", "datastore"]
WaitKind: TypeAlias = Literal[
    "approval", "question", "host", "rate_limit", "retry", "compaction", "scheduled", "hook"
]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens. `input` includes cached ones, as the GenAI conventions want; None is unknown."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    def __add__(self, other: Usage) -> Usage:
        """Add field by field; unknown plus a number is that number."""

        def add(a: int | None, b: int | None) -> int | None:
            return b if a is None else a if b is None else a + b

        return Usage(*map(add, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))

    def __sub__(self, other: Usage) -> Usage:
        """Subtract field by field; a total below what it began with was not continued."""

        def subtract(a: int | None, b: int | None) -> int | None:
            return a - b if a is not None and b is not None and a >= b else a

        return Usage(*map(subtract, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))


class McpServer(msgspec.Struct, frozen=True, gc=False):
    """An MCP server as the engine reports it at start; `status` is the engine's word."""

    name: str
    status: str | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Common to all events: when it arrived and, where the CLI says so, when it happened."""

    at: int
    happened: int | None = None


class SessionStarted(Event, frozen=True, kw_only=True):
    """The engine introduced itself. Claude repeats this at the start of every turn.

    `asks` is false where it does so no sooner than the model's answer, whose turn then began
    before. `multi_prompt` says that it takes one prompt after another, None where it does not say.
    """

    asks: bool = True
    multi_prompt: bool | None = None
    session_id: str | None = None
    model: str | None = None
    version: str | None = None
    tools: tuple[str, ...] = ()
    mcp_servers: tuple[McpServer, ...] = ()


class Ready(Event, frozen=True, kw_only=True):
    """It works on no prompt, and waits to be given one."""


class TurnStarted(Event, frozen=True, kw_only=True):
    """The agent begins to work on a prompt (or was woken by its own background work).

    `branched_from` is the entry of its own file to which somebody went back for this prompt.
    """

    branched_from: str | None = None


class TurnFinished(Event, frozen=True, kw_only=True):
    """A turn's result. One process may print several.

    `usage` is this turn's; `session_usage` and `session_cost_usd` are running totals where the
    engine gives totals (Claude), `cost_usd` this turn's own cost where it gives that. A session
    that was resumed may go on from totals of its past: `new_usage` and `new_cost_usd` are what
    was added to them since the result before, or since the process began. `error`
    is a low-cardinality reason, None when the turn went well; `woken` says that background work
    began the turn, not a prompt; `as_answered` that it failed if its last answer did.
    """

    error: str | None = None
    usage: Usage | None = None
    session_usage: Usage | None = None
    cost_usd: float | None = None
    session_cost_usd: float | None = None
    new_usage: Usage | None = None
    new_cost_usd: float | None = None
    woken: bool = False
    interrupted: bool = False
    as_answered: bool = False


class ModelAsked(Event, frozen=True, kw_only=True):
    """A request went to the model. `parent` is the tool call whose subagent asked, or None."""

    parent: str | None = None


class ModelMessage(Event, frozen=True, kw_only=True):
    """A message, or one more block of it: the lines of one message share `id`.

    `usage` is what is known by then; its output count is None until final. `complete` says
    that nothing more will come under this id. `error` is set where the engine printed a
    message in place of a failed request; without an id it is about the message being spoken.
    `late` says that this was printed when the tools that the message called were over: it adds
    to what is known of the message, not to its time. `cost_usd` is this message's own, given
    once. `request_id` is what the provider calls the request that it answers.
    """

    id: str | None = None
    model: str | None = None
    parent: str | None = None
    usage: Usage | None = None
    complete: bool = False
    finish_reason: str | None = None
    error: str | None = None
    late: bool = False
    cost_usd: float | None = None
    request_id: str | None = None


class MessageUsage(Event, frozen=True, kw_only=True):
    """What a message took, where that is told apart from it: by a file, not by the output.

    It says nothing of when the message was spoken, and never makes one.
    """

    id: str
    usage: Usage
    parent: str | None = None


class ToolStarted(Event, frozen=True, kw_only=True):
    """The model called a tool.

    `parent` is the id of the tool call whose subagent made this one. `timeout` is the limit
    the call itself carries, in seconds. `arguments` is raw JSON and leaves the process only on
    opt-in. `made_by` is the subagent that made it, where by which call that was started is not
    told with it.
    """

    id: str
    name: str
    parent: str | None = None
    made_by: str | None = None
    type: ToolType = "function"
    mcp_server: str | None = None
    subagent: str | None = None
    background: bool | None = None
    timeout: float | None = None
    arguments: bytes | None = None


class ToolUpdated(Event, frozen=True, kw_only=True):
    """A sign of life from a running tool; `elapsed` in seconds.

    `heartbeat` says that the clock alone brought it: a hung tool has as many.
    """

    id: str
    elapsed: float | None = None
    heartbeat: bool = False


class ToolFinished(Event, frozen=True, kw_only=True):
    """The tool's result.

    `detached` says that the call returned but its work goes on until a `TaskFinished`.
    `started` and `name` are set by engines that announce a tool only once it is over.
    """

    id: str
    name: str | None = None
    started: int | None = None
    parent: str | None = None
    error: str | None = None
    exit_code: int | None = None
    denied: bool = False
    detached: bool = False
    task_id: str | None = None
    result: bytes | None = None


class TaskStarted(Event, frozen=True, kw_only=True):
    """Work under a tool call that may outlive it: a subagent, or a shell command.

    `kind` is "agent", "shell" or the engine's own word. `tool_id` is the call that started it,
    `parent_task` the task that made that call, `depth` 1 below the main agent.
    """

    id: str
    kind: str
    tool_id: str | None = None
    name: str | None = None
    parent_task: str | None = None
    depth: int | None = None
    background: bool | None = None


class TaskProgress(Event, frozen=True, kw_only=True):
    """A sign of life from a task, with its running totals where the engine gives them."""

    id: str
    tool_id: str | None = None
    tokens: int | None = None
    tool_uses: int | None = None
    last_tool: str | None = None


class TaskFinished(Event, frozen=True, kw_only=True):
    """A task ended; `error` is None when it completed."""

    id: str
    tool_id: str | None = None
    error: str | None = None
    exit_code: int | None = None
    tokens: int | None = None
    tool_uses: int | None = None


class WaitBegan(Event, frozen=True, kw_only=True):
    """The agent waits for somebody or something else.

    `until` is when the wait says it will be over (ns since the epoch), None where it does not.
    `parent_task` is the subagent that waits, where the call that it is about may not be known yet.
    """

    id: str
    kind: WaitKind
    parent_task: str | None = None
    tool_id: str | None = None
    until: int | None = None
    detail: str | None = None


class WaitEnded(Event, frozen=True, kw_only=True):
    """A wait is over; `answer` is the engine's word for how."""

    id: str
    answer: str | None = None


class Retry(Event, frozen=True, kw_only=True):
    """The engine will ask the model again after `delay` seconds."""

    attempt: int | None = None
    max_attempts: int | None = None
    delay: float | None = None
    status: int | None = None
    error: str | None = None


class RateLimited(Event, frozen=True, kw_only=True):
    """A snapshot of a rate limit. Only "rejected" makes anybody wait; `resets_at` in s.

    `overage` says that the account pays for what goes beyond: then even "rejected" stops nobody.
    """

    status: str
    resets_at: int | None = None
    overage: bool = False


class Compaction(Event, frozen=True, kw_only=True):
    """The engine compacts its context: `phase` began, beat (still at it) or ended."""

    phase: Literal["began", "beat", "ended"]
    trigger: str | None = None
    tokens_before: int | None = None
    tokens_after: int | None = None
    error: str | None = None


class Heartbeat(Event, frozen=True, kw_only=True):
    """A line that says nothing but that the process lives: a keep-alive, however it is called."""


class StrayLine(Event, frozen=True, kw_only=True):
    """A line that says nothing we know; still a sign of life.

    `reason` is "not_json", "unknown_type", "bad_shape" or "oversized"; `detail` the type's name.
    """

    reason: Literal["not_json", "unknown_type", "bad_shape", "oversized"]
    detail: str | None = None
