"""The lines of a session, and those who speak in them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MODEL = "scripted-demo"
_INPUT_TOKENS, _OUTPUT_TOKENS = 1000, 20  # of each scripted answer

Block = dict[str, Any]


class Session:
    """One run: its identity, its output, and how many answers were given."""

    def __init__(self, pace: float) -> None:
        self.id = str(uuid.uuid4())
        self.pace = pace
        self.answers = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def write(self, line: Block) -> None:
        """Print one line, as a whole and at once."""
        with self._lock:
            sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
            sys.stdout.flush()

    def emit(self, type_: str, **fields: Any) -> None:
        """Print one line of the session's own (all but the control protocol's)."""
        self.write({"type": type_, **fields, "session_id": self.id, "uuid": str(uuid.uuid4())})

    def system(self, subtype: str, **fields: Any) -> None:
        """Print a system line; these carry no time of their own."""
        self.emit("system", subtype=subtype, **fields)

    def think(self) -> str:
        """Take as long as an answer takes; return its message id."""
        time.sleep(self.pace)
        with self._lock:
            self.answers += 1
        return f"msg_{uuid.uuid4().hex[:24]}"

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command in a session of its own, as the CLIs do."""
        return subprocess.run(  # noqa: S603  the script's own few commands
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )

    def milliseconds(self) -> int:
        """Time since the start."""
        return int((time.monotonic() - self._started) * 1000)


class Voice:
    """Who speaks: the main agent, or one of its subagents (then `context` says which)."""

    def __init__(self, session: Session, **context: str) -> None:
        self.session = session
        self.answers = 0
        self._context: Block = {"parent_tool_use_id": None, **context}

    def say(self, *blocks: Block) -> None:
        """Answer with one message: a line for each of its blocks."""
        message_id = self.session.think()
        self.answers += 1
        for block in blocks:
            message = {
                "id": message_id,
                "type": "message",
                "role": "assistant",
                "model": MODEL,
                "content": [block],
                "stop_reason": None,
                "stop_sequence": None,
                # The API's message_start carries a placeholder, and the real CLI prints that.
                "usage": {**usage(1), "output_tokens": 1},
            }
            self.session.emit("assistant", message=message, **self._context, timestamp=_now())

    def think(self) -> None:
        """Answer with text that stays within: a foreground subagent's is not printed."""
        self.session.think()
        self.answers += 1

    def prompt(self, words: str) -> None:
        """Repeat what a subagent was asked."""
        message = {"role": "user", "content": [text(words)]}
        self.session.emit("user", message=message, **self._context, timestamp=_now())

    def result(self, call: Block, content: Any, structured: Any, **flags: bool) -> None:
        """Hand a tool's result back to the model."""
        block = {"tool_use_id": call["id"], "type": "tool_result", "content": content, **flags}
        self.session.emit(
            "user",
            message={"role": "user", "content": [block]},
            **self._context,
            timestamp=_now(),
            tool_use_result=structured,
        )

    def bash(self, call: Block) -> None:
        """Run the command of a Bash call and report it."""
        done = self.session.run(call["input"]["command"])
        if done.returncode:
            words = f"Exit code {done.returncode}\n{(done.stderr or done.stdout).strip()}"
            self.result(call, words, f"Error: {words}", is_error=True)
            return
        output = {"stdout": done.stdout.strip(), "stderr": done.stderr.strip()}
        states = {"interrupted": False, "isImage": False, "noOutputExpected": False}
        self.result(call, output["stdout"], {**output, **states}, is_error=False)

    def read(self, call: Block) -> None:
        """Read the first lines of the file of a Read call and report them."""
        path, limit = call["input"]["file_path"], call["input"]["limit"]
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        shown = lines[:limit]
        numbered = "\n".join(f"{number}\t{line}" for number, line in enumerate(shown, 1))
        file = {"filePath": path, "content": "\n".join(shown), "numLines": len(shown)}
        place = {"startLine": 1, "totalLines": len(lines)}
        self.result(call, numbered, {"type": "text", "file": {**file, **place}})


def usage(answers: int) -> dict[str, int]:
    """Tokens of so many answers, in the API's words."""
    return {
        "input_tokens": _INPUT_TOKENS * answers,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": _OUTPUT_TOKENS * answers,
    }


def text(words: str) -> Block:
    """Make a block of text."""
    return {"type": "text", "text": words}


def call(name: str, **arguments: Any) -> Block:
    """Make a block that calls a tool."""
    identity = f"toolu_{uuid.uuid4().hex[:24]}"
    return {"type": "tool_use", "id": identity, "name": name, "input": arguments}


def bash(command: str, description: str) -> Block:
    """Make a block that calls the shell."""
    return call("Bash", command=command, description=description)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
