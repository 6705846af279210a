"""A journal written anew tells a recovery what the old one would have told it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.store import files, run_folder
from otel_untether.store import journal as journals
from otel_untether.store.compaction import compacted
from otel_untether.store.journal import Journal
from otel_untether.store.remains import Journaled, is_ended

if TYPE_CHECKING:
    from pathlib import Path

IDS = ("a", "b", "c", "d")
KEYS = ("k", "l")


def attribute(key: str, value: int) -> dict[str, Any]:
    return {"key": key, "value": {"intValue": str(value)}}


spans = st.builds(
    lambda span_id, start, facts: {
        "spanId": span_id,
        "startTimeUnixNano": str(start),
        "attributes": [attribute(*fact) for fact in facts],
    },
    st.sampled_from(IDS),
    st.integers(0, 9),
    st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 9)), max_size=2),
)
news = st.builds(
    lambda span_id, fact, events: {
        "spanId": span_id,
        "attributes": [attribute(*fact)],
        "events": [{"name": name, "timeUnixNano": "5"} for name in events],
    },
    st.sampled_from(IDS),
    st.tuples(st.sampled_from(KEYS), st.integers(0, 9)),
    st.lists(st.sampled_from(["e", "f"]), max_size=2),
)
ends = st.builds(
    lambda span_id, end: {"spanId": span_id, "endTimeUnixNano": str(end)},
    st.sampled_from(IDS),
    st.integers(1, 9),
)
entries = st.one_of(
    st.builds(lambda span: {"kind": "start", "scope": {"name": "s"}, "span": span}, spans),
    st.builds(lambda span: {"kind": "update", "span": span}, news),
    st.builds(lambda span: {"kind": "end", "span": span}, ends),
    st.builds(
        lambda fact: {"kind": "progress", "attributes": [attribute(*fact)]},
        st.tuples(st.sampled_from(KEYS), st.integers(0, 9)),
    ),
    st.builds(lambda n: {"kind": "untether.kill.decided", "n": n}, st.integers(0, 9)),
    st.builds(lambda n: {"kind": "span", "request": {"resourceSpans": [n]}}, st.integers(0, 9)),
    st.just({"kind": "resource", "resource": {"attributes": [attribute("r", 1)]}}),
    st.sampled_from([7, [], {"kind": "start"}, {"kind": "end", "span": {}}, {"at": "x"}]),
)


def text(found: list[Any]) -> bytes:
    """Return a journal, in which nothing begins under an id whose span has ended."""
    ended: set[str] = set()
    kept: list[Any] = []
    for entry in found:
        match entry:
            case {"kind": "end", "span": {"spanId": str() as span_id}}:
                ended.add(span_id)
            case {"kind": "start", "span": {"spanId": str() as span_id}} if span_id in ended:
                continue
        kept.append(entry)
    timed = [
        {"at": at, **entry} if isinstance(entry, dict) else entry for at, entry in enumerate(kept)
    ]
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in timed)


def read(content: bytes) -> Journaled:
    """Read a journal as a recovery does."""
    found = Journaled()
    for line in content.splitlines():
        try:
            found.read(json.loads(line))
        except (LookupError, TypeError, AttributeError, ValueError):
            continue
    return found


@given(found=st.lists(entries, max_size=30), ended=st.booleans())
def test_what_is_open_and_what_was_decided_is_told_as_before(
    tmp_path_factory: pytest.TempPathFactory, found: list[Any], *, ended: bool
) -> None:
    path = tmp_path_factory.mktemp("run") / run_folder.JOURNAL
    path.write_bytes(text(found) + b'{"at": 99, "kind": "st')
    before, after = read(path.read_bytes()), read(compacted(path, ended=ended))
    kept = {key: span for key, span in before.spans.items() if ended or not is_ended(span)}
    assert after.spans == kept
    assert list(after.spans) == list(kept)
    assert after.scopes == {key: before.scopes[key] for key in kept}
    for name in ("resource", "whole", "progress", "decisions"):
        assert getattr(after, name) == getattr(before, name)
    if after.spans or after.progress:
        assert after.last == before.last


@given(st.lists(entries, max_size=30))
def test_once_is_enough(tmp_path_factory: pytest.TempPathFactory, found: list[Any]) -> None:
    path = tmp_path_factory.mktemp("run") / run_folder.JOURNAL
    path.write_bytes(text(found))
    once = compacted(path, ended=False)
    path.write_bytes(once)
    assert compacted(path, ended=False) == once


def test_a_journal_is_written_anew_once_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session may go on for days and tell only how far it is."""
    monkeypatch.setattr(journals, "_LARGEST", 2_000)
    journal = Journal(tmp_path)
    for tokens in range(500):
        journal.progress({"gen_ai.usage.input_tokens": tokens})
    path = tmp_path / run_folder.JOURNAL
    assert path.stat().st_size < 4_000
    (last,) = read(path.read_bytes()).progress.values()
    assert last["value"] == {"intValue": "499"}
    journal.close()


def test_a_journal_that_cannot_be_written_anew_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.record("untether.kill.decided", n=1)
    path = tmp_path / run_folder.JOURNAL
    before = path.read_bytes()
    with monkeypatch.context() as patched:

        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(files, "replace", full)
        journal.compact()
    assert path.read_bytes() == before
    assert journal.record("untether.kill.decided", n=2)
    assert len(read(path.read_bytes()).decisions) == 2
    journal.close()


def test_a_closed_journal_is_not_written_anew(tmp_path: Path) -> None:
    """Somebody else may be recovering the run by now."""
    journal = Journal(tmp_path)
    journal.record("untether.kill.decided", n=1)
    journal.close()
    path = tmp_path / run_folder.JOURNAL
    inode = path.stat().st_ino
    journal.compact()
    assert path.stat().st_ino == inode
