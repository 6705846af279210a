"""What every run does for those before it: ends what a crash left open, lets go of what is old."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from otel_untether.config.settings import KEEP_RUNS, TelemetryConfig
from otel_untether.store import run_lock
from otel_untether.store.recovery import recover
from otel_untether.store.retention import Pruned
from otel_untether.store.runs import StoreError, load_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.store.runs import Store

_HOUR: Final = 3600.0


def tidy(
    store: Store, kept: TelemetryConfig, now: int, may_forget: Callable[[], bool] = lambda: True
) -> Pruned:
    """End what a watcher that died left open; prune past the limits of `kept`; `now` in ns.

    Return what is gone; `may_forget` is that of `retention.prune`. Five hundred agents at once are
    to be there still when somebody looks, so that the last hour's are not too many, unless somebody
    chose how many are. Unless somebody chose what is kept, it is looked at once a minute only: it
    takes longer than all else that a short run does for those before it.
    """
    mend(store)
    if not (_is_chosen(kept) or store.is_prune_due(now)):
        return Pruned([])
    pruned = store.prune(
        now,
        max_age=kept.keep_days * 86_400,
        max_count=kept.keep_runs,
        max_bytes=int(kept.keep_megabytes * 2**20),
        fresh=_HOUR if kept.keep_runs == KEEP_RUNS else 0.0,
        may_forget=may_forget,
    )
    store.note_overdue(overdue=pruned.held_back > 0)
    return pruned


def _is_chosen(kept: TelemetryConfig) -> bool:
    """Whether somebody chose what is kept: then it is so after every run."""
    usual = TelemetryConfig()
    return (kept.keep_days, kept.keep_runs, kept.keep_megabytes) != (
        usual.keep_days, usual.keep_runs, usual.keep_megabytes,
    )  # fmt: skip


def mend(store: Store) -> None:
    """End the runs that nobody watches any more, and those whose record is torn.

    Who is held is not waited for: somebody watches it, or is just ending it.
    """
    for path in store.open_folders():
        if run_lock.is_held(path):
            continue
        with contextlib.suppress(StoreError, OSError):
            recover(path)


def mend_session(store: Store, session_id: str, own: str) -> None:
    """End the runs of an engine's session that nobody watches any more.

    Who resumes it asks how it ended, and must not be faster than the tidying. `own` is the id of
    the run that asks: its lock is not waited for.
    """
    for path in store.open_folders():
        with contextlib.suppress(StoreError, OSError):
            record = load_run(path).record
            if record.session_id == session_id and record.run_id != own:
                recover(path)


def told(pruned: Pruned, kept: TelemetryConfig) -> str | None:
    """Say what of a collector's was deleted, None where nothing was."""
    if not pruned.undelivered:
        return None
    runs = "1 run is" if pruned.undelivered == 1 else f"{pruned.undelivered} runs are"
    return (
        f"{runs} deleted that no collector has had in full ({pruned.spans} spans): more than "
        f"keep_runs = {kept.keep_runs:g}, keep_days = {kept.keep_days:g} or "
        f"keep_megabytes = {kept.keep_megabytes:g} allow"
    )
