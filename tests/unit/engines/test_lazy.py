"""An engine costs nothing before it is needed, and never what another engine costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from otel_untether.engines import NAMES, UNKNOWN, registry

SEEN = (
    "import sys; print(*sorted(m.removeprefix('otel_untether.engines.') for m in sys.modules"
    " if m == 'msgspec' or m.startswith('otel_untether.engines.')))"
)


def modules_after(code: str) -> set[str]:
    """Run `code` in a process of its own and say which of ours it imported, and of msgspec."""
    script = f"from otel_untether.engines import registry; {code}; {SEEN}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_naming_an_engine_imports_neither_its_decoder_nor_another_engine() -> None:
    seen = modules_after("registry.get('codex')")
    assert "codex.engine" in seen
    assert not {m for m in seen if m.endswith((".stream", ".shapes", "claude.engine"))}
    assert "msgspec" not in seen


def test_decoding_imports_the_one_engine_that_decodes() -> None:
    seen = modules_after("registry.get('codex').decode(b'{}', 1)")
    assert {"codex.stream", "msgspec"} <= seen
    assert not {m for m in seen if m.startswith("claude")}


def test_a_command_line_is_recognised_without_any_decoder() -> None:
    seen = modules_after("assert registry.detect_argv(['claude', '-p']).name == 'claude'")
    assert not {m for m in seen if m.endswith(".stream")}
    assert "msgspec" not in seen


def test_a_first_line_is_recognised_without_any_decoder() -> None:
    line = b'{"type":"thread.started","thread_id":"t"}'
    seen = modules_after(f"assert registry.detect_line({line!r}).name == 'codex'")
    assert not {m for m in seen if m.endswith(".stream")}


@pytest.mark.parametrize("name", NAMES)
def test_each_name_has_its_engine_in_a_folder_of_that_name(name: str) -> None:
    engine = registry.get(name)
    assert engine.name == name
    assert engine.understood is bool(engine.decoder or engine.dialogue)
    assert isinstance(engine.decode(b"{}", 1), tuple)
    if name != UNKNOWN:
        assert engine.commands


def test_no_two_engines_are_started_by_the_same_word() -> None:
    words = [word for engine in registry.engines() for word in engine.commands | engine.packages]
    assert len(words) == len(set(words))
