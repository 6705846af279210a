"""What every run does for those before it: ends what a crash left open, lets go of what is old."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from otel_untether.store.recovery import recover
from otel_untether.store.runs import StoreError

if TYPE_CHECKING:
    from otel_untether.config.settings import TelemetryConfig
    from otel_untether.store.runs import Store


def tidy(store: Store, kept: TelemetryConfig, now: int) -> None:
    """End what a watcher that died left open; prune past the limits of `kept`; `now` in ns."""
    for run in store.list_runs().runs:
        if run.record.ended is None and not run.running:
            with contextlib.suppress(StoreError, OSError):
                recover(run.path)
    store.prune(
        now,
        max_age=kept.keep_days * 86_400,
        max_count=kept.keep_runs,
        max_bytes=int(kept.keep_megabytes * 2**20),
    )
