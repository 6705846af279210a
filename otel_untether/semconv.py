"""Every span, attribute, event and metric name this package emits, in one place.

OpenTelemetry's own names come first; the GenAI conventions are in Development and still
move (https://github.com/open-telemetry/semantic-conventions-genai), so nothing outside this
module spells a name. Ours are ``untether.*``. ``docs/telemetry.md`` is generated from the
registries below, and a test compares them with what recorded sessions make us emit.
"""

# Without annotations from __future__: named tuples are made of real ones in half the time.
from typing import Final, Literal, NamedTuple

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"
SCOPE: Final = "otel_untether"
SCOPE_VERSION: Final = "0.1.0"  # the package's, too

AttributeType = Literal["string", "int", "double", "boolean", "string[]"]
Instrument = Literal[
    "counter",
    "updowncounter",
    "histogram",
    "observable_gauge",
    "observable_counter",
    "observable_updowncounter",
]


class Attribute(NamedTuple):
    """One attribute: its value's type and what it says."""

    name: str
    type: AttributeType
    brief: str


class Metric(NamedTuple):
    """One instrument; `unit` is UCUM, `boundaries` are explicit bucket bounds in that unit."""

    name: str
    instrument: Instrument
    unit: str
    brief: str
    attributes: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()


ATTRIBUTES: Final[dict[str, Attribute]] = {}
EVENTS: Final[dict[str, str]] = {}
SPANS: Final[dict[str, str]] = {}
METRICS: Final[dict[str, Metric]] = {}


def _attribute(name: str, type_: AttributeType, brief: str) -> str:
    ATTRIBUTES[name] = Attribute(name, type_, brief)
    return name


def _event(name: str, brief: str) -> str:
    EVENTS[name] = brief
    return name


def _span(name: str, brief: str) -> str:
    SPANS[name] = brief
    return name


def _metric(
    name: str,
    instrument: Instrument,
    unit: str,
    brief: str,
    attributes: tuple[str, ...] = (),
    boundaries: tuple[float, ...] = (),
) -> Metric:
    METRICS[name] = metric = Metric(name, instrument, unit, brief, attributes, boundaries)
    return metric


# Spans. A name in braces is filled in; the operation before it is also `gen_ai.operation.name`.
SPAN_INVOKE_AGENT: Final = _span(
    "invoke_agent", "A session (root, spawn to exit) or, below a tool, a subagent."
)
SPAN_TURN: Final = _span("turn", "One prompt, where one process serves several.")
SPAN_CHAT: Final = _span("chat", "The model's turn to speak, until its message is complete.")
SPAN_EXECUTE_TOOL: Final = _span("execute_tool", "A tool call, until its result.")
SPAN_WAIT: Final = _span("untether.wait", "The agent asked somebody and waited for the answer.")
SPAN_STALL: Final = _span("untether.stall", "Silence: last sign of life until this warning.")
SPAN_STARTED: Final = _span(
    "untether.session.started", "A marker exported at once, so that a running session is visible."
)

# GenAI conventions.
OPERATION_NAME: Final = _attribute(
    "gen_ai.operation.name", "string", "invoke_agent, chat or execute_tool."
)
AGENT_NAME: Final = _attribute("gen_ai.agent.name", "string", "The engine, or the subagent's type.")
AGENT_ID: Final = _attribute("gen_ai.agent.id", "string", "The engine's own id of a subagent.")
CONVERSATION_ID: Final = _attribute(
    "gen_ai.conversation.id", "string", "The engine's own session id; never invented."
)
PROVIDER_NAME: Final = _attribute("gen_ai.provider.name", "string", "Who serves the model.")
REQUEST_MODEL: Final = _attribute("gen_ai.request.model", "string", "The model asked for.")
RESPONSE_MODEL: Final = _attribute("gen_ai.response.model", "string", "The model that answered.")
RESPONSE_ID: Final = _attribute("gen_ai.response.id", "string", "The model message's id.")
FINISH_REASONS: Final = _attribute(
    "gen_ai.response.finish_reasons", "string[]", "Why the model stopped."
)
INPUT_TOKENS: Final = _attribute(
    "gen_ai.usage.input_tokens", "int", "Tokens read, cached ones included."
)
OUTPUT_TOKENS: Final = _attribute("gen_ai.usage.output_tokens", "int", "Tokens written.")
CACHE_READ_TOKENS: Final = _attribute(
    "gen_ai.usage.cache_read.input_tokens", "int", "Of the input, tokens read from a cache."
)
CACHE_WRITE_TOKENS: Final = _attribute(
    "gen_ai.usage.cache_write.input_tokens", "int", "Of the input, tokens written to a cache."
)
REASONING_TOKENS: Final = _attribute(
    "gen_ai.usage.reasoning.output_tokens", "int", "Of the output, tokens of reasoning."
)
TOOL_NAME: Final = _attribute("gen_ai.tool.name", "string", "The tool as the engine calls it.")
TOOL_CALL_ID: Final = _attribute("gen_ai.tool.call.id", "string", "The engine's id of the call.")
TOOL_TYPE: Final = _attribute("gen_ai.tool.type", "string", "function, extension or datastore.")
TOOL_ARGUMENTS: Final = _attribute(
    "gen_ai.tool.call.arguments", "string", "JSON, truncated and redacted; only on opt-in."
)
TOOL_RESULT: Final = _attribute(
    "gen_ai.tool.call.result", "string", "Text or JSON, truncated and redacted; only on opt-in."
)

# Core conventions.
ERROR_TYPE: Final = _attribute("error.type", "string", "Low-cardinality kind of failure.")
PROCESS_PID: Final = _attribute("process.pid", "int", "The agent process.")
PROCESS_EXECUTABLE: Final = _attribute(
    "process.executable.name", "string", "Its executable's base name."
)
PROCESS_EXIT_CODE: Final = _attribute(
    "process.exit.code", "int", "Exit code of the agent, or of a tool's command where known."
)

# Ours: the session.
RUN_ID: Final = _attribute("untether.run.id", "string", "One id per watched process.")
ENGINE: Final = _attribute("untether.engine", "string", "claude, codex, … or unknown.")
ENGINE_VERSION: Final = _attribute("untether.engine.version", "string", "As the engine reports it.")
OUTCOME: Final = _attribute(
    "untether.session.outcome",
    "string",
    "completed, failed, interrupted, terminated, killed, orphaned or unknown.",
)
STALLED: Final = _attribute("untether.session.stalled", "boolean", "Whether it ever stalled.")
STALL_COUNT: Final = _attribute("untether.session.stall_count", "int", "Stall warnings given.")
TURNS: Final = _attribute("untether.session.turns", "int", "Prompts and wake-ups worked through.")
TOOLS: Final = _attribute("untether.session.tools", "int", "Tool calls seen.")
TOOL_ERRORS: Final = _attribute("untether.session.tool_errors", "int", "Of them, failed.")
COST_USD: Final = _attribute("untether.session.cost_usd", "double", "Cost in US dollars.")
DURATION: Final = _attribute("untether.session.duration_s", "double", "Spawn to exit, seconds.")
RESUMED: Final = _attribute(
    "untether.session.resumed", "boolean", "Whether it continues an earlier session."
)
TAINTED: Final = _attribute(
    "untether.session.tainted", "boolean", "Whether the session it continues stalled or was killed."
)
LINES: Final = _attribute("untether.session.lines", "int", "Lines of output read.")
BRANCHED_FROM: Final = _attribute(
    "untether.turn.branched_from",
    "string",
    "The entry of the agent's own file to which somebody went back for this prompt, or `start`.",
)
STRAY_LINES: Final = _attribute(
    "untether.session.stray_lines", "int", "Of them, not understood (still signs of life)."
)
ODDITIES: Final = _attribute(
    "untether.session.oddities",
    "string[]",
    "What should not happen and was survived, with how often: `result_without_call 3`.",
)
REASON: Final = _attribute(
    "untether.end.reason", "string", "Why a span ended whose own end was not seen."
)
LATE_PARENT: Final = _attribute(
    "untether.parent.missing", "string", "The parent id the engine named, which was not open."
)
PEAK_RSS: Final = _attribute(
    "untether.tree.memory.rss.peak", "int", "Most resident memory the process tree had, bytes."
)
PEAK_CPU: Final = _attribute(
    "untether.tree.cpu.utilization.peak", "double", "Most CPU the process tree used, cores."
)
PEAK_FDS: Final = _attribute(
    "untether.tree.fds.peak", "int", "Most descriptors the process tree had open."
)
PEAK_PROCESSES: Final = _attribute(
    "untether.tree.processes.peak", "int", "Most processes the tree had, the agent included."
)
PEAK_TCP: Final = _attribute(
    "untether.tree.tcp.connections.peak", "int", "Most TCP sockets the tree held."
)
TASK_KIND: Final = _attribute("untether.task.kind", "string", "agent, shell or the engine's word.")
BACKGROUND: Final = _attribute(
    "untether.tool.background", "boolean", "The call returned before its work ended."
)
DENIED: Final = _attribute("untether.tool.denied", "boolean", "The call was refused permission.")
DEPTH: Final = _attribute("untether.subagent.depth", "int", "1 for a subagent of the main agent.")
SUBAGENT_NAME: Final = _attribute(
    "untether.subagent.name", "string", "On a tool call: the type of subagent it asks for."
)
SUBAGENT_TOKENS: Final = _attribute(
    "untether.subagent.tokens", "int", "Tokens the engine says the subagent used."
)
SUBAGENT_TOOLS: Final = _attribute(
    "untether.subagent.tool_uses", "int", "Tool calls the engine says the subagent made."
)
MCP_SERVER: Final = _attribute("untether.mcp.server", "string", "The MCP server behind a tool.")
WAIT_KIND: Final = _attribute(
    "untether.wait.kind",
    "string",
    "approval, question, host, rate_limit, retry, compaction, scheduled, hook.",
)
MCP_FAILED: Final = _attribute(
    "untether.mcp.failed", "string[]", "MCP servers that did not connect when it began."
)
WAIT_ABOUT: Final = _attribute(
    "untether.wait.about", "string", "Whom it waits for: the hook, the tool, the host's part."
)
WAIT_ANSWER: Final = _attribute("untether.wait.answer", "string", "allow, deny, cancelled, …")
CONTENT_TRUNCATED: Final = _attribute(
    "untether.content.truncated", "boolean", "Captured content was cut."
)
RETRY_ATTEMPT: Final = _attribute("untether.retry.attempt", "int", "Which attempt this is.")
RETRY_MAX: Final = _attribute("untether.retry.max_attempts", "int", "How many there may be.")
RETRY_DELAY: Final = _attribute("untether.retry.delay_s", "double", "Back-off, seconds.")
HTTP_STATUS: Final = _attribute(
    "http.response.status_code", "int", "What the model's endpoint answered."
)
RATE_LIMIT_STATUS: Final = _attribute(
    "untether.rate_limit.status", "string", "allowed, allowed_warning or rejected."
)
RATE_LIMIT_RESETS_AT: Final = _attribute(
    "untether.rate_limit.resets_at", "int", "Seconds since the epoch."
)
COMPACTION_TRIGGER: Final = _attribute(
    "untether.compaction.trigger", "string", "auto, manual or the engine's word."
)
COMPACTION_TOKENS_BEFORE: Final = _attribute(
    "untether.compaction.tokens_before", "int", "Context size before."
)
COMPACTION_TOKENS_AFTER: Final = _attribute(
    "untether.compaction.tokens_after", "int", "Context size after."
)

# Ours: silence (on `untether.stall`, its event and its metrics).
STALL_CAUSE: Final = _attribute("untether.stall.cause", "string", "Why the agent is silent.")
STALL_IDLE: Final = _attribute("untether.stall.idle_s", "double", "Seconds of silence so far.")
STALL_NUMBER: Final = _attribute(
    "untether.stall.number", "int", "Which warning about this silence it is, from 1."
)
STALL_THRESHOLD: Final = _attribute(
    "untether.stall.threshold", "string", "Which threshold was reached: tool, silence, …"
)
STALL_THRESHOLD_S: Final = _attribute(
    "untether.stall.threshold_s", "double", "That threshold, seconds."
)
STALL_LAST_EVENT: Final = _attribute(
    "untether.stall.last_event", "string", "The last event's type."
)
STALL_LAST_TOOL: Final = _attribute("untether.stall.last_tool", "string", "The tool it was about.")
STALL_OPEN_CALLS: Final = _attribute(
    "untether.stall.open_calls", "string[]", "Names of the tools and subagents at work."
)
STALL_ALIVE: Final = _attribute(
    "untether.stall.process.alive", "boolean", "Whether the agent process lives."
)
STALL_PID: Final = _attribute("untether.stall.process.pid", "int", "The agent process.")
STALL_STATE: Final = _attribute(
    "untether.stall.process.state", "string", "Its state, as proc(5) has it: S, R, D, T, Z."
)
STALL_WCHAN: Final = _attribute(
    "untether.stall.process.wchan", "string", "The kernel function it waits in."
)
STALL_CPU: Final = _attribute(
    "untether.stall.tree.cpu", "double", "CPU the whole process tree uses, cores."
)
STALL_CONNECTIONS: Final = _attribute(
    "untether.stall.tree.connections",
    "int",
    "The agent's sockets that lead out of its tree, listening ones left out; absent when unknown.",
)
STALL_PEER: Final = _attribute(
    "untether.stall.tree.peer", "string", "Where the model's connection leads, as address:port."
)
STALL_RECEIVE_AGE: Final = _attribute(
    "untether.stall.tree.receive_age_s", "double", "Seconds since a byte came in on that one."
)
STALL_CHILDREN: Final = _attribute(
    "untether.stall.tree.children", "int", "Living processes below the agent."
)
STALL_CHILD_NAMES: Final = _attribute(
    "untether.stall.tree.child_names", "string[]", "Names of the first ten of them."
)
STALL_EVIDENCE: Final = _attribute(
    "untether.stall.evidence", "string[]", "What speaks for the cause, in words with numbers."
)
STALL_ADVICE: Final = _attribute("untether.stall.advice", "string", "What to do about it.")
STALL_RUNBOOK: Final = _attribute(
    "untether.stall.runbook", "string", "Where there is more about the cause: a link, or a page."
)
STALL_REQUEST_ID: Final = _attribute(
    "untether.stall.request_id", "string", "What the provider calls the last request told of."
)
STALL_TRANSCRIPT_AGE: Final = _attribute(
    "untether.stall.transcript.age_s", "double", "Seconds since its transcript was written."
)
STALL_PROGRESS: Final = _attribute(
    "untether.stall.no_progress_s",
    "double",
    "Seconds without progress: heartbeats are signs of life, and none of progress.",
)

# Ours: kills.
KILL_ACTION: Final = _attribute("untether.kill.action", "string", "kill, dry-run or veto.")
KILL_VETOES: Final = _attribute(
    "untether.kill.vetoes", "string[]", "What spoke against it, as codes."
)
KILL_REASONS: Final = _attribute("untether.kill.reasons", "string[]", "The same in words.")
KILL_CONFIRMATIONS: Final = _attribute(
    "untether.kill.confirmations", "int", "Samples in a row that agreed."
)
KILL_WINDOW: Final = _attribute(
    "untether.kill.window_s", "double", "For how long they agreed, seconds."
)
KILL_SIGNAL: Final = _attribute("untether.kill.signal", "string", "SIGTERM or SIGKILL.")
KILL_SIGNALLED: Final = _attribute(
    "untether.kill.signalled", "int", "Processes that were signalled."
)
KILL_SURVIVORS: Final = _attribute(
    "untether.kill.survivors", "string[]", "Who is still there, as pid and name."
)
LEFT_BEHIND: Final = _attribute(
    "untether.session.left_behind",
    "string[]",
    "Processes that outlived the agent, as pid and name.",
)
KILL_DURATION: Final = _attribute(
    "untether.kill.duration_s", "double", "From the first signal until nobody was left, seconds."
)

# Ours: events (each a span event and a log record).
EVENT_STALL_WARNING: Final = _event("untether.stall.warning", "The agent is silent for too long.")
EVENT_STALL_WAITING: Final = _event(
    "untether.stall.waiting", "The agent is silent for long, for a good reason."
)
EVENT_LIVENESS_EXPIRED: Final = _event(
    "untether.liveness.expired", "Alive, but silent for as long as liveness_timeout."
)
EVENT_KILL_DECIDED: Final = _event("untether.kill.decided", "The tree is to be killed, and why.")
EVENT_KILL_VETOED: Final = _event("untether.kill.vetoed", "The tree is spared, and why.")
EVENT_KILL_SIGNALLED: Final = _event("untether.kill.signalled", "A signal went to the tree.")
EVENT_KILL_COMPLETED: Final = _event("untether.kill.completed", "The kill is over; who is left.")
EVENT_STALL_RECOVERED: Final = _event(
    "untether.stall.recovered", "The agent gave a sign of life after a warning."
)
EVENT_SUMMARY: Final = _event("untether.session.summary", "How the session went, at its end.")
EVENT_RETRY: Final = _event("untether.agent.retry", "The agent backs off and asks again.")
EVENT_COMPACTED: Final = _event("untether.agent.compacted", "The agent compacted its context.")
EVENT_RATE_LIMITED: Final = _event("untether.agent.rate_limited", "The agent hit a rate limit.")
EVENT_EXCEPTION: Final = _event(
    "exception", "Code of the program's own failed that the agent waited for; of what kind."
)
EXCEPTION_TYPE: Final = _attribute("exception.type", "string", "The class of the exception.")

# Ours: what the program that spawned the agent did, and says where it has a watchdog of its own.
EVENT_HOST_INTERRUPT: Final = _event(
    "untether.host.interrupt", "The program asked the agent to stop what it is doing."
)
EVENT_HOST_ERROR: Final = _event(
    "untether.host.error", "The program counts the agent's run as failed, for a reason of its own."
)
HOST_ERROR: Final = _attribute(
    "untether.host.error.source",
    "string",
    "What made it fail, in the program's word (`process_error`, `stream_end`), or an exception.",
)
EVENT_HOST_VERDICT: Final = _event(
    "untether.host.verdict", "What the program's own watchdog says of the session."
)
HOST_VERDICT: Final = _attribute(
    "untether.host.verdict.name", "string", "The verdict, by the name that the program gives it."
)
HOST_REASON: Final = _attribute(
    "untether.host.verdict.reason", "string", "The reason that the program gives, if any."
)
HOST_AGREES: Final = _attribute(
    "untether.host.verdict.agrees",
    "boolean",
    "Of a verdict that the agent stalls: whether we find so, too, at that time.",
)
HOST_PROJECT: Final = _attribute(
    "untether.host.project", "string", "What the program calls the project, if it has such."
)

# Ours: attributes of metrics only.
SESSION_STATE: Final = _attribute(
    "untether.session.state", "string", "starting, working, waiting (for somebody), stalled, ended."
)
KILL_VETO: Final = _attribute(
    "untether.kill.veto", "string", "What spoke against a kill first, as a code, or dry-run."
)
ODDITY: Final = _attribute(
    "untether.oddity", "string", "Its kind: `result_without_call`, `recorder_error`, …"
)
TELEMETRY_SIGNAL: Final = _attribute(
    "untether.telemetry.signal", "string", "traces, metrics, logs."
)
SCOPE_GENERATION: Final = _attribute(
    "untether.scope.generation",
    "int",
    "Of a scope: how many came before it, in programs whose SDK forgets no series.",
)
CONNECTION_STATE: Final = _attribute(
    "network.connection.state", "string", "Of a TCP connection, as the core conventions name it."
)

# Metrics. Seconds up to four hours: a coding session outlives the usual buckets.
SECONDS: Final = (
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0,
)  # fmt: skip

# The fleet: labels are bounded, counts start with an exported 0 where their labels are known.
SESSIONS_ACTIVE: Final = _metric(
    "untether.sessions.active", "updowncounter", "{session}", "Sessions being watched.", (ENGINE,)
)
AGENT_DURATION: Final = _metric(
    "gen_ai.invoke_agent.duration",
    "histogram",
    "s",
    "How long sessions took, spawn to exit.",
    (ENGINE, AGENT_NAME, OUTCOME, ERROR_TYPE),
    SECONDS,
)
TOOL_DURATION: Final = _metric(
    "gen_ai.execute_tool.duration",
    "histogram",
    "s",
    "How long tool calls took.",
    (ENGINE, TOOL_NAME, TOOL_TYPE, ERROR_TYPE),
    SECONDS,
)
STALLS: Final = _metric(
    "untether.stalls", "counter", "{stall}", "Stall warnings given.", (ENGINE, STALL_CAUSE)
)
KILLS: Final = _metric(
    "untether.kills", "counter", "{kill}", "Sessions killed.", (ENGINE, STALL_CAUSE)
)
KILL_VETOED: Final = _metric(
    "untether.kill.vetoes",
    "counter",
    "{veto}",
    "Kills that were considered and not carried out.",
    (ENGINE, STALL_CAUSE, KILL_VETO),
)
KILL_SURVIVED: Final = _metric(
    "untether.kill.survivors",
    "counter",
    "{process}",
    "Processes still there after a kill.",
    (ENGINE,),
)
INPUT_USAGE: Final = _metric(
    "gen_ai.client.inference.usage.input_tokens",
    "counter",
    "{token}",
    "Tokens read, cached ones included.",
    (ENGINE, REQUEST_MODEL),
)
OUTPUT_USAGE: Final = _metric(
    "gen_ai.client.inference.usage.output_tokens",
    "counter",
    "{token}",
    "Tokens written.",
    (ENGINE, REQUEST_MODEL),
)
CACHE_READ_USAGE: Final = _metric(
    "gen_ai.client.inference.usage.cache_read.input_tokens",
    "counter",
    "{token}",
    "Of the input, tokens read from a cache.",
    (ENGINE, REQUEST_MODEL),
)
CACHE_WRITE_USAGE: Final = _metric(
    "gen_ai.client.inference.usage.cache_write.input_tokens",
    "counter",
    "{token}",
    "Of the input, tokens written to a cache.",
    (ENGINE, REQUEST_MODEL),
)
REASONING_USAGE: Final = _metric(
    "gen_ai.client.inference.usage.reasoning.output_tokens",
    "counter",
    "{token}",
    "Of the output, tokens of reasoning.",
    (ENGINE, REQUEST_MODEL),
)
COST: Final = _metric(
    "untether.cost", "counter", "USD", "What the engines say their sessions cost.", (ENGINE,)
)
EVENTS_DECODED: Final = _metric(
    "untether.events.decoded", "counter", "{event}", "Events understood.", (ENGINE,)
)
EVENTS_UNKNOWN: Final = _metric(
    "untether.events.unknown",
    "counter",
    "{event}",
    "Lines of output not understood.",
    (ENGINE,),
)
ODDITIES_COUNTED: Final = _metric(
    "untether.oddities",
    "counter",
    "{oddity}",
    "What should not happen in a session and was survived, a mistake of ours included.",
    (ENGINE, ODDITY),
)
TELEMETRY_LOST: Final = _metric(
    "untether.telemetry.lost",
    "counter",
    "{item}",
    "Spans, points and log records that are nowhere: neither a collector nor a disk took them.",
    (TELEMETRY_SIGNAL,),
)

# One live session, whose Resource says which: observed over its whole process tree.
TREE_CPU: Final = _metric(
    "untether.tree.cpu.utilization", "observable_gauge", "1", "CPU in use, in cores."
)
TREE_CPU_TIME: Final = _metric(
    "untether.tree.cpu.time",
    "observable_counter",
    "s",
    "CPU time used, by members that have ended too.",
)
TREE_RSS: Final = _metric("untether.tree.memory.rss", "observable_gauge", "By", "Resident memory.")
TREE_THREADS: Final = _metric("untether.tree.threads", "observable_gauge", "{thread}", "Threads.")
TREE_FDS: Final = _metric(
    "untether.tree.fds", "observable_gauge", "{file_descriptor}", "Open descriptors."
)
TREE_PROCESSES: Final = _metric(
    "untether.tree.processes", "observable_gauge", "{process}", "Living processes."
)
TREE_ZOMBIES: Final = _metric(
    "untether.tree.zombies",
    "observable_gauge",
    "{process}",
    "Processes that ended and were not waited for.",
)
TREE_CONNECTIONS: Final = _metric(
    "untether.tree.tcp.connections",
    "observable_gauge",
    "{connection}",
    "TCP sockets that members hold, by state.",
    (CONNECTION_STATE,),
)
TREE_RECEIVE_AGE: Final = _metric(
    "untether.tree.tcp.receive_age",
    "observable_gauge",
    "s",
    "Since any established connection last received data.",
)
TREE_IO_READ: Final = _metric(
    "untether.tree.io.read", "observable_counter", "By", "Bytes read by system calls."
)
TREE_IO_WRITE: Final = _metric(
    "untether.tree.io.write", "observable_counter", "By", "Bytes written by system calls."
)
SESSION_IDLE: Final = _metric(
    "untether.session.idle", "observable_gauge", "s", "Since the last line of output."
)
SESSION_LAST_EVENT: Final = _metric(
    "untether.session.last_event.timestamp",
    "observable_gauge",
    "s",
    "When the last line of output came, since the epoch.",
)
SESSION_STATES: Final = _metric(
    "untether.session.state",
    "observable_gauge",
    "{session}",
    "1 for the state it is in, 0 for those it was in; a stalled one has a cause.",
    (SESSION_STATE, STALL_CAUSE),
)
SESSION_OPEN_TOOLS: Final = _metric(
    "untether.session.open_tools",
    "observable_gauge",
    "{tool_call}",
    "Tool calls whose result has not come.",
)
