"""What the detector reports, and how it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct, field

from otel_untether.session.wording import duration

if TYPE_CHECKING:
    from otel_untether.diagnosis.clocks import ProgressClock
    from otel_untether.proc_diag.deep_look import TranscriptLook
    from otel_untether.session.activity import AttributeValue
    from otel_untether.session.state import SessionState

Kind: TypeAlias = Literal["stall", "recovered", "liveness", "kill", "veto", "waiting"]
Action: TypeAlias = Literal["kill", "dry-run", "veto"]


class Decision(NamedTuple):
    """Whether a process tree is to be killed, and what that rests on.

    `vetoes` are low-cardinality codes, empty for a kill, and `reasons` say the same in words.
    `confirmations` samples in a row agreed, over `window` seconds.
    """

    action: Action
    vetoes: tuple[str, ...]
    reasons: tuple[str, ...]
    confirmations: int
    window: float


class Finding(Struct, frozen=True):
    """Something worth telling about a silence; times in ns since the epoch.

    `stall` is a warning, `number` counting from 1 in each silence; `recovered` ends one that
    was warned of; `liveness` says that `liveness_timeout` has passed; `kill` and `veto` carry
    the `decision`; `waiting` reports a wait that is all right but old. `since` is the last sign
    of life, or the last progress of what makes none (`heard` then says that there were signs of
    life since). `evidence` begins with the cause in words, `advice` is what to do about it,
    `pid` the agent's process, and `process` what it is called and waits in. `attributes` are for
    telemetry. `leads` say where there is more, the dump left aside: a runbook, a debug log;
    `transcript` is what the agent wrote down, where that was found.
    """

    kind: Kind
    cause: str
    at: int
    since: int
    number: int = 0
    threshold: str = ""
    threshold_s: float = 0.0
    evidence: tuple[str, ...] = ()
    expected: str | None = None
    decision: Decision | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    advice: str | None = None
    pid: int | None = None
    process: str = ""
    heard: bool = False
    last_sign: int = 0
    leads: tuple[str, ...] = ()
    transcript: TranscriptLook | None = None
    clock: ProgressClock | None = None

    @property
    def idle_s(self) -> float:
        """Seconds of silence."""
        return max(0, self.at - self.since) / 1e9

    @property
    def carried_out(self) -> bool:
        """Whether a kill follows: this is the decision to, and no dry run."""
        return self.kind == "kill" and self.decision is not None and self.decision.action == "kill"

    def stands(self, state: SessionState) -> bool:
        """Whether it is still so: nothing was heard since, or nothing has moved on.

        Ask before you act on it; `state` is that of the session it is about.
        """
        if self.heard and self.clock is not None:
            return self.clock.stands(state)
        return state.last_sign == (self.last_sign or self.since)


_OPENINGS: Final[dict[Kind, str]] = {
    "stall": "",
    "recovered": "",
    "liveness": "liveness check: alive but ",
    "kill": "killing it, ",
    "veto": "not killing it, ",
    "waiting": "not stalled, ",
}


def describe(finding: Finding) -> str:
    """Return the finding in one plain line, with what to do where something is to be done.

    :param finding: what the detector reported.
    """
    length, decision = duration(finding.idle_s), finding.decision
    if finding.kind == "recovered":
        return f"spoke again after {length} of silence"
    opening, said = _OPENINGS[finding.kind], finding.evidence
    if decision is not None and decision.action == "dry-run":
        opening = "would kill it (dry run), "
    if decision is not None and decision.action == "veto":
        said = decision.reasons
    what = "no progress" if finding.heard else "silent"
    line = f"{opening}{what} for {length}: {'; '.join(said)}"
    if finding.kind not in ("stall", "liveness", "kill"):
        return line
    # Whoever is woken at night looks for it first; what is at fault may have been named above.
    if finding.process and f"(pid {finding.pid}" not in line:
        line += f"; {finding.process}"
    todo = finding.kind != "kill" and finding.advice
    return f"{line} → {finding.advice}" if todo else line
