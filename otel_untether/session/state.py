"""The state of a session: a fold over events, pure and engine-neutral.

`SessionState` is plain data; `otel_untether.session.fold` holds what each event does to it. Neither
reads a clock: every time comes with an event, in ns since the epoch.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field

from otel_untether.session import events as ev
from otel_untether.session.activity import Activity, Wait, begin
from otel_untether.session.conversation import Lane
from otel_untether.session.traits import UNKNOWN, Traits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.session.activity import ActivityKind

_REMEMBERED_CALLS = 4096
_REMEMBERED_LANES = 1024
MOST_OPEN = 10_000
"""Calls, tasks or waits that a session may have open at once; more are counted, not kept."""


class Recent(NamedTuple):
    """One entry of the ring: when (ns), the event's type name, the tool it concerns."""

    at: int
    type: str
    tool: str | None


class SessionState(Struct):
    """Everything known about one session. All times are ns since the epoch, on one clock.

    `open` holds the tool calls whose result has not come, by call id; `background` those that
    returned while their work goes on; `tasks` the subagents and shell commands at work, by
    task id (a shell task is its tool's own activity); `waits` what the agent may rightly be
    waiting for. `last_sign` is the arrival of the last output, whatever it said, `output` how
    many bytes that was in all, and `lines_known` false where nobody split it. `headless` and
    `multi_prompt` are what the command line asks for, lines that can be decoded and several
    prompts in one process: None where that could not be told. `serves` is the protocol it
    serves, if any, `debug_log` the path of the debug log it was told to write. `request_id` is
    what the provider calls the last request that it told of. `followed` says that its own files
    are read as well; an event of theirs may be about what is over, and is applied while
    `recalling`. `missed` says that some of what it printed did not come to us. `usage` and
    `cost_usd` are as the engine prints them, which for a resumed session includes its past.
    """

    run_id: str
    started: int
    engine: str = "unknown"
    traits: Traits = UNKNOWN
    multi_prompt: bool | None = False
    headless: bool | None = None
    serves: str | None = None
    pid: int | None = None
    debug_log: str | None = None
    followed: bool = False
    recalling: bool = False
    missed: bool = False

    session_id: str | None = None
    request_id: str | None = None
    model: str | None = None
    version: str | None = None
    mcp_servers: tuple[ev.McpServer, ...] = ()

    last_sign: int = 0
    output: int = 0
    lines: int = 0
    lines_known: bool = True
    stray_lines: int = 0
    events: int = 0
    oddities: dict[str, int] = field(default_factory=dict)
    recent: deque[Recent] = field(default_factory=lambda: deque(maxlen=50))
    stderr_tail: deque[str] = field(default_factory=lambda: deque(maxlen=100))

    open: dict[str, Activity] = field(default_factory=dict)
    background: dict[str, Activity] = field(default_factory=dict)
    tasks: dict[str, Activity] = field(default_factory=dict)
    waits: dict[str, Wait] = field(default_factory=dict)

    tools: int = 0
    tool_errors: int = 0
    turns: int = 0
    retries: int = 0
    usage: ev.Usage = field(default_factory=ev.Usage)
    message_usage: ev.Usage = field(default_factory=ev.Usage)
    cost_usd: float | None = None
    usage_before: ev.Usage = field(default_factory=ev.Usage)
    usage_runs_on: bool = False
    cost_before: float = 0.0
    cost_runs_on: bool = False

    turn_open: bool = False
    resumed: bool = False  # its totals show a past
    interrupted: bool = False
    interrupted_at: int | None = None  # somebody sent it SIGINT
    last_error: str | None = None
    answer_error: str | None = None
    host_error: str | None = None  # what the program that spawned it calls its end, if that failed
    last_result_at: int | None = None  # a result was printed and nothing has begun since
    last_tool_result_at: int | None = None  # a tool ended and the model has not spoken since

    # What the fold works out; nobody gives these.
    root: Activity = field(default_factory=lambda: Activity("session", "", "", 0))
    turn: Activity | None = None
    only_turn: ev.TurnFinished | None = None  # one was finished so far
    may_wake: bool = False  # what it left at work may begin a turn
    turns_begun: int = 0
    turn_cost_base: float | None = None
    line_moved: int | None = None
    calls: dict[str, Activity] = field(default_factory=dict)
    early_results: dict[str, ev.ToolFinished] = field(default_factory=dict)
    lanes: dict[str | None, Lane] = field(default_factory=dict)
    past_lanes: dict[str | None, Lane] = field(default_factory=dict)
    wait_activities: dict[str, Activity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = Activity("session", self.run_id, self.engine, self.started)
        self.last_sign = self.last_sign or self.started
        self.lanes[None] = Lane(self.root)
        self.lanes[None].ask(self.started)

    @property
    def main(self) -> Lane:
        """The main agent's lane."""
        return self.lanes[None]

    @property
    def model_asked_at(self) -> int | None:
        """Since when the main agent's model owes an answer, None while it does not."""
        return self.main.asked_at

    @property
    def subagents(self) -> list[Activity]:
        """The subagents at work."""
        return [task for task in self.tasks.values() if task.kind == "agent"]

    @property
    def tokens(self) -> ev.Usage:
        """What this run used: by the engine's totals, or by its messages where it printed none."""
        if self.usage == ev.Usage():
            return self.message_usage
        return self.usage - self.usage_before if self.usage_runs_on else self.usage

    @property
    def cost(self) -> float | None:
        """What this run cost, in US dollars."""
        if self.cost_usd is None or not self.cost_runs_on or self.cost_usd < self.cost_before:
            return self.cost_usd
        return self.cost_usd - self.cost_before

    def resumes(self, usage: ev.Usage | None, cost_usd: float | None) -> None:
        """Take over what an earlier run of this session printed last.

        Engines that print totals go on from there.
        """
        self.usage_before, self.cost_before = usage or ev.Usage(), cost_usd or 0.0

    @property
    def lags(self) -> bool:
        """Whether all that is known of it comes from its files, which tell things a little late."""
        return self.followed and self.headless is False and self.serves is None

    @property
    def understood(self) -> bool:
        """Whether anything that it said was decoded: else next to nothing is known of it."""
        return self.events > self.stray_lines

    @property
    def silent(self) -> bool:
        """Whether it has not said a thing since it was started."""
        return self.lines == 0 and self.output == 0

    def heard(self, size: int, at: int) -> None:
        """Count bytes of output: a sign of life, if no line yet."""
        self.output += size
        self.last_sign = max(self.last_sign, at)
        if not self.lines_known:
            self.main.progress = self.last_sign

    def line(self, at: int) -> None:
        """Count a line of output: a sign of life, whatever it says.

        It also moves the main agent on, until the events it decodes to say otherwise
        (`fold.progress`): a line that nobody understands must not make a session look hung.
        """
        self.lines += 1
        self.last_sign = max(self.last_sign, at)
        main = self.lanes[None]
        self.line_moved, main.progress = main.progress, max(main.progress, at)

    def child(
        self, parent: Activity, kind: ActivityKind, key: str, at: int, name: str = ""
    ) -> Activity:
        """Begin an activity under `parent`."""
        child = begin(kind, key, name or key, at, parent)
        child.last_sign = child.progress = child.start
        child.recalled = self.recalling and not self.lags and kind in ("tool", "agent")
        if self.followed:
            child.hold()
        return child

    def remember(self, call: Activity) -> None:
        """Keep a tool call findable by its id, also after its end; ids may be used again."""
        self.calls.pop(call.key, None)
        self.calls[call.key] = call
        if len(self.calls) > _REMEMBERED_CALLS:
            del self.calls[next(iter(self.calls))]

    def expect_call(self, result: ev.ToolFinished) -> None:
        """Keep a result that came before its call, which is over when it comes."""
        if result.id not in self.calls:  # else it is an old one's, told again
            self.early_results[result.id] = result
            if len(self.early_results) > _REMEMBERED_LANES:
                del self.early_results[next(iter(self.early_results))]

    def over(self, key: str | None, lane: Lane) -> None:
        """Let a subagent's lane go; where files may tell more of it, keep it for a while."""
        del self.lanes[key]
        if self.followed:
            self.past_lanes[key] = lane
            if len(self.past_lanes) > _REMEMBERED_LANES:
                del self.past_lanes[next(iter(self.past_lanes))]

    def full(self, *tables: Mapping[str, object], what: str) -> bool:
        """Whether no more of a kind can be open in `tables`; counts what is turned away."""
        if sum(map(len, tables)) < MOST_OPEN:
            return False
        self.odd(f"too_many_{what}")
        return True

    def odd(self, what: str) -> None:
        """Count something that should not happen and that we survive."""
        self.oddities[what] = self.oddities.get(what, 0) + 1
