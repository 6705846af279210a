"""What each cause means, what it rests on, and what to do about it: said here, once.

The line for the operator, the attributes of a stall, `docs/stalls.md` and the runbooks all take
their words from this table.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Advice(NamedTuple):
    """`evidence` is what the rule rests on, `action` what a person can do next."""

    evidence: str
    action: str


ADVICE: Final[dict[str, Advice]] = {
    "orphan_holds_output": Advice(
        "the agent is gone, a process it left holds its stdout", "end that process"
    ),
    "dead": Advice("the agent is gone, its end was not noticed", "restart it"),
    "frozen": Advice(
        "the control group of the tree, or one above, is frozen",
        "thaw it: docker unpause, systemctl thaw",
    ),
    "stopped": Advice(
        "state T or t: SIGSTOP, a debugger, a read of the terminal from the background",
        "kill -CONT the process named; leave the debugger",
    ),
    "disk_wait": Advice(
        "state D in every recent sample, or a thread that waits in a file system (FUSE, NFS)",
        "look at the mount that the wait channel names; no signal helps",
    ),
    "output_blocked": Advice("the agent waits to write to a full pipe", "read its output faster"),
    "hook_hung": Advice(
        "a hook, or the host that runs it, has not answered in its time", "fix the hook"
    ),
    "compaction_hung": Advice(
        "a compaction began and has not ended in its time, beats or not",
        "restart with less context",
    ),
    "model_unreachable": Advice(
        "retries for longer than the threshold, none of them answered; or it wakes without a "
        "connection, and connections are refused here",
        "check the network and proxy",
    ),
    "retrying": Advice(
        "retries for longer than the threshold, each of them turned away by the server: no stall",
        "wait, or look at the provider's status and your quota",
    ),
    "awaiting_terminal": Advice(
        "a process reads a terminal, or waits for it in select or epoll (git, ssh, an editor)",
        "end it; run it non-interactively (GIT_TERMINAL_PROMPT=0, EDITOR=true, PAGER=cat)",
    ),
    "lock_wait": Advice(
        "a process, or one of its threads, waits for a file lock in every recent sample",
        "find the holder: lslocks",
    ),
    "memory_pressure": Advice(
        "PSI full of 10 % or more, of the machine or the agent's control group, or an OOM kill",
        "free memory, or raise the limit",
    ),
    "prompt_unanswered": Advice(
        "a prompt lies in its input since its last result, or was taken: no thread waits for input",
        "restart it and send the prompt again",
    ),
    "cpu_starved": Advice(
        "the agent ran or waited for its turn all the time, and ran for less than 8 % of it",
        "give the machine less to do, or the agent more of it (nice, CPU weight or quota)",
    ),
    "spinning": Advice(
        "the agent itself used half a core, hardly ever slept (it ran or waited for its turn), or "
        "used a quarter of a core for long",
        "restart it; top -H -p PID names the thread",
    ),
    "wedged": Advice(
        "every thread of every process waits in a known harmless place, nothing leads out of the "
        "tree, no CPU, nothing expected",
        "restart it: it will not come back",
    ),
    "tool_running": Advice(
        "a tool's processes used CPU, files or the network of late: slow, not hung; believed for "
        "twice its time",
        "wait, or give it a longer tool_timeout",
    ),
    "awaiting_stdin": Advice(
        "the last process of a tool, or the agent, waits for input on a pipe",
        "close its stdin (</dev/null), or write to it",
    ),
    "mcp_hung": Advice("an MCP tool is open and makes no progress", "restart that MCP server"),
    "subagent_hung": Advice(
        "a subagent is open and makes no progress, whatever its siblings say", "wait, or restart"
    ),
    "tool_hung": Advice(
        "a tool is open, or its process lives, and does nothing", "end the tool's process"
    ),
    "awaiting_prompt": Advice(
        "the turn is over and the input open, in a program whose command line nobody knows: no "
        "stall",
        "send the next prompt, or close its stdin",
    ),
    "exit_limbo": Advice("the result is out, the process stays", "end it"),
    "network_lost": Advice(
        "SYN_SENT, CLOSE_WAIT, bytes that are never acknowledged, or a name service that does not "
        "answer",
        "check the network",
    ),
    "awaiting_request": Advice(
        "nothing was understood, and the input is open: perhaps a server between two requests; "
        "no stall",
        "nothing; name the engine with --engine if it is an agent",
    ),
    "startup_hang": Advice("not a line since the start", "check login, configuration, stdin"),
    "after_tool_result": Advice(
        "a tool returned and no byte was sent on any connection since", "restart it"
    ),
    "model_streaming": Advice(
        "an answer arrives at 200 bytes a second or more, and no line for all that time",
        "wait; end it if the answer never will",
    ),
    "model_silent": Advice(
        "an open connection on which nothing but keep-alives arrives",
        "wait for the CLI's own timeout (about 5 min); then look at the provider, or restart",
    ),
    "child_not_reading": Advice(
        "the agent waits to write to a process of its own that does not read",
        "end that process (an MCP server, a language server)",
    ),
    "agent_asleep": Advice(
        "the agent sleeps without a connection; something else of its tree listens or works, or "
        "others may write to a pipe that it reads",
        "look at the process named: if it is no part of the work, restart the agent",
    ),
    "unexplained": Advice("too little is known, or nothing of the above", "look at the dump"),
}

# What explains a silence that is all right; the answer is somebody's, or time's.
EXCUSED: Final[dict[str, str]] = {
    "awaiting_approval": "answer the approval or question",
    "rate_limited": "wait for the limit's reset",
    "scheduled": "wait for the time it named",
    "hook_running": "wait for the hook",
    "compacting": "wait for the compaction",
}


RUNBOOKS: Final = "docs/runbooks.md"
"""Where a section about each cause is, in the project; `[watchdog] runbooks` says where else."""


def runbook(cause: str, runbooks: str | None) -> str | None:
    """Return where there is more about a cause, None for what has no section.

    >>> runbook("model_silent", "https://runbooks.example/runbooks.md")
    'https://runbooks.example/runbooks.md#model_silent'

    :param cause: the cause, or what explains the silence.
    :param runbooks: where the runbooks are published, None for nowhere.
    """
    known = cause in ADVICE or cause in EXCUSED
    return f"{runbooks or RUNBOOKS}#{cause}" if known else None


def action(cause: str) -> str | None:
    """Return what to do about a cause, None where nothing is to be done."""
    known = ADVICE.get(cause)
    return known.action if known is not None else EXCUSED.get(cause)
