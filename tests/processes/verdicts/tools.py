"""Tools: hung, slow, waiting for somebody, at work."""

from __future__ import annotations

from typing import Final

from tests.processes.verdicts.zoo import WAKING, Named, Quiet, State

_HUNG: Final = Named("tool_hung", "tool_timeout")
_MCP: Final = Named("mcp_hung", "mcp_tool_timeout")
_WORKS: Final = Quiet("tool_running")
# Slow, and by far not yet twice as long as a tool may take.
_SLOW: Final = {"tool_timeout": 3.0, "liveness_timeout": 2.0}

STATES: Final = (
    State(
        "a command that sleeps",
        Named("tool_hung", "tool_timeout", words=("Bash", "sleep (pid")),
        "init(); shell('exec sleep 600'); tool(); at_rest(); forever()",
    ),
    State(
        "a command that sleeps, with heartbeats",
        Named("tool_hung", "tool_timeout", words=("no progress",)),
        "init(); shell('exec sleep 600'); tool(); at_rest(); every(0.2, beat)",
    ),
    State(
        "a command that sleeps, beside an idle connection",
        _HUNG,
        "init(); connect(); shell('sleep 600; true'); tool(); at_rest(); forever()",
    ),
    State(
        "a command that sleeps, beside a chatty MCP call",
        Named("tool_hung", "tool_timeout"),
        """
        init(); shell("exec sleep 600"); tool(); at_rest()
        every(0.2, lambda: say(type="keep_alive"))
        """,
    ),
    State(
        "a command that waits for a connection of its own",
        _HUNG,
        "init(); child('connect(); at_rest(); forever()'); tool(); at_rest(); forever()",
    ),
    State(
        "codex: a command that sleeps",
        _HUNG,
        """
        shell("exec sleep 600")
        codex({"type": "item.started", "item": {"id": "i", "type": "command_execution",
               "command": "sleep 600", "status": "in_progress"}})
        at_rest(); forever()
        """,
        argv="codex exec --json hi",
    ),
    State(
        "codex: a server left running, and a model that never answers",
        Named("model_silent"),
        """
        shell("exec sleep 600")
        codex({"type": "item.started", "item": {"id": "i", "type": "command_execution",
               "command": "serve", "status": "in_progress"}},
              {"type": "item.completed", "item": {"id": "m", "type": "agent_message",
               "text": "it runs"}})
        connect(); at_rest(); forever()
        """,
        argv="codex exec --json hi",
    ),
    # What was left in the background, as it was long before.
    State(
        "a program left behind that waits for input, and a model that never answers",
        Named("model_silent"),
        """
        init(); program("cat", stdin=subprocess.PIPE); tool(); done()
        text(); connect(); at_rest(); forever()
        """,
    ),
    State(
        "a stopped job left behind, and a model that never answers",
        Named("model_silent", killed=False),  # whatever is stopped speaks against a kill
        """
        init(); one = shell("exec sleep 600"); tool(); done(); one.send_signal(signal.SIGSTOP)
        text(); connect(); at_rest(); forever()
        """,
    ),
    State(
        "a job left behind that waits for a lock, and a model that never answers",
        Named("model_silent"),
        """
        init(); held = open("lock", "w"); fcntl.flock(held, fcntl.LOCK_EX)
        shell("exec flock lock true"); tool(); done(); text(); connect(); at_rest(); forever()
        """,
    ),
    State(
        "a server left behind at a terminal, and a model that never answers",
        Named("model_silent"),
        """
        init(); terminal("sh", "-c", "echo go; exec cat", until="go"); tool(); done()
        text(); connect(); at_rest(); forever()
        """,
    ),
    State(
        "a server left behind at a terminal, and a command that sleeps",
        Named("tool_hung", "tool_timeout", words=("sleep (pid",)),
        """
        init(); terminal("sh", "-c", "echo go; exec cat", until="go"); tool(); done()
        for _ in range(25):
            time.sleep(0.1); text()
        shell("exec sleep 600"); tool("Bash", "toolu_2"); at_rest(); forever()
        """,
    ),
    State(
        "opencode: a server left behind, and a model that never answers",
        Named("model_silent"),
        """
        opencode("step_start"); shell("exec sleep 600")
        for _ in range(25):
            time.sleep(0.1); opencode("text")
        opencode("tool_use", "step_finish", "step_start", "text"); connect()
        at_rest(); forever()
        """,
        argv="opencode run --format json hi",
    ),
    State(
        "opencode: two commands side by side, of which one is over",
        Named("tool_hung", "tool_timeout"),
        """
        opencode("step_start", "text"); connect(); shell("exec sleep 600"); time.sleep(0.6)
        opencode("tool_use"); at_rest(); forever()
        """,
        argv="opencode run --format json hi",
    ),
    State(
        "a command that computes",
        _WORKS,
        "init(); child('at_rest(); spin()'); tool(); at_rest(); forever()",
        config=_SLOW,
    ),
    State(
        "a command that computes, with heartbeats",
        _WORKS,
        "init(); child('at_rest(); spin()'); tool(); at_rest(); every(0.2, beat)",
        config=_SLOW,
    ),
    State(
        "a command that computes now and then",
        _WORKS,
        "init(); child('at_rest(); spin(0.5, 0.6)'); tool(); at_rest(); forever()",
        config=_SLOW,
    ),
    State(
        "a command that starts others, one after the other",
        _WORKS,
        """
        init(); shell("while true; do /bin/ls /usr/bin >/dev/null; done"); tool()
        at_rest(); forever()
        """,
        config=_SLOW,
    ),
    State(
        "a command that writes to a disk",
        _WORKS,
        """
        init()
        child('''
        out = open("big", "wb", buffering=0)
        at_rest()
        def write():
            out.seek(0); out.write(bytes(1 << 16)); os.fsync(out.fileno())
        every(0.05, write)
        ''')
        tool(); at_rest(); forever()
        """,
        config=_SLOW,
    ),
    State(
        "a command that downloads",
        _WORKS,
        """
        init()
        child('''
        one = connect("streaming"); at_rest()
        while True:
            one.recv(65536)
        ''')
        tool(); at_rest(); forever()
        """,
        config=_SLOW,
    ),
    State(
        "a command that computes and keeps the agent busy with its output",
        _WORKS,
        """
        init()
        maker = child("at_rest(); spin(0.9, 0.05)")
        tool(); at_rest(); spin(0.06)
        """,
        config=_SLOW,
    ),
    State(
        "a command that waits for input",
        Named("awaiting_stdin", "tool_timeout", words=("cat (pid",)),
        "init(); program('cat', stdin=subprocess.PIPE); tool(); at_rest(); forever()",
    ),
    State(
        "a pipeline that waits for input",
        Named("awaiting_stdin", "tool_timeout", words=("cat (pid",)),
        """
        init(); shell("cat | grep x", stdin=subprocess.PIPE); time.sleep(0.2)
        tool(); at_rest(); forever()
        """,
    ),
    State(
        "a command that sleeps, and the next in its pipeline",
        _HUNG,
        "init(); shell('sleep 600 | cat'); time.sleep(0.2); tool(); at_rest(); forever()",
    ),
    State(
        "a command that hangs, with a language server of its own",
        _HUNG,
        """
        init()
        child('''
        program("cat", stdin=subprocess.PIPE, start_new_session=False)
        at_rest(); forever()
        ''')
        tool(); at_rest(); forever()
        """,
    ),
    State(
        "a command that keeps a process waiting for input, and computes",
        _WORKS,
        """
        init()
        child('''
        program("cat", stdin=subprocess.PIPE, start_new_session=False)
        at_rest(); spin()
        ''')
        tool(); at_rest(); forever()
        """,
        config=_SLOW,
    ),
    State(
        "a command in the background, stopped (SIGSTOP)",
        Named("stopped", "tool_timeout", words=("kill -CONT",)),
        """
        init(); one = shell("exec sleep 600"); tool(); one.send_signal(signal.SIGSTOP)
        at_rest(); forever()
        """,
    ),
    State(
        "an MCP call over pipes",
        Named("mcp_hung", "mcp_tool_timeout", words=("the MCP server db",)),
        """
        init(); program("cat", stdin=subprocess.PIPE, start_new_session=False)
        tool("mcp__db__query"); at_rest(); forever()
        """,
    ),
    State(
        "an MCP call, with heartbeats",
        _MCP,
        """
        init(); program("cat", stdin=subprocess.PIPE, start_new_session=False)
        tool("mcp__db__query"); at_rest()
        every(0.2, lambda: beat(name="mcp__db__query"))
        """,
    ),
    State(
        "an MCP call over a connection",
        _MCP,
        "init(); tool('mcp__db__query'); connect(); at_rest(); forever()",
    ),
    State(
        "an MCP call whose server cannot connect",
        _MCP,
        """
        init()
        child('''
        one = socket.socket(); one.setblocking(False)
        one.connect_ex(("127.0.0.1", int(os.environ["ZOO_FULL"])))
        at_rest(); forever()
        ''', start_new_session=False)
        tool("mcp__db__query"); at_rest(); forever()
        """,
    ),
    State(
        "an MCP call and a command beside it",
        _MCP,
        """
        init(); shell("exec sleep 600")
        tool(); tool("mcp__db__query", "toolu_2"); at_rest(); forever()
        """,
    ),
    State(
        "a foreground subagent whose model is silent",
        Named("subagent_hung", "subagent_timeout"),
        "init(); delegate('toolu_1', 't1'); connect(); at_rest(); forever()",
    ),
    State(
        "a foreground subagent whose model is silent, with heartbeats",
        Named("subagent_hung", "subagent_timeout"),
        "init(); delegate('toolu_1', 't1'); connect(); at_rest(); every(0.2, beat)",
    ),
    State(
        "one subagent hangs while its sibling talks",
        Named("subagent_hung", "subagent_timeout", words=("one subagent of 2",)),
        """
        init(); delegate("toolu_1", "t1"); delegate("toolu_2", "t2"); connect(); at_rest()
        every(0.2, lambda: text("still here", "toolu_2"))
        """,
    ),
    State(
        "a subagent's command hangs",
        _HUNG,
        """
        init(); delegate("toolu_1", "t1"); connect(); shell("exec sleep 600")
        tool("Bash", "toolu_9", "toolu_1"); at_rest(); forever()
        """,
    ),
    State(
        "a subagent's command computes",
        Quiet("tool_running"),
        """
        init(); delegate("toolu_1", "t1"); connect(); child("at_rest(); spin()")
        tool("Bash", "toolu_9", "toolu_1"); at_rest(); forever()
        """,
        config=_SLOW,
    ),
    State(
        "a call that brings a long limit of its own",
        Quiet(),
        "init(); shell('exec sleep 600'); tool(timeout=600_000); at_rest(); forever()",
    ),
    State(
        "a command that watches files (inotify)",
        _HUNG,
        "init(); shell('touch log; exec tail -f log'); tool(); at_rest(); forever()",
    ),
    State(
        "a server left in the background, after the turn",
        Quiet(),
        """
        init(); child('one = socket.create_server(("127.0.0.1", 0)); at_rest(); forever()')
        tool(run_in_background=True)
        say(type="system", subtype="task_started", task_id="b1", tool_use_id="toolu_1",
            description="serve", is_backgrounded=True, task_type="local_bash")
        done(); text(); result(); at_rest(); forever()
        """,
    ),
    State(
        "a server that it started listens, and the agent sleeps",
        Named("agent_asleep", words=("listens",)),
        """
        init(); child('one = socket.create_server(("127.0.0.1", 0)); at_rest(); forever()')
        tool(); done(); at_rest(); forever()
        """,
    ),
    State(
        "a hook that no line tells of, which sleeps",
        Named("agent_asleep", killed=False, words=("sleeps for a time",)),
        "init(); text(); shell('exec sleep 600', start_new_session=False); at_rest(); forever()",
    ),
    State(
        "a hook that no line tells of, which watches files",
        Named("agent_asleep", killed=False, words=("watches files",)),
        """
        init(); text(); shell("touch log; exec tail -f log", start_new_session=False)
        time.sleep(0.3); at_rest(); forever()
        """,
        late=1,
    ),
    State(
        "a hook that no line tells of, which looks again and again",
        Named("agent_asleep", killed=False, words=("runs now and then",)),
        """
        init(); text()
        child("poll = select.epoll(); at_rest(); every(0, lambda: poll.poll(0.1))",
              start_new_session=False)
        at_rest(); forever()
        """,
        config=WAKING,
    ),
    State(
        "a child that works, and the agent sleeps",
        Named("agent_asleep", words=("works",)),
        """
        init(); child("at_rest(); spin(0.3)", start_new_session=False)
        text(); at_rest(); forever()
        """,
    ),
    State(
        "a lock of a file that another holds",
        Named("lock_wait", "tool_timeout", words=("flock (pid",)),
        """
        init()
        held = open("lock", "w"); fcntl.flock(held, fcntl.LOCK_EX)
        shell("exec flock lock true"); tool(); time.sleep(0.3); at_rest(); forever()
        """,
    ),
    State(
        "its own lock of a file",
        Named("lock_wait"),
        """
        init(); text()
        held = open("lock", "w"); fcntl.flock(held, fcntl.LOCK_EX)
        mine = open("lock"); at_rest(); fcntl.flock(mine, fcntl.LOCK_EX)
        """,
    ),
    State(
        "a lock of a file in a thread",
        Named("lock_wait", words=("thread",)),
        """
        init(); text()
        held = open("lock", "w"); fcntl.flock(held, fcntl.LOCK_EX)
        mine = open("lock"); alongside(lambda: fcntl.flock(mine, fcntl.LOCK_EX))
        time.sleep(0.1); at_rest(); forever()
        """,
    ),
    State(
        "a POSIX lock that a child holds",
        Named("lock_wait"),
        """
        init()
        child('held = open("lock", "w"); fcntl.lockf(held, fcntl.LOCK_EX); at_rest(); forever()')
        mine = open("lock", "r+"); text(); at_rest(); fcntl.lockf(mine, fcntl.LOCK_EX)
        """,
    ),
    State(
        "an MCP server that does not read, and a full pipe",
        Named("child_not_reading", words=("python",)),
        """
        init(); server = child("at_rest(); forever()", stdin=subprocess.PIPE,
                               start_new_session=False)
        text(); at_rest()
        os.write(server.stdin.fileno(), bytes(1 << 20))
        """,
    ),
    State(
        "an MCP server that does not read, beside an idle connection",
        Named("child_not_reading", words=("python",)),
        """
        init(); connect(); server = child("at_rest(); forever()", stdin=subprocess.PIPE,
                                          start_new_session=False)
        text(); at_rest(); os.write(server.stdin.fileno(), bytes(1 << 20))
        """,
    ),
    State(
        "its own output is not read",
        Named("output_blocked", "startup_timeout", words=("not being read",)),
        """
        alongside(lambda: every(0.05, lambda: os.write(1, bytes(65536))))
        time.sleep(0.3); at_rest(); os.write(1, bytes(65536))
        """,
        unread=True,
    ),
)
