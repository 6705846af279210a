"""An agent that prints what Claude Code prints, and freezes in one of three reported ways.

    python frozen_agent.py WAY PORT SESSION

`subagents`: two in parallel; then its connection is gone, and it burns a core.
`bash`: a command has ended; then one connection on which nothing comes.
`resumed`: an answer in a session that has been before; then one connection, silent.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

from otel_untether.demo import script
from otel_untether.demo.voice import Session, Voice, bash, call, text


def main(way: str, port: int, session_id: str) -> None:
    session = Session(0.05)
    session.id = session_id
    voice = Voice(session)
    script.start(session)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /v1/messages HTTP/1.1\r\n\r\n")
        if way == "subagents":
            until_sampled(voice)
            delegate(voice)
        elif way == "bash":
            look = bash("sleep 0.2; uname", "Look around")
            voice.say(look)
            voice.bash(look)
            connection.sendall(b"POST /v1/messages HTTP/1.1\r\n\r\n")
            freezing(session_id)
            connection.recv(1)
        else:
            voice.say(text("Where were we?"))
            freezing(session_id)
            connection.recv(1)
    freezing(session_id)
    # Never asleep: how much of a core that is depends on who else wants it.
    while True:
        pass


def freezing(session_id: str) -> None:
    """Note that from here on nothing is said any more."""
    (Path(os.environ["OTEL_UNTETHER_STATE_DIR"]) / f"{session_id}.frozen").touch()


def until_sampled(main_voice: Voice) -> None:
    """Speak until our connection has been seen; whoever watches us may be late."""
    runs = Path(os.environ["OTEL_UNTETHER_STATE_DIR"])
    while not any(b'"tcp":1' in file.read_bytes() for file in runs.glob("runs/*/samples.jsonl")):
        main_voice.say(text("Still there."))
        time.sleep(0.1)


def delegate(main_voice: Voice) -> None:
    calls = [
        call("Agent", description=word, prompt=word, subagent_type=word, run_in_background=False)
        for word in ("Explore", "Plan")
    ]
    main_voice.say(*calls)
    for number, started in enumerate(calls):
        name = started["input"]["subagent_type"]
        task = f"a{number:016x}"
        main_voice.session.system(
            "task_started",
            task_id=task,
            tool_use_id=started["id"],
            description=name,
            subagent_type=name,
            is_backgrounded=False,
            spawn_depth=1,
            task_type="local_agent",
            prompt=name,
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
