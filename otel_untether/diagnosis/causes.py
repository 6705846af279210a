"""Why an agent is silent: a table of rules, tried in order.

A rule looks at the facts and returns its evidence, sentences with numbers, or None when it
does not apply. The first sentence completes "silent for 5 min: …". A rule asserts only what is
known; where nothing can be told, `unexplained` says so. What a cause means and what to do about
it is in `advice`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.diagnosis import process_rules as process
from otel_untether.diagnosis import session_rules as session

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.diagnosis.facts import Facts


class Rule(NamedTuple):
    """A cause and its test; `stall` is False where it explains a silence that is all right."""

    cause: str
    test: Callable[[Facts], tuple[str, ...] | None]
    stall: bool = True


class Explanation(NamedTuple):
    """The cause that fits, with its evidence."""

    cause: str
    evidence: tuple[str, ...]
    stall: bool


RULES: Final = (
    # Nobody is there any more.
    Rule("orphan_holds_output", process.orphan_holds_output),
    Rule("dead", process.dead),
    # Whatever else holds, a process in one of these states does not run.
    Rule("frozen", process.frozen),
    Rule("stopped", process.stopped),
    Rule("disk_wait", process.disk_wait),
    Rule("output_blocked", process.output_blocked),
    # It waits for something that has a name.
    Rule("hook_hung", session.hook_hung),
    Rule("compaction_hung", session.compaction_hung),
    Rule("model_unreachable", session.model_unreachable),
    Rule("retrying", session.retrying, stall=False),
    Rule("awaiting_terminal", process.awaiting_terminal),
    Rule("lock_wait", process.lock_wait),
    Rule("memory_pressure", process.memory_pressure),
    Rule("prompt_unanswered", session.prompt_unread),
    # It works without saying anything.
    Rule("cpu_starved", process.cpu_starved),
    Rule("spinning", process.spinning),
    Rule("model_unreachable", session.refused),
    # A tool or a subagent has the floor.
    Rule("wedged", session.wedged_in_a_call),
    Rule("tool_running", session.tool_running, stall=False),
    Rule("child_not_reading", process.child_not_reading),
    Rule("awaiting_stdin", process.tool_awaits_stdin),
    Rule("mcp_hung", session.mcp_hung),
    Rule("subagent_hung", session.subagent_hung),
    Rule("tool_hung", session.tool_hung),
    Rule("awaiting_prompt", session.awaiting_prompt, stall=False),
    Rule("awaiting_prompt", session.awaiting_first_prompt, stall=False),
    Rule("exit_limbo", session.exit_limbo),
    # The model has it, or nobody.
    Rule("network_lost", process.network_lost),
    Rule("awaiting_request", session.awaiting_request, stall=False),
    Rule("awaiting_stdin", process.agent_awaits_stdin),
    Rule("startup_hang", session.startup_hang),
    Rule("after_tool_result", session.after_tool_result),
    Rule("model_streaming", session.model_streaming),
    Rule("model_silent", session.model_silent),
    Rule("prompt_unanswered", session.prompt_taken),
    Rule("wedged", session.wedged),
    Rule("agent_asleep", process.agent_asleep),
    Rule("unexplained", session.unexplained),
)
CAUSES: Final = tuple(dict.fromkeys(rule.cause for rule in RULES))


def explain(facts: Facts) -> Explanation:
    """Return the first cause that fits; the last rule always does."""
    for rule in RULES:
        evidence = rule.test(facts)
        if evidence is not None:
            return Explanation(rule.cause, evidence, rule.stall)
    raise AssertionError("the last rule fits everything")


def explain_as(cause: str, facts: Facts) -> Explanation | None:
    """Return the explanation by one cause, None if it does not fit (any more)."""
    for rule in RULES:
        if rule.cause == cause and (evidence := rule.test(facts)) is not None:
            return Explanation(cause, evidence, rule.stall)
    return None


def needs_two_looks(cause: str, facts: Facts) -> bool:
    """Whether it takes a second look to tell: whether a thread wakes or spins, what arrives."""
    unsure = cause in ("wedged", "unexplained")
    return unsure or (bool(facts.streaming) and facts.receive_rate is None)
