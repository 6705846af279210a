"""Agents that wait for a model, or for a network: nobody is killed for that by default."""

from __future__ import annotations

from typing import Final

from tests.processes.verdicts.zoo import WAKING, Named, Quiet, State

_SILENT: Final = Named("model_silent")
_AT_LENGTH: Final = Named("model_silent", "liveness_timeout", killed=False)
_LOST: Final = Named("network_lost")


STATES: Final = (
    State(
        "a model that never answers",
        Named("model_silent", words=("127.0.0.1:", "silent for")),
        "init(); text(); connect(); at_rest(); forever()",
    ),
    State(
        "a model that stops in the middle of its answer",
        _SILENT,
        "init(); text(); connect('begun').recv(400); at_rest(); forever()",
    ),
    State(
        "a model that never answers, in a blocking read",
        _SILENT,
        "init(); text(); one = connect(); at_rest(); one.recv(1)",
    ),
    State(
        "a model that never answers, read in a thread",
        _SILENT,
        "init(); text(); one = connect(); alongside(lambda: one.recv(1)); at_rest(); forever()",
    ),
    State(
        "keep-alives and no answer",
        Named("model_silent", "liveness_timeout", killed=False, words=("keep-alives",)),
        """
        init(); text(); one = connect("pinging"); at_rest()
        while True:
            one.recv(4096)
        """,
        config=WAKING,
    ),
    State(
        "an answer that goes on arriving",
        Quiet(),
        """
        init(); text(); one = connect("streaming"); at_rest()
        while True:
            one.recv(65536)
        """,
    ),
    State(
        "an answer that never ends",
        Named("model_streaming", "streaming_timeout", words=("kB/s",)),
        """
        init(); text(); one = connect("streaming"); at_rest()
        while True:
            one.recv(65536)
        """,
        config={"streaming_timeout": 4.0},
    ),
    State("over a UNIX socket", _SILENT, "init(); text(); local(); at_rest(); forever()"),
    State("by datagrams", _SILENT, "init(); text(); datagrams(); at_rest(); forever()"),
    State(
        "by datagrams to nobody in particular",
        _SILENT,
        "init(); text(); datagrams(connected=False); at_rest(); forever()",
    ),
    State(
        "beside an idle connection used before",
        Named("model_silent", words=("only keep-alives",), at="liveness_timeout", killed=False),
        """
        init(); text(); connect("silent"); time.sleep(0.4)
        say(type="system", subtype="status", status="requesting")
        one = connect("pinging"); at_rest()
        while True:
            one.recv(4096)
        """,
        config=WAKING,
    ),
    State(
        "beside telemetry that is answered",
        _SILENT,
        """
        init(); text(); other = connect("pinging", 10); time.sleep(1.5)
        say(type="system", subtype="status", status="requesting")
        connect(); at_rest()
        while True:
            other.recv(4096)
        """,
        config=WAKING,
    ),
    State(
        "beside an MCP server of its own, which pings",
        Named("model_silent", words=("127.0.0.1:",)),
        """
        init()
        server = child('''
        server = socket.create_server(("127.0.0.1", 0))
        print(server.getsockname()[1], flush=True)
        one = server.accept()[0]
        at_rest()
        every(0.05, lambda: one.send(b": ping"))
        ''', ready=False, start_new_session=False)
        port = int(server.stdout.readline())
        inner = socket.create_connection(("127.0.0.1", port))
        text(); connect(); at_rest()
        while True:
            inner.recv(4096)
        """,
        config=WAKING,
    ),
    State(
        "a peer that does not answer",
        _LOST,
        """
        init(); text()
        one = socket.socket(); one.setblocking(False)
        one.connect_ex(("127.0.0.1", int(os.environ["ZOO_FULL"])))
        at_rest(); forever()
        """,
    ),
    State(
        "a peer that closed, unnoticed",
        _LOST,
        "init(); text(); connect('closing'); time.sleep(0.2); at_rest(); forever()",
    ),
    State(
        "a peer that reads nothing",
        Named("network_lost", words=("not acknowledged",)),
        """
        init(); text(); one = connect("deaf", 10); one.setblocking(False)
        try:
            while True:
                one.send(bytes(1 << 20))
        except BlockingIOError:
            pass
        at_rest(); forever()
        """,
    ),
    State(
        "refused again and again, without a word",
        Named("model_unreachable", killed=False, words=("refused",)),
        """
        def attempt():
            one = socket.socket()
            one.connect_ex(("127.0.0.1", int(os.environ["ZOO_REFUSING"])))
            one.close()
        init(); text(); at_rest(); every(0.15, attempt)
        """,
        config=WAKING,
    ),
    State(
        "refused again and again in a thread",
        Named("model_unreachable", killed=False, words=("refused",)),
        """
        def attempt():
            one = socket.socket()
            one.connect_ex(("127.0.0.1", int(os.environ["ZOO_REFUSING"])))
            one.close()
        init(); text(); alongside(lambda: every(0.15, attempt)); at_rest(); forever()
        """,
        argv="codex exec --json hi",
        config=WAKING,
    ),
    State(
        "a name service that refuses, again and again, of one that idles awake",
        Named("model_unreachable", killed=False),
        """
        init(); text(); poll = select.epoll(); at_rest()
        while True:
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.connect(("127.0.0.1", int(os.environ["ZOO_REFUSING"])))
            for act in (lambda: one.send(b"A?"), lambda: one.recv(1, socket.MSG_DONTWAIT)):
                try:
                    act()
                except OSError:
                    pass
            one.close(); poll.poll(0.1)
        """,
        config=WAKING,
    ),
    State(
        "codex, refused",
        Named("model_unreachable", killed=False, words=("refused",)),
        """
        def attempt():
            one = socket.socket()
            one.connect_ex(("127.0.0.1", int(os.environ["ZOO_REFUSING"])))
            one.close()
        codex(); at_rest(); every(0.15, attempt)
        """,
        argv="codex exec --json hi",
        config=WAKING,
    ),
    State(
        "by datagrams, again and again",
        Named("model_silent", words=("(UDP)",)),
        """
        init(); text()
        one = datagrams(kind="udp"); one.settimeout(0.3)
        at_rest()
        def ask():
            one.send(b"query")
            try:
                one.recv(512)
            except TimeoutError:
                pass
        every(0.01, ask)
        """,
    ),
    State(
        "retries that are told, and never answered",
        Named("model_unreachable", words=("cannot be reached",)),
        """
        init(); text(); number = 0
        def again():
            global number
            number += 1
            retry(number)
        again(); at_rest(); time.sleep(0.1); every(0.15, again)
        """,
    ),
    State(
        "retries that the server turns away",
        Quiet("retrying"),
        """
        init(); text(); number = 0
        def again():
            global number
            number += 1
            retry(number, 529)
        again(); at_rest(); every(0.15, again)
        """,
    ),
    State(
        "codex, reconnecting for ever",
        Named("model_unreachable"),
        """
        codex()
        def again():
            line = {"type": "error", "message": "Reconnecting... waiting for network (x)"}
            sys.stdout.write(json.dumps(line) + "\\n"); sys.stdout.flush()
        again(); at_rest(); time.sleep(0.1); every(0.15, again)
        """,
        argv="codex exec --json hi",
    ),
    State(
        "a long wait before it tries again",
        Quiet(),
        "init(); text(); retry(1, 529, 600_000); at_rest(); forever()",
    ),
    State(
        "a rate limit until long after",
        Quiet(),
        """
        init(); text()
        say(type="rate_limit_event", rate_limit_info={"status": "rejected",
            "resetsAt": int(time.time()) + 3600})
        at_rest(); forever()
        """,
    ),
    State(
        "a rate limit of an account that pays for more",
        _SILENT,
        """
        init(); text()
        say(type="rate_limit_event", rate_limit_info={"status": "rejected",
            "isUsingOverage": True, "resetsAt": int(time.time()) + 3600})
        connect(); at_rest(); forever()
        """,
    ),
    State(
        "a rate limit, after which it worked",
        _SILENT,
        """
        init(); text()
        say(type="rate_limit_event", rate_limit_info={"status": "rejected",
            "resetsAt": int(time.time()) + 3600})
        text("on it goes"); connect(); at_rest(); forever()
        """,
    ),
    State(
        "through a proxy of its own",
        Named("agent_asleep", words=("has a connection to",)),
        """
        init()
        proxy = child('''
        server = socket.create_server(("127.0.0.1", 0))
        print(server.getsockname()[1], flush=True)
        one = server.accept()[0]
        connect(); at_rest(); forever()
        ''', ready=False, start_new_session=False)
        port = int(proxy.stdout.readline())
        text(); inner = socket.create_connection(("127.0.0.1", port)); time.sleep(0.2)
        at_rest(); forever()
        """,
    ),
    State(
        "over a UNIX socket, in a network namespace of its own",
        Named("model_silent"),
        "init(); text(); local(); at_rest(); forever()",
        argv="unshare -n claude -p hi --output-format stream-json --verbose",
        privileged=True,
    ),
    State(
        "after a tool, to a model that never answers",
        _SILENT,
        "init(); tool(); done(); connect(); at_rest(); forever()",
    ),
    State(
        "after a tool, and nothing was sent",
        Named("after_tool_result"),
        """
        init(); text(); connect(); time.sleep(0.3); tool(); time.sleep(1.2); done()
        at_rest(); forever()
        """,
    ),
    State(
        "a connection of node's",
        _SILENT,
        argv="""node -e '
            const say = (line) => console.log(JSON.stringify({session_id: "s", ...line}));
            say({type: "system", subtype: "init", model: "m", tools: [],
                 claude_code_version: "2.1.330"});
            require("http").request({port: process.env.ZOO_SILENT, host: "127.0.0.1",
                                     method: "POST"}).end("{}");
            setTimeout(() => console.error("at rest"), 100);' claude""",
        source="",
    ),
)
