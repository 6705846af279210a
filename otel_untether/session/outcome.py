"""How a session ended, in one word and, where it went wrong, one kind of error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from otel_untether.session.state import SessionState

Word: TypeAlias = Literal[
    "completed", "failed", "interrupted", "terminated", "killed", "orphaned", "unknown"
]

# A CLI that catches a signal and exits by itself says so with 128 + N, but so do some for
# reasons of their own (gemini: 144 for a bad request): only what ends sessions is believed.
_ENDING: Final = frozenset(
    {"SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL", "SIGSEGV", "SIGTERM"}
)


WATCHER_LOST: Final = "watcher_lost"


class Outcome(NamedTuple):
    """`error` is None when the session went well, else a low-cardinality reason."""

    word: Word
    error: str | None = None


def judge(
    state: SessionState,
    exit_code: int | None,
    signal_number: int | None,
    killed_for: str | None = None,
) -> Outcome:
    """Say how a session ended.

    `exit_code` and `signal_number` are the process's, both None where there was none to see (a
    recording); `killed_for` is the cause when we ended it. The engine's own result wins over
    its exit code: Claude exits 0 after SIGINT, and prints what happened, or prints nothing. What
    was sent SIGINT while it was at work is interrupted, whatever it makes of that. An error that
    only the program which spawned it knows of is one where nothing else tells of any.
    """
    if killed_for is not None:
        return Outcome("killed", killed_for)
    if state.interrupted:
        return Outcome("interrupted", state.last_error or "interrupted")
    name = _signal_name(exit_code, signal_number)
    if name is not None:
        return Outcome("interrupted" if name == "SIGINT" else "terminated", name)
    if state.interrupted_at is not None and not _finished_well(state):
        return Outcome("interrupted", "SIGINT")
    error = state.last_error or (str(exit_code) if exit_code else None)
    if error is not None:
        return Outcome("failed", error)
    return _without_error(state, exited=exit_code is not None)


def without_relay(outcome: Outcome) -> Outcome:
    """Say how a session ended whose relay was killed: what it said before that still counts."""
    return outcome if outcome.word != "unknown" else Outcome("orphaned", WATCHER_LOST)


def _finished_well(state: SessionState) -> bool:
    return state.last_result_at is not None and not state.turn_open and state.last_error is None


def _without_error(state: SessionState, *, exited: bool) -> Outcome:
    midway = state.turn_open and not state.lags
    if midway and exited and not state.missed:
        # Exit 0 in the middle of a turn is how a CLI looks that lost its thread; or one whose
        # result is in what did not come to us.
        return Outcome("failed", "no_result")
    if state.host_error is not None:
        return Outcome("failed", state.host_error)
    done = exited or state.last_result_at is not None
    return Outcome("completed" if done and not midway else "unknown")


def _signal_name(exit_code: int | None, signal_number: int | None) -> str | None:
    if signal_number is not None:
        return _name(signal_number)
    if exit_code is None or exit_code <= 128:
        return None
    name = _name(exit_code - 128)
    return name if name in _ENDING else None


def _name(number: int) -> str:
    import signal  # noqa: PLC0415  2 ms, for those who are ended by one

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
