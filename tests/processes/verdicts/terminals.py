"""Somebody is asked at a terminal at which nobody sits."""

from __future__ import annotations

from typing import Final

from tests.processes.verdicts.zoo import Named, State

_ASKED: Final = Named("awaiting_terminal", "tool_timeout")
_HUNG: Final = Named("tool_hung", "tool_timeout")


def _at(words: str, until: str, more: str = "connect(); ") -> str:
    """A tool's program at a terminal; the agent has its connection besides."""
    return f"init(); {more}terminal({words}, until={until!r}); tool(); at_rest(); forever()"


_PYTHON: Final = "sys.executable, '-SE', '-c'"

STATES: Final = (
    State("cat", _ASKED, _at("'sh', '-c', 'echo go; exec cat'", "go")),
    State("read in a shell", _ASKED, _at("'sh', '-c', 'echo go; read line'", "go")),
    State("Python's input()", _ASKED, _at(f"{_PYTHON}, 'input(\"name? \")'", "name?")),
    State(
        "a password (getpass)",
        _ASKED,
        _at(f"{_PYTHON}, 'import getpass; getpass.getpass()'", "Password:"),
    ),
    State(
        "node's readline",
        Named("awaiting_terminal", "tool_timeout"),
        _at(
            "'node', '-e', 'require(\"readline\").createInterface("
            '{input: process.stdin, output: process.stdout}).question("name? ", () => 0)\'',
            "name?",
        ),
        needs=("node",),
    ),
    State(
        "vim",
        Named("awaiting_terminal", "tool_timeout", words=("vim", "pid")),
        _at("'vim', '-u', 'NONE', 'message'", "~"),
        needs=("vim",),
    ),
    State("less", _ASKED, _at("'less', '/etc/services'", ":"), needs=("less",)),
    State(
        "vim, without a connection",
        _ASKED,
        _at("'vim', '-u', 'NONE', 'm'", "~", ""),
        needs=("vim",),
    ),
    State(
        "git's editor",
        Named("awaiting_terminal", "tool_timeout", words=("vi",)),
        _at(
            "'sh', '-c', 'git init -q . && git -c user.name=a -c user.email=b -c "
            'core.editor="vim -u NONE" commit --allow-empty\'',
            "~",
        ),
        needs=("vim",),
    ),
    State(
        "git asks for a password",
        Named("awaiting_terminal", "tool_timeout", words=("git",)),
        _at(
            "'sh', '-c', 'GIT_CONFIG_NOSYSTEM=1 GIT_ASKPASS= SSH_ASKPASS= "
            "exec git clone http://127.0.0.1:$ZOO_LOCKED/x.git y'",
            "Username",
        ),
        needs=("git",),
    ),
    State(
        "ssh, whose server does not answer",
        _HUNG,
        """
        init(); connect()
        terminal("sh", "-c", "echo go; exec /usr/bin/ssh -p $ZOO_SILENT 127.0.0.1", until="go")
        time.sleep(0.3); tool(); at_rest(); forever()
        """,
        needs=("ssh",),
    ),
    State(
        "a read from the background (SIGTTIN)",
        Named("stopped", "tool_timeout", words=("SIGTTIN",)),
        """
        init(); connect()
        terminal("sh", "-c", "exec cat", foreground=False)
        time.sleep(0.3); tool(); at_rest(); forever()
        """,
    ),
    State(
        "the agent itself asks at a terminal",
        Named("awaiting_terminal"),
        """
        init(); text(); master, slave = os.openpty(); connect(); at_rest()
        os.read(slave, 1)
        """,
    ),
    State(
        "a terminal that nobody reads",
        _HUNG,
        """
        init(); connect()
        pid, master = os.forkpty()
        if pid == 0:
            os.execvp("sleep", ["sleep", "600"])
        KEPT.append(master); tool(); at_rest(); forever()
        """,
    ),
)
