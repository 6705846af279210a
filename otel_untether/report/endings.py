"""What it means that a session ended as it did, and what to do: for ends that are no stall."""

from __future__ import annotations

from typing import Final, NamedTuple


class Ending(NamedTuple):
    """`why` in words, and what to do `next`."""

    why: str
    next: str


ENDINGS: Final[dict[str, Ending]] = {
    "no_result": Ending(
        "it exited with status 0 in the middle of a turn, without a result",
        "look at its stderr; resume the session, or run it again",
    ),
    "watcher_lost": Ending(
        "what watched it was killed; how it ended is not known",
        "see whether the agent still runs; give the machine more memory",
    ),
    "orphaned": Ending(
        "what watched it is gone, and with it how the session ended",
        "see whether the agent still runs",
    ),
    "rate_limit": Ending(
        "the provider turned requests away: a rate limit",
        "wait for the limit's reset, or run fewer sessions at once",
    ),
    "overloaded": Ending(
        "the provider was overloaded", "run it again later; look at the provider's status"
    ),
    "server_error": Ending(
        "the provider answered with an error of its own",
        "run it again; look at the provider's status",
    ),
    "invalid_request": Ending(
        "the provider refused a request as wrong",
        "look at the model's name and the size of the context",
    ),
    "authentication_failed": Ending("the provider did not accept the login", "log in again"),
    "billing_error": Ending("the provider wants to be paid", "look at the account's billing"),
    "max_turns": Ending("it used all the turns it was given", "give it more turns, or less to do"),
    "interrupted": Ending("somebody interrupted it", "resume the session to go on"),
    "SIGINT": Ending("it was interrupted (SIGINT)", "resume the session to go on"),
    "SIGTERM": Ending(
        "it was asked to end (SIGTERM)", "see who ended it: a timeout, a supervisor, a deploy"
    ),
    "SIGHUP": Ending("its terminal was closed (SIGHUP)", "run it under nohup, tmux or a service"),
    "SIGKILL": Ending(
        "it was killed (SIGKILL)", "look for the kernel's OOM killer: dmesg, journalctl -k"
    ),
    "SIGSEGV": Ending("it crashed (SIGSEGV)", "report it to the agent's vendor"),
    "SIGABRT": Ending("it gave up (SIGABRT)", "report it to the agent's vendor, with its stderr"),
}


def explain(outcome: str, error: str | None) -> tuple[str | None, str | None]:
    """Return why a session ended like this, and what to do next; None where all is well."""
    if outcome in ("completed", "running") or (outcome == "unknown" and error is None):
        return None, None
    known = ENDINGS.get(error or outcome)
    if known is not None:
        return known
    if error is None:
        return None, None
    if error.isdecimal():
        return f"it exited with status {error}", "look at what it wrote on stderr"
    return f"it ended with an error: {error}", "look at what it wrote on stderr"
