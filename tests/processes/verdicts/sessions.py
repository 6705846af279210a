"""Sessions that wait for somebody, are between two prompts, or speak in a way nobody reads."""

from __future__ import annotations

from typing import Final

from tests.processes.verdicts.zoo import Named, Quiet, State

_SERIAL: Final = "claude -p --input-format stream-json --output-format stream-json --verbose"
_READER: Final = "alongside(lambda: sys.stdin.buffer.raw.read(65536)); "
_PROMPT: Final = b'{"type":"user","message":{"role":"user","content":"next"}}\n'
_TURN: Final = "init(); text(); result(); "
_SERVED: Final = """
select_set = select.epoll(); select_set.register(0, select.EPOLLIN)
at_rest(); select_set.poll()
"""

STATES: Final = (
    # Between two prompts, silence is right; with one that is not answered, it is not.
    State("between two prompts", Quiet(), _TURN + _SERVED, argv=_SERIAL, stdin="open"),
    State(
        "between two prompts, a thread reads",
        Quiet(),
        _TURN + _READER + "time.sleep(0.1); at_rest(); threading.Event().wait()",
        argv=_SERIAL,
        stdin="open",
    ),
    State(
        "between two prompts, with a connection kept",
        Quiet(),
        "init(); connect(); text(); result(); " + _SERVED,
        argv=_SERIAL,
        stdin="open",
    ),
    State(
        "between two prompts, behind timeout",
        Quiet(),
        _TURN + _SERVED,
        argv=f"timeout 600 {_SERIAL}",
        stdin="open",
    ),
    State(
        "between two prompts, behind a shell",
        Quiet(),
        _TURN + _SERVED,
        argv=f"sh -c '{_SERIAL}; true'",
        stdin="open",
    ),
    # Kept ready for a first one.
    State("before its first prompt", Quiet("awaiting_prompt"), _SERVED, argv=_SERIAL, stdin="open"),
    State(
        "before its first prompt, its host having said hello",
        Quiet("awaiting_prompt"),
        "say(type='control_response', response={'subtype': 'success', 'request_id': 'r'}); "
        + _SERVED.strip().replace("\n", "; "),
        argv=_SERIAL,
        stdin="open",
    ),
    State(
        "before its first prompt, in a blocking read, with an MCP server",
        Quiet("awaiting_prompt"),
        """
        program("cat", stdin=subprocess.PIPE, start_new_session=False)
        at_rest(); sys.stdin.buffer.raw.read(1)
        """,
        argv=_SERIAL,
        stdin="open",
    ),
    State(
        "its first prompt is not read",
        Named("startup_hang", "startup_timeout"),
        "time.sleep(0.3); at_rest(); forever()",
        argv=_SERIAL,
        stdin="open",
        typed=((0.0, _PROMPT),),
    ),
    State(
        "before its first prompt, and it does not look for one",
        Named("startup_hang", "startup_timeout"),
        "at_rest(); threading.Event().wait()",
        argv=_SERIAL,
        stdin="open",
    ),
    State(
        "three prompts, with pauses",
        Quiet(),
        """
        poll = select.epoll(); poll.register(0, select.EPOLLIN)
        init(); text(); result(); at_rest()
        while True:
            poll.poll()
            if not os.read(0, 65536):
                break
            init(); text(); result()
        """,
        argv=_SERIAL,
        stdin="open",
        typed=((1.8, _PROMPT), (3.6, _PROMPT)),
    ),
    State(
        "a prompt that is not read",
        Named("prompt_unanswered", words=("lies unread", "bytes")),
        _TURN + "at_rest(); forever()",
        argv=_SERIAL,
        stdin="open",
        typed=((0.0, _PROMPT),),
        late=3,
    ),
    State(
        "a prompt that is read, and nothing follows",
        Named("prompt_unanswered", words=("done nothing with it",)),
        _TURN
        + "at_rest(); os.read(0, 65536); lock = threading.Lock(); lock.acquire(); lock.acquire()",
        argv=_SERIAL,
        stdin="open",
        typed=((0.0, _PROMPT),),
        late=3,
    ),
    State(
        "its result is out, and it stays",
        Named("exit_limbo", "post_result_timeout"),
        _TURN + "at_rest(); forever()",
    ),
    State(
        "its result is out, and it stays with a connection",
        Named("exit_limbo", "post_result_timeout"),
        "init(); connect(); text(); result(); at_rest(); forever()",
    ),
    # Servers, between two requests.
    State(
        "pi --mode rpc",
        Quiet(),
        "say(type='agent_end'); " + _SERVED,
        argv="pi --mode rpc",
        stdin="open",
    ),
    State(
        "codex app-server",
        Quiet(),
        "say(id=0, result={}); " + _SERVED,
        argv="codex app-server",
        stdin="open",
    ),
    State(
        "claude mcp serve",
        Quiet(),
        "say(jsonrpc='2.0', id=0, result={}); " + _SERVED,
        argv="claude mcp serve",
        stdin="open",
    ),
    State(
        "gemini --acp",
        Quiet(),
        "say(jsonrpc='2.0', id=0, result={}); " + _SERVED,
        argv="gemini --acp",
        stdin="open",
    ),
    State(
        "opencode acp",
        Quiet(),
        "say(jsonrpc='2.0', id=0, result={}); " + _SERVED,
        argv="opencode acp",
        stdin="open",
    ),
    State(
        "a server that nobody knows",
        Quiet(),
        "print('ready', flush=True); " + _SERVED,
        argv="mystery --serve",
        stdin="open",
    ),
    State(
        "a server in a blocking read",
        Quiet(),
        "say(jsonrpc='2.0', id=0, result={}); at_rest(); sys.stdin.buffer.raw.read(1)",
        argv="claude mcp serve",
        stdin="open",
    ),
    # Text mode: nothing until the answer.
    State(
        "claude as text, a tool at work",
        Quiet(),
        "shell('exec sleep 600'); at_rest(); forever()",
        argv="claude -p hi",
    ),
    State(
        "claude as one JSON document, at its model",
        Named("model_silent", "liveness_timeout"),
        "connect(); time.sleep(0.3); at_rest(); forever()",
        argv="claude -p hi --output-format json",
    ),
    State(
        "codex as text, a tool at work",
        Quiet(),
        "shell('exec sleep 600'); at_rest(); forever()",
        argv="codex exec hi",
    ),
    State(
        "copilot as text, a tool that does nothing for twice its time",
        Named("tool_hung", "liveness_timeout"),
        "shell('exec sleep 600'); at_rest(); forever()",
        argv="copilot -p hi",
        config={"tool_timeout": 1.2},
        late=4,  # it counts from when the last new process was no news any more
    ),
    State(
        "codex as text, at its model",
        Named("model_silent", "liveness_timeout"),
        "connect(); time.sleep(0.3); at_rest(); forever()",
        argv="codex exec hi",
    ),
    State(
        "claude as text, and nothing can wake it",
        Named("wedged", "liveness_timeout", killed=False),
        "at_rest(); forever()",
        argv="claude -p hi",
    ),
    # Somebody was asked.
    State(
        "an approval",
        Quiet("awaiting_approval"),
        """
        init(); tool(); asked(subtype="can_use_tool", tool_name="Bash", tool_use_id="toolu_1")
        at_rest(); forever()
        """,
    ),
    State(
        "a question to the user",
        Quiet("awaiting_approval"),
        """
        init(); tool("AskUserQuestion")
        asked(subtype="can_use_tool", tool_name="AskUserQuestion", tool_use_id="toolu_1")
        at_rest(); forever()
        """,
    ),
    State(
        "an approval that was given without a word; its command sleeps",
        Named("tool_hung", "tool_timeout"),
        """
        init(); tool(); asked(subtype="can_use_tool", tool_name="Bash", tool_use_id="toolu_1")
        time.sleep(1.0); shell("exec sleep 600"); time.sleep(0.3)
        at_rest(); forever()
        """,
        late=3,
    ),
    State(
        "an approval without an id, and work after it",
        Named("model_silent"),
        """
        init(); tool(); asked(subtype="can_use_tool", tool_name="Bash")
        done(); text(); connect(); at_rest(); forever()
        """,
    ),
    State(
        "a hook in its time",
        Quiet(),
        """
        init(); say(type="system", subtype="hook_started", hook_id="h", hook_event="PreToolUse",
                    hook_name="PreToolUse:Bash", uuid="u")
        shell("exec sleep 600"); at_rest(); forever()
        """,
        config={"hook_timeout": 60.0},
    ),
    State(
        "a hook that hangs",
        Named("hook_hung", "hook_timeout", words=("PreToolUse",)),
        """
        init(); say(type="system", subtype="hook_started", hook_id="h", hook_event="PreToolUse",
                    hook_name="PreToolUse:Bash", uuid="u")
        shell("exec sleep 600"); at_rest(); forever()
        """,
    ),
    State(
        "a hook inside an open call",
        Named("hook_hung", "hook_timeout"),
        """
        init(); tool()
        say(type="system", subtype="hook_started", hook_id="h", hook_event="PreToolUse",
            hook_name="PreToolUse:Bash", uuid="u")
        shell("exec sleep 600"); at_rest(); forever()
        """,
    ),
    State(
        "a host that has not answered its hook yet",
        Quiet(),
        """
        init(); tool(); asked(subtype="hook_callback", callback_id="c",
                              input={"hook_event_name": "PreToolUse"})
        at_rest(); forever()
        """,
        config={"hook_timeout": 60.0},
    ),
    State(
        "a host that carries out a tool of its own, in its time",
        Quiet(),
        """
        init(); tool("mcp__sdk__query"); asked(subtype="mcp_message", server_name="sdk",
                                               message={"method": "tools/call", "id": 1})
        at_rest(); forever()
        """,
        config={"hook_timeout": 1.0, "mcp_tool_timeout": 60.0},
    ),
    State(
        "a host that never answers for a tool of its own",
        Named("mcp_hung", "mcp_tool_timeout", words=("the MCP server sdk",)),
        """
        init(); tool("mcp__sdk__query"); asked(subtype="mcp_message", server_name="sdk",
                                               message={"method": "tools/call", "id": 1})
        at_rest(); forever()
        """,
    ),
    State(
        "a host that never answers its hook",
        Named("hook_hung", "hook_timeout", words=("its host",)),
        """
        init(); tool(); asked(subtype="hook_callback", callback_id="c",
                              input={"hook_event_name": "PreToolUse"})
        at_rest(); forever()
        """,
    ),
    State(
        "a compaction in its time",
        Quiet(),
        """
        init(); say(type="system", subtype="status", status="compacting"); connect()
        at_rest(); forever()
        """,
        config={"compaction_timeout": 60.0},
    ),
    State(
        "a compaction that never ends",
        Named("compaction_hung", "compaction_timeout"),
        """
        init(); say(type="system", subtype="status", status="compacting"); connect()
        at_rest(); forever()
        """,
    ),
    State(
        "a compaction that never ends, said again and again",
        Named("compaction_hung", "compaction_timeout"),
        """
        init(); say(type="system", subtype="status", status="compacting"); connect(); at_rest()
        every(0.2, lambda: say(type="system", subtype="status", status="compacting"))
        """,
    ),
    State(
        "keep-alives, and a model that never answers",
        Named("model_silent"),
        "init(); text(); connect(); at_rest(); every(0.2, lambda: say(type='keep_alive'))",
    ),
    State(
        "keep-alives, and nothing else",
        Named("unexplained", words=("says that it lives",)),
        "init(); text(); at_rest(); every(0.2, lambda: say(type='keep_alive'))",
    ),
    # Not a line since the start.
    State(
        "no line, and a model that never answers",
        Named("startup_hang", "startup_timeout"),
        "connect(); at_rest(); forever()",
    ),
    State(
        "no line, for it reads its input",
        Named("awaiting_stdin", "startup_timeout", words=("standard input",)),
        "at_rest(); sys.stdin.buffer.raw.read(1)",
        stdin="open",
    ),
    State(
        "codex, which reads additional input in a thread",
        Named("awaiting_stdin", "startup_timeout", words=("standard input",)),
        _READER + "time.sleep(0.1); at_rest(); threading.Event().wait()",
        argv="codex exec --json hi",
        stdin="open",
    ),
    State(
        "codex, which reads additional input, with an MCP server",
        Named("awaiting_stdin", "startup_timeout", words=("standard input",)),
        """
        program("cat", stdin=subprocess.PIPE, start_new_session=False)
        at_rest(); sys.stdin.buffer.raw.read(1)
        """,
        argv="codex exec --json hi",
        stdin="open",
    ),
    State(
        "its stdout is silent, but its transcript grows",
        Named(
            "unexplained",
            killed=False,
            also=("model_unreachable",),  # while too few samples are known of a busy machine
            words=("its transcript grows",),
        ),
        """
        init(); text(); out = open("transcript.jsonl", "ab", buffering=0); at_rest()
        every(0.1, lambda: out.write(bytes(400)))
        """,
    ),
    State(
        "docker run claude, a call open inside the container",
        Named("tool_hung", "tool_timeout", killed=False),
        "init(); tool(); local(); at_rest(); forever()",
        argv="docker run -i img claude -p hi --output-format stream-json",
    ),
    State(
        "docker run claude, whose client is all there is to see",
        Named("unexplained", killed=False, words=("docker is a client",)),
        "init(); text(); at_rest(); forever()",
        argv="docker run -i img claude -p hi --output-format stream-json",
    ),
    State(
        "ssh host claude",
        Named("model_silent", killed=False, words=("127.0.0.1:",)),
        "init(); text(); connect(); at_rest(); forever()",
        argv="ssh host claude -p hi --output-format stream-json --verbose",
    ),
    State(
        "kubectl exec claude",
        Named("unexplained", killed=False, words=("kubectl is a client",)),
        "init(); text(); at_rest(); forever()",
        argv="kubectl exec -i pod -- claude -p hi --output-format stream-json --verbose",
    ),
)
