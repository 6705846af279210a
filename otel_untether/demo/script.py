"""What the scripted agent does, in order."""

from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from otel_untether.demo.voice import MODEL, Block, Session, Voice, bash, call, text, usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SUBAGENTS = (("Explore", "Find the failure"), ("Plan", "Plan the repair"))


def start(session: Session) -> None:
    """Introduce the session."""
    session.system(
        "init",
        cwd=str(Path.cwd()),
        tools=["Task", "Bash", "Read"],
        mcp_servers=[],
        model=MODEL,
        permissionMode="default",
        apiKeySource="none",
        claude_code_version="0.0.0-scripted-demo",
        output_style="default",
        agents=[kind for kind, _ in _SUBAGENTS],
    )


def work(main: Voice) -> None:
    """Run a command, read twice at once, fail a command."""
    look = bash("sleep 0.3; uname -s", "Look around")
    main.say(text("I am a scripted demo: no model is asked, nothing is billed."), look)
    main.bash(look)
    reads = [call("Read", file_path=__file__, limit=limit) for limit in (3, 5)]
    main.say(text("Two reads at once."), *reads)
    _at_once(main.read, reads)
    fail = bash("echo 'one test failed' >&2; exit 3", "Run the tests")
    main.say(text("Now a command that fails."), fail)
    main.bash(fail)


def delegate(main: Voice) -> None:
    """Start two foreground subagents at once and wait for both."""
    calls = [
        call(
            "Agent",
            description=description,
            prompt=description,
            subagent_type=kind,
            run_in_background=False,
        )
        for kind, description in _SUBAGENTS
    ]
    main.say(text("Two subagents at once."), *calls)
    _at_once(lambda started: _subagent(main, started), calls)


def finish(main: Voice, *, interrupted: bool = False) -> None:
    """Print the result: as at the end of a turn, or as after SIGINT."""
    session = main.session
    closing: Block = {"errors": []} if interrupted else {"result": "Done, as scripted."}
    if not interrupted:
        main.say(text(closing["result"]))
    session.emit(
        "result",
        subtype="error_during_execution" if interrupted else "success",
        is_error=interrupted,
        duration_ms=session.milliseconds(),
        duration_api_ms=0,
        num_turns=main.answers,
        **closing,
        stop_reason=None if interrupted else "end_turn",
        total_cost_usd=0,
        usage=usage(main.answers),
        modelUsage={MODEL: _model_usage(session.answers)},
        permission_denials=[],
        terminal_reason="aborted_tools" if interrupted else "completed",
        result_index=0,
    )


def _model_usage(answers: int) -> Block:
    tokens = usage(answers)
    return {
        "inputTokens": tokens["input_tokens"],
        "outputTokens": tokens["output_tokens"],
        "cacheReadInputTokens": 0,
        "cacheCreationInputTokens": 0,
        "costUSD": 0,
    }


def _subagent(main: Voice, started: Block) -> None:
    session, given = main.session, started["input"]
    began, task_id = session.milliseconds(), f"a{uuid.uuid4().hex[:16]}"
    task = {"task_id": task_id, "tool_use_id": started["id"]}
    named = {"description": given["description"], "subagent_type": given["subagent_type"]}
    session.system(
        "task_started",
        **task,
        **named,
        is_backgrounded=False,
        spawn_depth=1,
        task_type="local_agent",
        prompt=given["prompt"],
    )
    voice = Voice(
        session,
        parent_tool_use_id=started["id"],
        agent_id=task_id,
        subagent_type=given["subagent_type"],
        task_description=given["description"],
    )
    voice.prompt(given["prompt"])
    search = bash("sleep 0.5; echo found", given["description"])
    voice.say(search)
    done = _task_usage(voice, began)
    session.system("task_progress", **task, **named, usage=done, last_tool_name="Bash")
    voice.bash(search)
    voice.think()
    done = _task_usage(voice, began)
    ended = {"status": "completed", "end_time": time.time_ns() // 1_000_000}
    session.system("task_updated", task_id=task_id, patch=ended)
    session.system("task_notification", **task, status="completed", summary="Found.", usage=done)
    main.result(started, [text("Found.")], _report(task_id, given["subagent_type"], done))


def _report(task_id: str, kind: str, done: dict[str, int]) -> dict[str, object]:
    return {
        "status": "completed",
        "agentId": task_id,
        "agentType": kind,
        "totalDurationMs": done["duration_ms"],
        "totalTokens": done["total_tokens"],
        "totalToolUseCount": done["tool_uses"],
    }


def _task_usage(voice: Voice, began: int) -> dict[str, int]:
    tokens = sum(usage(voice.answers).values())
    elapsed = voice.session.milliseconds() - began
    return {"total_tokens": tokens, "tool_uses": 1, "duration_ms": elapsed}


def _at_once(work: Callable[[Block], None], calls: Iterable[Block]) -> None:
    threads = [threading.Thread(target=work, args=(block,), daemon=True) for block in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
