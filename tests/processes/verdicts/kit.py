"""What a scripted agent of the zoo is made of; imported by its source, in its own process.

It speaks as Claude Code does (or Codex), starts tools as they do, in sessions of their own, and
asks models as they do. `at_rest()` says on stderr that the state is reached: from then on it is
timed.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "KEPT", "Path", "alongside", "asked", "at_rest", "beat", "child", "codex", "connect", "ctypes",
    "datagrams", "delegate", "done", "every", "fcntl", "forever", "init", "json", "local",
    "opencode", "os", "program", "result", "retry", "say", "select", "shell", "signal", "socket",
    "spin", "subprocess", "sys", "terminal", "text", "threading", "time", "tool",
]  # fmt: skip

_SESSION = "ba41dfc2-6f72-4c77-a9f1-350b7c376a4a"
_HOST = "127.0.0.1"
KEPT: list[object] = []
"""Whatever is to stay open."""


def say(**line: object) -> None:
    """Print a line."""
    sys.stdout.write(json.dumps({"session_id": _SESSION, **line}) + "\n")
    sys.stdout.flush()


def at_rest() -> None:
    """Say that from now on it is silent, or says nothing new."""
    os.write(2, b"at rest\n")


def init() -> None:
    """Begin a session."""
    say(
        type="system", subtype="init", model="claude-opus-5-5", tools=["Bash"], mcp_servers=[],
        claude_code_version="2.1.330", permissionMode="default",
    )  # fmt: skip


def _message(content: dict[str, Any], parent: str | None) -> None:
    message = {"id": f"msg_{time.monotonic_ns()}", "role": "assistant", "content": [content]}
    say(type="assistant", message={**message, "type": "message"}, parent_tool_use_id=parent)


def text(words: str = "Let me see.", parent: str | None = None) -> None:
    """Say something, as the model."""
    _message({"type": "text", "text": words}, parent)


def tool(
    name: str = "Bash", call: str = "toolu_1", parent: str | None = None, **arguments: object
) -> None:
    """Call a tool."""
    _message({"type": "tool_use", "id": call, "name": name, "input": arguments}, parent)


def done(call: str = "toolu_1", parent: str | None = None) -> None:
    """Have a tool's result."""
    content = {"type": "tool_result", "tool_use_id": call, "content": "ok", "is_error": False}
    say(type="user", message={"role": "user", "content": [content]}, parent_tool_use_id=parent)


def delegate(call: str, task: str, kind: str = "general-purpose") -> None:
    """Start a subagent in the foreground."""
    tool("Agent", call, description="d", prompt="p", subagent_type=kind)
    say(
        type="system", subtype="task_started", task_id=task, tool_use_id=call, description="d",
        subagent_type=kind, is_backgrounded=False, spawn_depth=1, task_type="local_agent",
    )  # fmt: skip


def beat(call: str = "toolu_1", name: str = "Bash") -> None:
    """Print a heartbeat of an open call."""
    beat.number = getattr(beat, "number", -1) + 1  # type: ignore[attr-defined]
    say(
        type="tool_progress", tool_use_id=f"{call}-heartbeat-{beat.number}", tool_name=name,  # type: ignore[attr-defined]
        parent_tool_use_id=call, elapsed_time_seconds=30, heartbeat=True,
    )  # fmt: skip


def retry(attempt: int, status: int | None = None, delay_ms: int = 200) -> None:
    """Say that a request is made again."""
    say(
        type="system", subtype="api_retry", attempt=attempt, max_retries=10, error="unknown",
        retry_delay_ms=delay_ms, error_status=status,
    )  # fmt: skip


def result() -> None:
    """End the turn."""
    say(
        type="result", subtype="success", is_error=False, result="ok", num_turns=1,
        total_cost_usd=0.1, duration_ms=1, usage={"input_tokens": 1, "output_tokens": 1},
    )  # fmt: skip


def asked(request_id: str = "r1", **request: object) -> None:
    """Ask the host something on the control protocol."""
    say(type="control_request", request_id=request_id, request=request)


def codex(*items: dict[str, Any], turn: bool = True) -> None:
    """Print what Codex prints: its thread, a turn, and these lines."""
    lines: list[dict[str, Any]] = [{"type": "thread.started", "thread_id": _SESSION}]
    lines += [{"type": "turn.started"}] if turn else []
    for line in (*lines, *items):
        sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def opencode(*kinds: str) -> None:
    """Print lines of OpenCode's of these kinds; a call is told once it is over."""
    for kind in kinds:
        part = {"type": kind, "messageID": "m", "text": "hm", "tool": "bash", "callID": "c",
                "reason": "tool-calls", "state": {"status": "completed"}}  # fmt: skip
        line = {"type": kind, "timestamp": time.time_ns() // 10**6, "sessionID": "s"}
        print(json.dumps({**line, "part": part}), flush=True)


def forever() -> NoReturn:
    """Wait in an event loop for what never comes."""
    while True:
        select.epoll().poll()


def spin(share: float = 1.0, period: float = 0.02) -> NoReturn:
    """Use a share of a core, in slices of a period."""
    while True:
        until = time.thread_time() + share * period
        while time.thread_time() < until:
            pass
        if share < 1:
            time.sleep((1 - share) * period)


def every(seconds: float, act: Callable[[], object]) -> NoReturn:
    """Do something again and again."""
    while True:
        act()
        time.sleep(seconds)


def alongside(work: Callable[[], object]) -> threading.Thread:
    """Do something in a thread."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def connect(kind: str = "silent", size: int = 2000) -> socket.socket:
    """Ask a model: a connection to one of the zoo's peers, and a request on it."""
    connection = socket.create_connection((_HOST, int(os.environ[f"ZOO_{kind.upper()}"])))
    connection.sendall(b"POST /v1/messages HTTP/1.1\r\n\r\n" + bytes(size))
    KEPT.append(connection)
    return connection


def local() -> socket.socket:
    """Ask a model over a UNIX socket."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.environ["ZOO_UNIX"])
    connection.sendall(b"POST /v1/messages HTTP/1.1\r\n\r\n")
    KEPT.append(connection)
    return connection


def datagrams(*, connected: bool = True, kind: str = "udp") -> socket.socket:
    """Ask a model by datagrams, as QUIC does."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    address = (_HOST, int(os.environ[f"ZOO_{kind.upper()}"]))
    if connected:
        one.connect(address)
        one.send(b"hello")
    else:
        one.sendto(b"hello", address)
    KEPT.append(one)
    return one


def program(*words: str, stdin: int | IO[bytes] = subprocess.DEVNULL, **options: Any) -> Any:
    """Start a program as a tool is started: in a session of its own, with pipes."""
    options = {"stdout": subprocess.PIPE, "start_new_session": True, **options}
    process = subprocess.Popen(words, stdin=stdin, **options)
    KEPT.append(process)
    return process


def shell(command: str, **options: Any) -> Any:
    """Run a command as a tool does."""
    return program("/bin/sh", "-c", command, **options)


def child(source: str, *, ready: bool = True, **options: Any) -> Any:
    """Start a Python child that has this kit; `ready` waits until it says that it is at rest."""
    reading, writing = os.pipe()
    words = [sys.executable, "-SE", "-c", f"import sys; sys.path.insert(0, {sys.path[0]!r})\n"]
    words[-1] += f"from kit import *\nos.dup2({writing}, 2)\n{source}"
    process = program(*words, pass_fds=(writing,), **options)
    os.close(writing)
    if ready:
        os.read(reading, 1)
    KEPT.append(reading)
    return process


def terminal(*words: str, until: str = "", foreground: bool = True) -> int:
    """Start a program in a session of its own whose terminal is a new one; return its pid.

    `until` is what it has printed there once it waits. Nobody types anything.
    """
    pid, master = os.forkpty()
    if pid == 0:
        if not foreground:
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            if os.fork():
                forever()
            os.setpgid(0, 0)
        os.environ["TERM"] = "xterm"
        os.execvp(words[0], words)
    KEPT.append(master)
    seen = b""
    while until.encode() not in seen:
        seen += os.read(master, 4096)
    alongside(lambda: _drain(master))
    return pid


def _drain(master: int) -> None:
    while True:
        os.read(master, 4096)
