"""Secrets that an agent prints, all the way: neither in a byte that leaves nor in a local file."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.session.content import VARIABLE
from scripts.stack.backends import eventually
from tests.support.otlp_receiver import Receiver, grpc_receiver, http_receiver
from tests.support.planted import planted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.processes.trust.commands import Victim

SEED = 20
SECRETS = list(planted(SEED))
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x1b]8;;https://example.org\x07x\x9b2J\u202egpj"
ADVERSARIAL = ("a-", "token-", "eyJ", "key=", "://a:", "$2a$", "sk-aa-", "N-")


def line(type_: str, **members: Any) -> str:
    return json.dumps({"type": type_, "session_id": "s", **members})


def init(**members: Any) -> str:
    told = {"model": "claude-x", "tools": ["Bash"], "claude_code_version": "2.1.0", **members}
    return line("system", subtype="init", **told)


def call(number: int, name: str, arguments: object) -> str:
    block = {"type": "tool_use", "id": f"t{number}", "name": name, "input": arguments}
    return line("assistant", message={"id": f"m{number}", "model": "claude-x", "content": [block]})


def result(number: int, content: object) -> str:
    block = {"type": "tool_result", "tool_use_id": f"t{number}", "content": content}
    return line("user", message={"content": [block]}, tool_use_result={"stdout": content})


def spoken() -> Iterator[str]:
    yield init()
    for number, secret in enumerate(SECRETS):
        shown: dict[str, str] = {"command" if secret.command else "content": secret.text}
        yield call(number, "Bash", shown)
        yield result(number, "ok" if secret.command else secret.text)
    yield line("result", subtype="success", total_cost_usd=0.1, is_error=False)


def agent(
    folder: Path, lines: Iterator[str], *, errors: str = "", silent: float = 0, until: str = ""
) -> list[str]:
    """Return the command of an agent that prints `lines`, then is silent for a while.

    It is `silent` for so many seconds, or for less once a path that `until` describes is there.
    """
    (folder / "stdout.jsonl").write_text("".join(f"{text}\n" for text in lines))
    (folder / "stderr.txt").write_text(errors)
    source = (
        "import glob, shutil, sys, time\n"
        "shutil.copyfileobj(open('stderr.txt'), sys.stderr)\n"
        "shutil.copyfileobj(open('stdout.jsonl'), sys.stdout)\n"
        "sys.stdout.flush(); sys.stderr.flush()\n"
        f"end = time.monotonic() + {silent}\n"
        f"while time.monotonic() < end and not glob.glob({until!r}):\n"
        "    time.sleep(0.05)\n"
    )
    return [sys.executable, "-c", source]


def ended(receiver: Receiver) -> bool:
    """Tell whether the session's root has arrived, which is the last of it."""
    return any(span.name == "invoke_agent claude" for span in receiver.spans())


def left(receiver: Receiver, victim: Victim) -> str:
    """Return every byte that left and every byte on disk, escapes undone where there are any."""
    sent = [request.SerializeToString() for _, request in receiver.requests]
    kept = [path.read_bytes() for path in victim.home.rglob("*") if path.is_file()]
    text = b"\n".join(sent + kept).decode("utf-8", "replace")
    return text + text.replace("\\\\", "\\").replace('\\"', '"').replace("\\n", "\n")


@pytest.mark.parametrize("receiving", [http_receiver, grpc_receiver], ids=["HTTP", "gRPC"])
def test_no_planted_secret_leaves_or_stays_with_content_on(
    victim: Victim, receiving: Callable[[], AbstractContextManager[Receiver]]
) -> None:
    errors = "\n".join(secret.text for secret in SECRETS[-40:])
    with receiving() as receiver:
        done = victim.run(
            *agent(victim.folder, spoken(), errors=errors),
            **{VARIABLE: "true", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc" if receiving is grpc_receiver else "http/protobuf",
        )
        assert done.stdout == (victim.folder / "stdout.jsonl").read_text()
        eventually("the root arrived", partial(ended, receiver))
        found = left(receiver, victim)
    shown = [span for span in receiver.spans() if span.name == "execute_tool Bash"]
    assert len(shown) == len(SECRETS)
    assert found.count("[redacted]") > len(SECRETS)
    # What is shorter stands in some id or other by chance.
    assert not [s.title for s in SECRETS if any(part in found for part in s.parts if len(part) > 5)]


def test_a_dump_of_a_stall_shows_no_secret_of_stderr(victim: Victim) -> None:
    """A key over several lines is one, whatever is on them."""
    keys = [s for s in SECRETS if s.title in ("RSA PRIVATE KEY", "aws credentials", "env, random")]
    errors = "".join(f"starting\n{secret.text}\n" for secret in keys)
    victim.run(
        *agent(
            victim.folder,
            iter([init()]),
            errors=errors,
            silent=60,
            until=f"{victim.state}/runs/*/stall-*.json",
        ),
        OTEL_UNTETHER_STALL_TIMEOUT="0.5",
    )
    shown = "".join(path.read_text() for path in victim.state.rglob("stall-*.json"))
    assert shown.count("[redacted]") >= len(keys) == 3
    assert not [part for secret in keys for part in secret.parts if part in shown]


def test_a_name_is_no_way_out_for_a_secret_or_a_terminals_escape(victim: Victim) -> None:
    key = "sk-ant-api03-" + "A1b2C3d4" * 6
    with http_receiver() as receiver:
        done = victim.run(
            *agent(
                victim.folder,
                iter(
                    [
                        init(model=f"m {key}", tools=[key, HOSTILE], session_id=f"s {key}"),
                        call(1, f"run {key} {HOSTILE}" + "x" * 100_000, {}),
                    ]
                ),
                silent=5,
            ),
            OTEL_UNTETHER_STALL_TIMEOUT="0.5",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        )
        eventually("the root arrived", partial(ended, receiver))
        found = left(receiver, victim)
    assert "A1b2C3d4A1b2C3d4" not in found
    assert "x" * 200 not in found
    assert not [escape for escape in ("\x1b]", "\x1b[", "\u202e") if escape in found]
    assert all(told.isprintable() for told in done.stderr.splitlines())
    assert "\ufffd" in found


def test_adversarial_output_holds_nobody_up(victim: Victim) -> None:
    """Sixteen results that once took a pattern half a minute each; the agent's end is not late."""
    lines = [init()]
    for number, piece in enumerate(ADVERSARIAL * 2):
        lines += [call(number, "Bash", {}), result(number, piece * (32_768 // len(piece)))]
    errors = "".join(f"{'token-' * 600}\n" for _ in range(100))
    done = victim.run(*agent(victim.folder, iter(lines), errors=errors), **{VARIABLE: "true"})
    assert done.stdout == (victim.folder / "stdout.jsonl").read_text()

    def told() -> bool:
        traces = victim.state.rglob("traces.jsonl")
        return sum(path.read_text().count('"execute_tool Bash"') for path in traces) == 16

    eventually("every call is in the trace", told)
