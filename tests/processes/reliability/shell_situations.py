"""What a shell may do with a command, done bare and wrapped: the same must come out.

    python -m tests.processes.reliability.shell_situations [--cli] [NAME ...]

`$X` stands before the command: nothing, or us. Standard output, standard error and exit status
of the whole situation are compared, in an empty folder each. With `--cli` it is the command as
users run it; otherwise the same supervisor with an observer that only counts. `DIFFERENT` lists
what is known to differ, each with the reason that docs/architecture.md gives.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.processes.supervisor import watched_run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(watched_run.__file__).parents[3]
PYTHON = shlex.quote(sys.executable)
COUNTING = f"{PYTHON} {shlex.quote(watched_run.__file__)} recording"
CLI = f"{PYTHON} -m otel_untether run -q --"

# Reported by a child that waits as `subprocess`, make and xargs do.
STATUS = f"{PYTHON} -c 'import subprocess, sys; print(subprocess.run(sys.argv[1:]).returncode)'"
# Starts "$@" in the background, waits for the file `ready`, sends a signal, reports.
SENT = (
    "$X sh -c 'trap : CONT; echo > ready; exec sleep 20' & p=$!; "
    "until [ -e ready ]; do sleep 0.02; done; sleep 0.05; kill -{} $p; wait $p; echo $?"
)
SIGNALS = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "XCPU", "XFSZ", "VTALRM", "PROF", "IO", "PWR", "SYS",
    "RTMIN", "RTMIN+3", "RTMAX",
]  # fmt: skip
# A shell ignores these for what it starts in the background.
IGNORED_IN_BACKGROUND = {"INT", "QUIT"}

DIFFERENT = {
    "ignored PIPE": "Python ignores SIGPIPE for itself before we can see what it was",
    "not found": "the shell's own message is ours",
    "not executable": "the shell's own message is ours",
    "a folder": "the shell's own message is ours",
    "no such path": "the shell's own message is ours",
    "no interpreter": "the shell's own message is ours",
    "to full": "the failed write is ours, and 74 our status",
    "kill the group": "who is signalled with its whole group hears of it twice",
}

SIMPLE = {
    "nothing": "$X true",
    "false": "$X false",
    "words": "$X echo a b c",
    "no newline": "$X printf abc",
    "nul bytes": "$X printf 'a\\0b\\0' | od -c",
    "binary": "$X head -c 200000 /dev/zero | cksum",
    "a megabyte": "$X seq 200000 | cksum",
    "to stderr": "$X sh -c 'echo e >&2'",
    "both": "$X sh -c 'echo o; echo e >&2'",
    "not found": "$X no-such-command; echo $?",
    "no such path": "$X ./no-such-file; echo $?",
    "not executable": "echo x > f; $X ./f; echo $?",
    "a folder": "mkdir d; $X ./d; echo $?",
    "no interpreter": "printf '#!/no/such\\n' > f; chmod +x f; $X ./f; echo $?",
    "no shebang": "echo 'echo plain $1' > f; chmod +x f; $X ./f arg",
    "shebang": "printf '#!/bin/sh\\necho script $1\\n' > f; chmod +x f; $X ./f arg",
    "spaces in name": "printf '#!/bin/sh\\necho hi\\n' > 'a b'; chmod +x 'a b'; $X './a b'",
    "empty argument": "$X sh -c 'echo $#' sh '' ''",
    "newline argument": "$X printf '%s' 'a\nb'",
    "quotes": '$X printf \'%s\\n\' "it\'s \\"so\\""',
    "unicode": "$X printf '%s\\n' 'é 日本 🐍'",
    "bytes that are no text": "$X printf '%s' $'\\xff\\xfe' | od -c",
    "dashes": "$X echo -- -q --engine x",
    "many arguments": "$X sh -c 'echo $#' sh $(seq 5000)",
    "a long argument": "$X sh -c 'echo ${#1}' sh $(head -c 100000 /dev/zero | tr '\\0' x)",
    "glob": "touch a b c; $X echo *",
    "variable": "A=1 $X sh -c 'echo $A'",
    "exported": "export A=2; $X sh -c 'echo $A'",
    "environment": "$X env -i sh -c 'echo ${HOME-unset}'",
    "no HOME": "(unset HOME; $X sh -c 'echo ${HOME-unset}')",
    "umask": "umask 027; $X sh -c umask",
    "nice": "nice -n 3 $X nice",
    "directory": "mkdir d; cd d; $X sh -c 'basename $PWD'",
    "directory is gone": "mkdir d; cd d; rmdir ../d; $X echo still",
    "core limit": "ulimit -c 0; $X sh -c 'ulimit -c'",
    "file limit": "ulimit -n 64; $X sh -c 'ulimit -n'",
    "few descriptors": "ulimit -n 12; $X echo hi; echo $?",
    "hash seed": "PYTHONHASHSEED=0 $X sh -c 'echo $PYTHONHASHSEED'",
    "python path": "PYTHONSTARTUP=x $X sh -c 'echo $PYTHONSTARTUP'",
    "locale": "LC_ALL=C $X sh -c 'echo $LC_ALL ${LC_CTYPE-unset}'",
    "group": "$X ps -o pgid= $$ | wc -l",
    # streams
    "stdin pipe": "echo in | $X cat",
    "stdin file": "echo in > f; $X cat < f",
    "stdin null": "$X cat < /dev/null",
    "stdin closed": "$X sh -c 'cat 2>/dev/null || echo closed' <&-",
    "stdin heredoc": "$X cat <<END\nline\nEND",
    "stdin string": "$X cat <<< text",
    "stdin is shared": "seq 5 | { read a; $X cat; }",
    "stdin of a loop": "seq 3 | while read a; do $X echo $a < /dev/null; done",
    "stdin never ends": "sleep 0.3 | $X echo done",
    "stdin large": "seq 100000 | $X cksum",
    "to file": "$X echo x > f; cat f",
    "append": "echo a > f; $X echo b >> f; cat f",
    "append twice": "($X echo a; $X echo b) >> f; cat f",
    "to null": "$X seq 1000 > /dev/null; echo $?",
    "to closed": "$X sh -c 'echo x 2>/dev/null; echo $? >&2' >&-",
    "errors to closed": "$X sh -c 'echo x; echo y >&2' 2>&-; echo $?",
    "all closed": "$X true <&- >&- 2>&-; echo $?",
    "to full": "$X cat /etc/hostname > /dev/full; echo $?",
    "both to pipe": "$X sh -c 'echo o; echo e >&2; echo o' 2>&1 | cat",
    "both to file": "$X sh -c 'echo o; echo e >&2; echo o' > f 2>&1; cat f",
    "swapped": "$X sh -c 'echo o; echo e >&2' 3>&1 1>&2 2>&3",
    "both to file, opened twice": (
        "echo before > f; $X sh -c 'echo out; echo err >&2; echo on' >>f 2<>f; cat f"
    ),
    "both to file, one for reading": "touch f; $X sh -c 'echo err >&2' <f 1<f 2>>f; cat f",
    "both to pipe, opened twice": (
        "for i in 1 2 3; do $X sh -c 'for i in 1 2 3 4 5; do echo o; echo e >&2; done'"
        " 2>>/dev/stdout | cat; done"
    ),
    "both to fifo, opened twice": (
        # The first open waits for the reader; by `<>` one could write and leave before it came.
        "mkfifo p; cat p > f & exec 9>p; $X sh -c 'for i in 1 2 3 4 5; do echo o; echo e >&2; done'"
        " 1<>p 2>p 9>&-; exec 9>&-; wait; cat f"
    ),
    "errors to pipe": "$X sh -c 'echo o; echo e >&2' 2>&1 >/dev/null | cat",
    "errors to file": "$X sh -c 'echo o; echo e >&2' 2> f; cat f",
    "descriptor 3": "$X sh -c 'echo three >&3' 3> f; cat f",
    "descriptor 9": "exec 9< /etc/hostname; $X sh -c 'cat <&9' | wc -l",
    "fifo": "mkfifo p; $X echo x > p & cat p; wait",
    "fifo both": "mkfifo p; cat < p > out & $X sh -c 'echo a; echo b' > p; wait; cat out",
    "process substitution in": "$X cat <(echo a) <(echo b)",
    "process substitution out": "$X sh -c 'echo a' > >(cat > f); sleep 0.3; cat f",
    "substitution": 'echo "[$($X echo a)]"',
    "substitution status": "a=$($X sh -c 'echo o; exit 4'); echo $a $?",
    "backticks": "echo `$X echo a`",
    "nested": '$X sh -c "echo outer; echo inner | cat"',
    "through itself": "$X $X echo twice",
    # pipes and statuses
    "pipeline": "$X seq 10 | $X tail -1",
    "pipe status": "$X sh -c 'exit 3' | $X sh -c 'exit 4'; echo ${PIPESTATUS[@]}",
    "pipefail": "set -o pipefail; $X sh -c 'exit 3' | cat; echo $?",
    "head": "$X seq 1000000 | head -1; echo ${PIPESTATUS[0]}",
    "head of yes": "$X yes | head -2; echo ${PIPESTATUS[0]}",
    "tee": "$X seq 3 | tee f | tail -1; cat f",
    "and": "$X true && echo yes",
    "or": "$X false || echo no",
    "not": "! $X false; echo $?",
    "if": "if $X test 1 -eq 1; then echo t; fi",
    "errexit": "(set -e; $X false; echo not reached); echo $?",
    "while": "i=0; while $X test $i -lt 3; do i=$((i+1)); done; echo $i",
    "for": "for i in 1 2 3; do $X echo $i; done",
    "subshell": "($X echo sub; exit 5); echo $?",
    "group command": "{ $X echo a; $X echo b; } | cat",
    "exec": "(exec $X sh -c 'echo e; exit 6'); echo $?",
    "eval": 'eval "$X echo evaluated"',
    "trap on exit": "(trap 'echo bye' EXIT; $X echo hi)",
    "trap in command": "$X sh -c 'trap \"echo trapped\" EXIT; exit 3'; echo $?",
    "background": "$X sh -c 'exit 7' & wait $!; echo $?",
    "three in background": 'for i in 1 2 3; do $X sh -c "exit $i" & done; wait; echo all',
    "wait -n": "$X sh -c 'exit 8' & wait -n; echo $?",
    "a job that lives on": "$X sh -c '(sleep 0.5; echo late) & echo done' | cat",
    "a job that lives on, file": "$X sh -c '(sleep 0.5; echo late) & echo d' > f; sleep 1; cat f",
    "a silent job lives on": "$X sh -c 'sleep 1 >/dev/null 2>&1 & echo done' | cat",
    "double fork": "$X sh -c '(sh -c \"sleep 0.2; echo deep\" &); echo top' | sort",
    "coproc": "coproc $X cat; echo hi >&${COPROC[1]}; exec {COPROC[1]}>&-; cat <&${COPROC[0]}",
    "nohup": "nohup $X echo hi 2>/dev/null",
    "setsid": "setsid -w $X sh -c 'echo s; exit 9'; echo $?",
    "timeout": "timeout 0.7 $X sleep 20; echo $?",
    "timeout in foreground": "timeout --foreground 0.7 $X sleep 20; echo $?",
    "timeout kill": "timeout -s KILL 0.7 $X sleep 20; echo $?",
    "timeout abort": "ulimit -c 0; timeout -s ABRT 0.7 $X sleep 20; echo $?",
    "timeout, ignored": "timeout -k 0.3 3 $X sh -c 'trap \"\" TERM; sleep 6'; echo $?",
    "timeout not needed": "timeout 20 $X sh -c 'exit 4'; echo $?",
    "time": "{ time $X true; } 2>&1 | grep -c real",
    "xargs": "seq 3 | xargs -n1 $X echo",
    "xargs parallel": "seq 6 | xargs -P3 -n1 $X echo | sort",
    "xargs fails": "seq 3 | xargs -n1 $X false; echo $?",
    "xargs signalled": "seq 3 | xargs -n1 $X sh -c 'echo $0; kill -TERM $$' 2>/dev/null; echo $?",
    "find -exec": "touch a; find . -name a -exec $X echo {} \\;",
    "make": (
        "printf 'all:\\n\\t@$X sh -c \"echo made; exit 2\"\\n' > M; make -f M 2>/dev/null; echo $?"
    ),
    "env command": "env A=1 $X sh -c 'echo $A'",
    "a loop and an interrupt": (
        "bash -c 'for i in 1 2 3; do $X sh -c \"echo $i; kill -INT \\$\\$\"; done' ; echo $?"
    ),
    "stop and continue": (
        "$X sh -c 'echo > ready; sleep 0.6; echo on' & p=$!; until [ -e ready ]; do sleep 0.02;"
        " done; kill -STOP $p; sleep 0.2; kill -CONT $p; wait $p; echo $?"
    ),
    "ignored HUP": "(trap '' HUP; $X sh -c 'kill -HUP $$; echo alive')",
    "ignored INT": "(trap '' INT; $X sh -c 'kill -INT $$; echo alive')",
    "ignored TERM": "(trap '' TERM; $X sh -c 'kill -TERM $$; echo alive')",
    "ignored USR1": "(trap '' USR1; $X sh -c 'kill -USR1 $$; echo alive')",
    "ignored CHLD": "(trap '' CHLD; $X sh -c 'exit 5'; echo $?)",
    "ignored PIPE": "(trap '' PIPE; $X sh -c 'yes | head -1; kill -PIPE $$; echo alive')",
    "file size limit": (
        "(ulimit -f 10; $X sh -c 'trap \"\" XFSZ; head -c 99999 /dev/zero > f'; echo)"
    ),
    "handled TERM": (
        '$X sh -c \'trap "echo handled; exit 3" TERM; echo > ready; while :; do sleep 0.05;'
        " done' & p=$!; until [ -e ready ]; do sleep 0.02; done; kill $p; wait $p; echo $?"
    ),
    "handled twice": (
        '$X sh -c \'n=0; trap "n=\\$((n+1))" USR1; echo > ready; while [ $n -lt 2 ]; do sleep 0.05;'
        " done; echo $n' & p=$!; until [ -e ready ]; do sleep 0.02; done; kill -USR1 $p; sleep 0.4;"
        " kill -USR1 $p; wait $p"
    ),
}


class Outcome(NamedTuple):
    """What came out of a situation."""

    output: bytes
    errors: bytes
    status: int


def situations() -> Iterator[tuple[str, str]]:
    """Yield names and scripts."""
    yield from SIMPLE.items()
    for code in (0, 1, 2, 3, 42, 71, 124, 125, 126, 127, 128, 129, 130, 137, 143, 200, 254, 255):
        yield f"exit {code}", f"$X sh -c 'exit {code}'; echo $?"
        yield f"exit {code}, waited for", f"{STATUS} $X sh -c 'exit {code}'"
    for name in SIGNALS:
        yield f"dies by {name}", f"ulimit -c 0; {STATUS} $X bash -c 'kill -{name} $$; sleep 9'"
        if name not in IGNORED_IN_BACKGROUND:
            yield f"is sent {name}", "ulimit -c 0; " + SENT.format(name)


def happen(script: str, wrapper: str) -> Outcome:
    """Run a situation in an empty folder."""
    # With --cli an observer may tidy its state up for a moment after the command.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ended = subprocess.run(
            ["bash", "-c", script],
            env={
                "PATH": os.environ["PATH"],
                "X": wrapper,
                "HOME": folder,
                "PYTHONPATH": str(ROOT),
                "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir(), "situations-pyc")),
                "OTEL_UNTETHER_STATE_DIR": f"{folder}/state",
                "LANG": "C.UTF-8",
            },
            cwd=_made(Path(folder, "work")),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=100,
        )
        return Outcome(ended.stdout, _ours_out(ended.stderr), ended.returncode)


def compared(name: str, script: str, wrapper: str = COUNTING) -> str | None:
    """Return what differs in a situation, None where nothing does."""
    bare, wrapped = happen(script, ""), happen(script, wrapper)
    if bare == wrapped:
        return None
    return f"{name}: bare {bare}, wrapped {wrapped}"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _ours_out(errors: bytes) -> bytes:
    """Leave out the shell's reports of a job, which name its command and pid."""
    lines = errors.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"bash: line"))


def main() -> int:
    """Print what differs; 1 if that is more than what is known to."""
    names = [name for name in sys.argv[1:] if name != "--cli"]
    wrapper = CLI if "--cli" in sys.argv else COUNTING
    chosen = [(name, script) for name, script in situations() if not names or name in names]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda one: compared(one[0], one[1], wrapper), chosen))
    differing = {name: text for (name, _), text in zip(chosen, results, strict=True) if text}
    for name, text in differing.items():
        print(f"  ({DIFFERENT[name]}) {name}" if name in DIFFERENT else f"  {text}")
    unknown = differing.keys() - DIFFERENT.keys()
    print(f"{len(chosen)} situations, {len(differing)} differ, {len(unknown)} of them unexplained")
    return int(bool(unknown))


if __name__ == "__main__":
    sys.exit(main())
