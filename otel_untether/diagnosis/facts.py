"""What is known about a silent session at one moment; all of it may be unknown.

A fact is True, False or None, and None means *unknown*: it never counts as idle and supports
no kill. Times are ns since the epoch, spans of time are seconds.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from otel_untether.diagnosis.clocks import main_owes, starts_subagent
from otel_untether.diagnosis.scene import Connection, Scene, of_the_model, picture
from otel_untether.diagnosis.ternary import Fact, always, at_least, below, negated
from otel_untether.diagnosis.work import STREAM_BOUND, WRITING, received, wants, work_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.diagnosis.clocks import ProgressClock
    from otel_untether.proc_diag.deep_look import DeepLook, TranscriptLook
    from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot, TreeSnapshot
    from otel_untether.session.activity import Activity
    from otel_untether.session.state import SessionState

SECOND: Final = 10**9
# One whole core less what the scheduler takes: a loop that never sleeps, on a shared machine.
BUSY: Final = 0.5
# An event loop that spins beside its timers takes less, but never pauses.
BUSY_FOR_LONG: Final = 0.25
# A thread that hardly ever sleeps: it runs, or waits for its turn.
HUNGRY: Final = 0.75
# Who wants a core all the time and gets less than this of one may be working, and takes for ever.
STARVED: Final = 0.08


class Facts(Struct, eq=False, dict=True):
    """A session and its process tree, as far as silence is concerned.

    `clock` is what ran out, or would next; `quiet` how many seconds of it nothing explained.
    `window` are the last samples, newest last, without a gap between them, and `recent` the
    last few of them; empty when there are none or they are too old to speak for now. `looks`
    are the last deep looks of this silence, the newest last, `earlier` one from as long ago as
    nothing must have been done for a kill, if there is one. `tainted` says that this session
    continues one that stalled or was killed, `prompted` that it was given a prompt after its
    last result. `met` is when (ns) each member was first seen: it is as old as that at least.
    `seen_at` is when (ns) the connections were seen whose ages are told: with the newest look,
    or the newest sample where there is none.
    """

    state: SessionState
    config: WatchdogConfig
    now: int
    clock: ProgressClock
    quiet: float
    recent: tuple[TreeSnapshot, ...] = ()
    window: tuple[TreeSnapshot, ...] = ()
    looks: tuple[DeepLook, ...] = ()
    tainted: bool = False
    prompted: bool = False
    blocked_since: int | None = None
    earlier: DeepLook | None = None
    met: Mapping[Identity, int] = {}
    seen_at: int | None = None

    def timed(self, clock: ProgressClock, quiet: float) -> Facts:
        """Judge by another clock; nothing that is kept once worked out depends on it."""
        self.clock, self.quiet = clock, quiet
        return self

    @cached_property
    def scene(self) -> Scene:
        """The process tree as one picture."""
        return picture(self.newest, self.look)

    @property
    def idle(self) -> float:
        """Seconds since the last sign of life."""
        return max(0, self.now - self.state.last_sign) / SECOND

    @property
    def heard(self) -> bool:
        """Whether it was heard of since it last moved on: heartbeats only."""
        return self.state.last_sign - self.clock.since > SECOND

    @cached_property
    def look(self) -> DeepLook | None:
        """The newest deep look."""
        return self.looks[-1] if self.looks else None

    @cached_property
    def newest(self) -> TreeSnapshot | None:
        """The newest sample."""
        return self.recent[-1] if self.recent else None

    @cached_property
    def agent(self) -> ProcessSnapshot | None:
        """The agent's own process."""
        return self.scene.agent

    @cached_property
    def children(self) -> tuple[ProcessSnapshot, ...]:
        """The living members other than the agent and its launchers."""
        return self.scene.children

    @cached_property
    def bystanders(self) -> frozenset[Identity]:
        """The children for which the silence does not wait: what was left in the background.

        A server at a terminal of its own, or a job that is stopped, may stay as it is for ever.
        It is one of them while the model owes an answer on a connection, or if it was there
        before the oldest open call began, and others came since.

            Bash has been open since 12:00; `npm run dev` was met at 11:50, `sleep` at 12:00:05
            bystanders: `npm run dev`
        """
        state = self.state
        if state.silent or state.waits or not state.understood:
            return frozenset()
        calls = [call for call in state.open.values() if not call.left]
        if calls:
            begun = min(call.start for call in calls)
            asked = any(call.mcp_server for call in calls)
            served = [p for p in self.children if asked and self._serves(p)]
            old = [p for p in self.children if self.is_older(p, begun) and p not in served]
            return frozenset(p.identity for p in old if len(old) < len(self.children))
        owed = main_owes(state) and self.model is not None and self.model.established
        alone = owed and not self.tools_unnamed
        return frozenset(p.identity for p in self.children if alone)

    @property
    def concerned(self) -> tuple[ProcessSnapshot, ...]:
        """The agent, and those of its children that are no bystanders."""
        own = (self.agent,) if self.agent else ()
        return (*own, *(p for p in self.children if p.identity not in self.bystanders))

    def _serves(self, process: ProcessSnapshot) -> bool:
        """Whether it is a server of the agent's, not a tool: in the agent's own session."""
        return self.agent is not None and process.sid == self.agent.sid

    def is_older(self, process: ProcessSnapshot, at: int) -> bool:
        """Whether it was there before `at` (ns), a sample's time at least."""
        met = self.met.get(process.identity, self.now)
        return met + round(self.config.sample_interval * SECOND) < at

    @cached_property
    def tools_unnamed(self) -> tuple[ProcessSnapshot, ...]:
        """The processes of tools that no line has named, where the engine names them late.

        What was there before the model spoke the last time was left running.
        """
        processes, understood = self.tool_processes, self.state.understood
        if not processes or (understood and not self.state.traits.names_tools_late):
            return ()
        spoke = max((e.at for e in self.state.recent if e.type == "ModelMessage"), default=0)
        return tuple(p for p in processes if not (understood and self.is_older(p, spoke)))

    @cached_property
    def tools(self) -> tuple[Activity, ...]:
        """The calls that somebody waits for, those that started a subagent left out."""
        calls = self.state.open.values()
        return tuple(call for call in calls if not call.left and not starts_subagent(call))

    @cached_property
    def subagents(self) -> tuple[Activity, ...]:
        """The subagents at work; where none has shown itself, the calls that started them."""
        calls = self.state.open.values()
        return tuple(self.state.subagents) or tuple(filter(starts_subagent, calls))

    @cached_property
    def sockets(self) -> tuple[Connection, ...] | None:
        """The agent's connections, None when they could not be told."""
        return self.scene.sockets

    @cached_property
    def established(self) -> tuple[Connection, ...]:
        """Those of them on which something could come in."""
        return tuple(s for s in self.sockets or () if s.established)

    @cached_property
    def model(self) -> Connection | None:
        """The agent's connection that most likely leads to its model."""
        return of_the_model(self.sockets or (), self._asked)

    @property
    def _asked(self) -> float | None:
        asked = self.state.model_asked_at
        return None if asked is None else self._before_seen(asked)

    def _before_seen(self, at: int) -> float:
        """Return how many seconds before the connections were seen that was: as ages are told.

        A look is up to a sample older than now; against now, a connection used so much earlier
        than the model was asked would be taken for the one that leads to it.
        """
        seen = self.now if self.seen_at is None else self.seen_at
        return max(0, seen - at) / SECOND

    @property
    def alive(self) -> Fact:
        """Whether the process that was started lives; a zombie does not."""
        return self.newest.alive if self.newest else None

    @cached_property
    def ended(self) -> Fact:
        """Whether it was gone in every recent sample."""
        return always([negated(sample.alive) for sample in self.recent])

    @property
    def cpu(self) -> float | None:
        """Cores that the whole tree uses."""
        return self.newest.cpu_rate if self.newest else None

    @property
    def receive_age(self) -> float | None:
        """Seconds since a byte came in on the model's connection."""
        return self.model.receive_age if self.model else None

    @cached_property
    def receive_rate(self) -> float | None:
        """Bytes a second that came in on the model's connection of late."""
        if self.model is None or len(self.looks) < 2:
            return None
        return received(self.looks[-1], self.looks[0], self.model.inode)

    @property
    def asked_since(self) -> Fact:
        """Whether anything was sent out since the last tool ended, a second's slack allowed."""
        if self.state.last_tool_result_at is None:
            return None
        ages = [s.send_age for s in self.established if s.send_age is not None]
        age = self._before_seen(self.state.last_tool_result_at)
        return None if not ages else min(ages) <= age + 1

    @cached_property
    def resting(self) -> Fact:
        """Whether the tree used next to no CPU in every recent sample."""
        bound = self.config.cpu_idle_bound
        return always([below(sample.cpu_rate, bound) for sample in self.recent])

    @cached_property
    def agent_cpu(self) -> float | None:
        """Cores that the agent itself uses, of late."""
        if self.newest is None or self.agent is None:
            return None
        leader = self.newest.leader
        if leader is not None and leader.identity == self.agent.identity:
            return self.newest.leader_cpu_rate
        return work_of(self.agent.identity, self.recent[-2:]).cpu

    @cached_property
    def agent_working(self) -> Fact:
        """Whether the agent itself used more than next to no CPU in every recent sample."""
        return self._agent_used(self.config.cpu_idle_bound)

    @cached_property
    def agent_busy(self) -> Fact:
        """Whether the agent itself kept a core busy in every recent sample."""
        return self._agent_used(BUSY)

    @cached_property
    def agent_spins(self) -> Fact:
        """Whether the agent used a good part of a core all through the window."""
        if self.agent is None or len(self.window) < _LONG:
            return None
        return always([at_least(work_of(self.agent.identity, self.window).cpu, BUSY_FOR_LONG)])

    @cached_property
    def agent_hungry(self) -> Fact:
        """Whether the agent ran, or was about to, all the time.

        On a crowded machine it gets less than it asks for, but asks all the time. A few samples
        show nothing there: who mostly sleeps waits for his turn as well.
        """
        if self.agent is None:
            return None
        looks, identity = self.looks, self.agent.identity
        wanted = wants(looks, identity) if len(looks) > 1 else None
        if wanted is not None and wanted >= HUNGRY:
            return True
        return self.steadily("R") if len(self.window) >= _LONG else at_least(wanted, HUNGRY)

    @cached_property
    def agent_starved(self) -> Fact:
        """Whether the agent asks for a core all the time and gets next to nothing of it."""
        if not self.agent_hungry or self.agent is None:
            return self.agent_hungry
        got = work_of(self.agent.identity, self.window).cpu
        return always([below(self.agent_cpu if got is None else got, STARVED)])

    def _agent_used(self, bound: float) -> Fact:
        if not self.recent or self.agent is None:
            return None
        leader = self.recent[-1].leader
        if leader is not None and leader.identity == self.agent.identity:
            return always([at_least(sample.leader_cpu_rate, bound) for sample in self.recent])
        return at_least(work_of(self.agent.identity, self.recent).cpu, bound)

    @cached_property
    def contradicted(self) -> bool:
        """Whether the tree belies that subagents are at work: they would need a connection."""
        if not self.subagents or self.tools or self.children or self.sockets is None:
            return False
        hungry = self.agent_hungry and not self.agent_starved
        busy = self.agent_busy or self.agent_spins or hungry
        return not self.sockets and bool(busy)

    @property
    def writes_elsewhere(self) -> bool:
        """Whether the agent writes while its output is silent: to its transcript, say."""
        if self.transcript_grows:
            return True
        if self.agent is None or self.heard:
            return False
        # What it wrote before it fell silent was its output.
        slack = 2 * self.config.sample_interval
        begun = self.window[-1].at - self.idle + slack if self.window else 0.0
        since = tuple(sample for sample in self.window if sample.at > begun)
        return (work_of(self.agent.identity, since).written or 0.0) >= WRITING

    @property
    def transcript(self) -> TranscriptLook | None:
        """The file that it writes its session down in, None where that was not found."""
        return self.look.transcript if self.look else None

    @property
    def transcript_age(self) -> float | None:
        """Seconds since its transcript was written."""
        seen = self.transcript
        return None if seen is None else max(0.0, self.now / SECOND - seen.modified)

    @property
    def transcript_grows(self) -> bool:
        """Whether its transcript was written of late, and since it fell silent."""
        age, slack = self.transcript_age, 2 * self.config.sample_interval
        if age is None:
            return False
        return age < min(self.idle - slack, self.config.liveness_timeout / 2)

    @cached_property
    def nothing_can_wake_it(self) -> Fact:
        """Whether the samples show that it lives, runs nothing, and has no connection."""
        sockets = self.sockets
        connected = None if sockets is None else not sockets
        return always([self.alive, connected, self.resting])

    def steadily(self, state: str) -> Fact:
        """Whether the agent process was in `state` in every sample of the window."""
        if self.agent is None:
            return None
        identity = self.agent.identity
        found = [sample.member(identity) for sample in self.window]
        return always([p.state == state if p is not None and p.state else None for p in found])

    @cached_property
    def streaming(self) -> Fact:
        """Whether bytes still arrive on the model's connection, keep-alives included."""
        if self.sockets is None or (self.model is not None and self.receive_age is None):
            return None
        # Providers ping an idle stream every 15 s or so, hence a share of the threshold.
        recent = self.receive_age is not None and self.receive_age < self.config.stall_timeout / 4
        return self.model is not None and self.model.established and recent

    @cached_property
    def answering(self) -> Fact:
        """Whether so many bytes arrive that they are an answer, and no keep-alives."""
        return always([self.streaming, at_least(self.receive_rate, STREAM_BOUND)])

    @cached_property
    def tool_processes(self) -> tuple[ProcessSnapshot, ...] | None:
        """The members in a session of their own, None if that is unknown for one of them.

        Every CLI starts the shell of a tool with setsid, and its MCP servers without.
        """
        if self.agent is None or self.agent.sid is None:
            return None
        if any(child.sid is None for child in self.children):
            return None
        return tuple(child for child in self.children if child.sid != self.agent.sid)

    @cached_property
    def tools_at_work(self) -> tuple[ProcessSnapshot, ...]:
        """The processes of a tool that did something over the window: CPU, files, the network."""
        fed = self._fed()
        children = self.tool_processes or self.children
        return tuple(it for it in children if it.identity.pid in fed or self._works(it))

    @property
    def work_is_known(self) -> bool:
        """Whether there are samples enough to tell who works, as after a hole there are not."""
        return len(self._lately) > 1

    def _works(self, process: ProcessSnapshot) -> bool:
        """Whether a process did something over the window, or would have, had it had its turn."""
        if work_of(process.identity, self._lately).above(self.config.cpu_idle_bound):
            return True
        return bool(self._met_running) and self._met_running[process.identity] > 1

    @cached_property
    def _met_running(self) -> Counter[Identity]:
        """How often each process was met running, or about to, in the recent samples."""
        return Counter(p.identity for s in self.recent for p in s.processes if p.state == "R")

    @cached_property
    def _lately(self) -> tuple[TreeSnapshot, ...]:
        """The samples of half a tool's time at most: its start is no sign that it still works."""
        since = self.window[-1].at - self.config.tool_timeout / 2 if self.window else 0.0
        lately = tuple(s for s in self.window if s.at >= since)
        return lately if len(lately) > len(self.recent) else self.recent

    def _fed(self) -> set[int]:
        """Return the pids to which bytes came on a connection since the sample before last."""
        sockets = (self.look.outward if self.look else None) or ()
        fresh = 2 * self.config.sample_interval
        own = self.agent.identity.pid if self.agent else 0
        return {
            s.owner.pid
            for s in sockets
            if s.receive_age is not None and s.receive_age < fresh and s.owner.pid != own
        }


_LONG: Final = 6  # samples
