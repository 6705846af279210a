"""The folder of one run: what it is called, and every file name in it.

    runs/20261122T205630.123456Z-5f0c…/    one run, mode 0700
        run.json            what is known about it (`record.RunRecord`)
        traces.jsonl        ended spans, one OTLP-JSON request a line; likewise logs, metrics
        traces-0001.jsonl.gz    the oldest of them, where there are many (`segments`)
        journal.jsonl       started spans and decisions, for a crash
        samples.jsonl       the process tree, one look a line
        delivered           what a collector took
        undelivered         there while a collector has not taken everything meant for it
        unnoted-traces      a collector took spans that `delivered` had no room for; likewise logs
        stall-<ns>.json     what there was to see when a stall was found
        stderr.txt          the agent's last lines there, redacted, where it did not complete
        otel.log            what OpenTelemetry's own libraries complained about
        .lock               held while somebody watches, recovers or sends it (`run_lock`)

No other module spells one of these names. It is imported before the agent is spawned, and so
imports next to nothing itself.
"""

# ruff: noqa: PTH106, PTH108, PTH118, PTH208  pathlib takes 5 ms to import

from __future__ import annotations

import os
import time

from otel_untether.store.files import replace
from otel_untether.store.private_folder import make_private, require_real
from otel_untether.store.run_lock import LOCK, acquire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from otel_untether.store.run_lock import RunLock

RUNS: Final = "runs"  # in the state directory: the folder of these folders
SESSIONS: Final = "sessions"  # beside it: how engines' sessions last ended
PRUNED: Final = "pruned"  # when somebody last looked which runs may go; empty unless one stays
RECORD: Final = "run.json"
TRACES: Final = "traces.jsonl"
LOGS: Final = "logs.jsonl"
METRICS: Final = "metrics.jsonl"
JOURNAL: Final = "journal.jsonl"
SAMPLES: Final = "samples.jsonl"
DELIVERED: Final = "delivered"
UNDELIVERED: Final = "undelivered"
_UNNOTED: Final = "unnoted-"
UNSURE: Final = "unsure"  # in `delivered`: spans with an end that their collector may know better
STDERR: Final = "stderr.txt"
OTEL_LOG: Final = "otel.log"
COMPRESSED: Final = ".gz"
_STALL: Final = "stall-"
_LINES: Final = ".jsonl"
_SEGMENTED: Final = frozenset((TRACES, LOGS, METRICS))

NAMES: Final = frozenset((
    RECORD, TRACES, LOGS, METRICS, JOURNAL, SAMPLES, DELIVERED, UNDELIVERED, STDERR, OTEL_LOG, LOCK,
    f"{_UNNOTED}traces", f"{_UNNOTED}logs", f"{_UNNOTED}metrics",
))  # fmt: skip
_SECOND: Final = 1_000_000_000
_ZEROS: Final = str.maketrans("123456789", "000000000")
_ID: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyz")


def unnoted(signal: str) -> str:
    """Return the name of the file that says that `delivered` lacks something of a signal."""
    return f"{_UNNOTED}{signal}"


def stall_dump(at: int) -> str:
    """Return the name of the dump of a stall that was found `at`, in ns since the epoch."""
    return f"{_STALL}{at}.json"


def is_stall_dump(name: str) -> bool:
    """Whether a file is called like the dump of a stall."""
    at = name.removeprefix(_STALL).removesuffix(".json")
    return name == f"{_STALL}{at}.json" and at.isdecimal()


def part_name(name: str, number: int) -> str:
    """Return what a part of a file of lines is called that was set aside: traces-0001.jsonl."""
    return f"{name.removesuffix(_LINES)}-{number:04}{_LINES}"


def part_number(name: str) -> int | None:
    """Return which part of a file of lines is called that, compressed or not; None if none is."""
    stem, _, number = name.removesuffix(COMPRESSED).removesuffix(_LINES).rpartition("-")
    if not (number.isascii() and number.isdecimal() and stem + _LINES in _SEGMENTED):
        return None
    found = int(number)
    return found if name.removesuffix(COMPRESSED) == part_name(stem, found) else None


def folder_name(started: int, run_id: str) -> str:
    """Return what the folder of a run is called that started then, in ns since the epoch.

    Such names sort by time: 20261122T205630.123456Z-5f0c1a2b3c4d5e6f.
    """
    seconds, rest = divmod(started, _SECOND)
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{moment}.{rest // 1000:06}Z-{run_id}"


def started(name: str) -> int:
    """Return when a run started whose folder is called that, in ns since the epoch."""
    import calendar  # noqa: PLC0415  only where a run's record is torn

    moment, _, fraction = name.partition("-")[0].removesuffix("Z").partition(".")
    seconds = calendar.timegm(time.strptime(moment, "%Y%m%dT%H%M%S"))
    return seconds * _SECOND + int(fraction) * 1000


def is_folder_name(name: str) -> bool:
    """Whether a run's folder may be called that."""
    moment, _, run_id = name.partition("-")
    shape = moment.translate(_ZEROS)
    return shape == "00000000T000000.000000Z" and bool(run_id) and _ID.issuperset(run_id)


def is_ours(name: str) -> bool:
    """Whether a file in a run's folder is one that we make, or a temporary one of these."""
    return _is_kept(name) or is_temporary(name)


def is_temporary(name: str) -> bool:
    """Whether a file is called like one that is about to replace one of ours."""
    return name[:1] == "." and _is_kept(name[1:].rpartition(".")[0])


def _is_kept(name: str) -> bool:
    return name in NAMES or is_stall_dump(name) or part_number(name) is not None


def create(
    state_dir: str | os.PathLike[str],
    *,
    run_id: str,
    started: int,
    engine: str = "unknown",
    command: str | None = None,
    trace_id: int | None = None,
    watcher: Mapping[str, str | int] | None = None,
) -> tuple[str, RunLock | None]:
    """Make the folder of a run that starts now, with its first `run.json`.

    Return its path and its lock, to be held while the run is watched; None where the file
    system has no locks.

    `started` is in ns since the epoch, `command` the agent's base name, `watcher` what
    `process_stat.identity` says of the process that watches it. Raises OSError where the folder
    cannot be made or is not ours alone, or takes no record: then there is none of it afterwards.
    """
    runs = os.path.join(state_dir, RUNS)
    make_private(runs)
    require_real(runs)
    path = os.path.join(runs, folder_name(started, run_id))
    make_private(path)
    facts: dict[str, str | int | None] = {
        "run_id": run_id,
        "started": started,
        "watcher": _object(watcher) if watcher is not None else None,
        "engine": engine,
        "command": command,
        "trace_id": None if trace_id is None else f"{trace_id:032x}",
    }
    # First: a folder with a record and a free lock is a dead watcher's.
    lock = _hold(path)
    try:
        replace(os.path.join(path, RECORD), _object(facts).encode())
    except OSError:
        remove(path)
        if lock is not None:
            lock.release()
        raise
    return path, lock


def _hold(path: str) -> RunLock | None:
    try:
        return acquire(path)
    except OSError:
        return None


def remove(path: str | os.PathLike[str]) -> bool:
    """Delete a run's folder, whatever is in it that is not ours excepted; say if it is gone.

    Only files go, and links themselves, never what is below a folder or behind a link.
    """
    try:
        require_real(path)
        names = os.listdir(path)
        # The record last: without it the rest is nobody's run any more.
        for name in sorted(names, key=lambda name: name == RECORD):
            if is_ours(name):
                os.unlink(os.path.join(path, name))
        os.rmdir(path)
    except OSError:
        return False
    return True


class _Json(str):
    """Text that is JSON already."""

    __slots__ = ()


def _object(facts: Mapping[str, str | int | None]) -> str:
    """Write an object in JSON, what is None left out; `json` takes 3 ms to import."""
    members = (
        f"{json_text(name)}:{_value(value)}" for name, value in facts.items() if value is not None
    )
    return _Json("{" + ",".join(members) + "}")


def _value(value: str | int | None) -> str:
    if isinstance(value, _Json):
        return value
    return json_text(value) if isinstance(value, str) else str(value)


def json_text(text: str) -> str:
    """Return a string in JSON and ASCII, where what lies beyond 16 bits takes two escapes.

    A file name may hold bytes that are no Unicode: each is written as "?".
    """
    # Not by the codec of UTF-16, whose import takes a millisecond.
    return '"' + "".join(map(_escaped, text.encode("utf-8", "replace").decode())) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
    plain = 0x20 <= code < 0x7F and character not in '"\\'
    return character if plain else f"\\u{code:04x}"
