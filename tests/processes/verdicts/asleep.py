"""Agents that sleep: for good, or so it looks."""

from __future__ import annotations

from typing import Final

from tests.processes.verdicts.zoo import Named, State

_WEDGED: Final = Named("wedged")
_JSON: Final = "-p hi --output-format stream-json --verbose"
_IDLE: Final = "init(); text(); at_rest(); forever()"


def _thread(work: str) -> str:
    """The main thread is in its loop, as Node's, Bun's and tokio's are; a worker does this."""
    return f"init(); text(); alongside(lambda: {work}); time.sleep(0.05); at_rest(); forever()"


STATES: Final = (
    State("in its event loop", _WEDGED, _IDLE),
    State("in poll", _WEDGED, "init(); text(); at_rest(); select.poll().poll()"),
    State("in select", _WEDGED, "init(); text(); at_rest(); select.select([], [], [])"),
    State("in pause", _WEDGED, "init(); text(); at_rest(); signal.pause()"),
    State("in sigwait", _WEDGED, "init(); text(); at_rest(); signal.sigwait({signal.SIGUSR1})"),
    State(
        "in a lock of its own",
        _WEDGED,
        "init(); text(); lock = threading.Lock(); lock.acquire(); at_rest(); lock.acquire()",
    ),
    State("in a sleep that is long", _WEDGED, "init(); text(); at_rest(); time.sleep(6000)"),
    State(
        "in a pipe of its own",
        _WEDGED,
        "init(); text(); ends = os.pipe(); at_rest(); os.read(ends[0], 1)",
    ),
    State(
        "in a pair of sockets of its own",
        _WEDGED,
        "init(); text(); ends = socket.socketpair(); at_rest(); ends[0].recv(1)",
    ),
    State(
        "in an eventfd",
        _WEDGED,
        "init(); text(); fd = os.eventfd(0); at_rest(); os.eventfd_read(fd)",
    ),
    State(
        "joining a thread that never ends",
        _WEDGED,
        "init(); text(); at_rest(); alongside(threading.Event().wait).join()",
    ),
    State(
        "ten threads in locks",
        _WEDGED,
        """
        init(); text()
        for _ in range(10):
            alongside(threading.Event().wait)
        at_rest(); forever()
        """,
    ),
    State("a thread in a lock", _WEDGED, _thread("threading.Event().wait()")),
    State(
        "a zombie that nobody waits for",
        _WEDGED,
        """
        init(); text()
        if os.fork() == 0:
            os._exit(3)
        at_rest(); forever()
        """,
    ),
    State(
        "after a tool's result",
        _WEDGED,
        "init(); tool(); done(); at_rest(); forever()",
    ),
    State(
        "after a tool whose connection is long closed",
        _WEDGED,
        "init(); tool(); connect().close(); done(); at_rest(); forever()",
    ),
    State(
        "an open call that no process carries out",
        Named("wedged", "tool_timeout"),
        "init(); tool(); at_rest(); forever()",
    ),
    State(
        "an open subagent and no connection",
        Named("wedged", "subagent_timeout"),
        "init(); delegate('toolu_1', 't1'); at_rest(); forever()",
    ),
    State(
        "without standard input",
        _WEDGED,
        _IDLE,
        argv=f"sh -c 'exec claude {_JSON} <&-'",
    ),
    State("an open input in the middle of a turn", _WEDGED, _IDLE, stdin="open"),
    State("behind sh -c", _WEDGED, _IDLE, argv=f"sh -c 'claude {_JSON}; true'"),
    State("behind timeout", _WEDGED, _IDLE, argv=f"timeout 600 claude {_JSON}"),
    State("behind nice and env", _WEDGED, _IDLE, argv=f"nice -n 1 env A=1 claude {_JSON}"),
    State(
        "behind a shim of npm's kind",
        _WEDGED,
        _IDLE,
        argv="""node -e '
            const {spawn} = require("child_process");
            spawn("claude", ["-p", "hi", "--output-format", "stream-json", "--verbose"],
                  {stdio: "inherit"}).on("exit", () => process.exit(1));'""",
    ),
    State(
        "in a pipeline",
        _WEDGED,
        _IDLE,
        argv=f"sh -c 'claude {_JSON} | tee log'",
    ),
    State(
        "in a network namespace of its own",
        _WEDGED,
        _IDLE,
        argv=f"unshare -n claude {_JSON}",
        privileged=True,
    ),
    State(
        "node, whose promise is never kept",
        _WEDGED,
        _IDLE,
        argv="""node -e '
            const say = (line) => console.log(JSON.stringify({session_id: "s", ...line}));
            say({type: "system", subtype: "init", model: "m", tools: [],
                 claude_code_version: "2.1.330"});
            setInterval(() => {}, 1 << 30);
            console.error("at rest");' claude""",
    ),
    State(
        "codex",
        _WEDGED,
        "codex({'type': 'item.completed', 'item': {'id': '1', 'type': 'agent_message',"
        " 'text': 'x'}}); at_rest(); forever()",
        argv="codex exec --json hi",
    ),
    State(
        "codex behind its shim",
        _WEDGED,
        "codex({'type': 'item.completed', 'item': {'id': '1', 'type': 'agent_message',"
        " 'text': 'x'}}); at_rest(); forever()",
        argv="""node -e '
            const {spawn} = require("child_process");
            spawn("codex", ["exec", "--json", "hi"], {stdio: "inherit"});'""",
    ),
    State(
        "it ignores SIGTERM, and so does its child in a session of its own",
        _WEDGED,
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        init(); text()
        child("signal.signal(signal.SIGTERM, signal.SIG_IGN); at_rest(); forever()")
        at_rest(); forever()
        """,
    ),
    State(
        "not a line, then nothing can wake it",
        Named("startup_hang", "startup_timeout", also=("wedged",)),
        "at_rest(); forever()",
    ),
    State(
        "only a line that nobody understands",
        Named("wedged", killed=False),
        "print('hi', flush=True); at_rest(); forever()",
        argv="mystery --json",
    ),
)
