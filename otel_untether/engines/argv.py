"""Command lines: which program they start, and which options they give it.

Nothing is looked up: the answer is in the words, or it is None.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_untether.session.patterns import lazily

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

_ASSIGNMENT: Final = lazily(r"[A-Za-z_][A-Za-z0-9_]*=")
_PACKAGE: Final = lazily(r"((?:@[\w.-]+/)?[\w.-]+)(?:@.*)?")
_IN_MODULES: Final = lazily(r"(?:^|/)node_modules/((?:@[^/]+/)?[^/]+)/")
_SUFFIX: Final = lazily(r"\.(?:exe|cmd|js|mjs|cjs)$", re.IGNORECASE)

# Launchers that pass the rest of their line on: their options that take a value, and how many
# words of their own come before the command.
_PASSING_ON: Final[dict[str, tuple[tuple[str, ...], int]]] = {
    "caffeinate": (("-t", "-w"), 0),
    "chrt": ((), 1),
    "command": ((), 0),
    "doas": (("-u", "-C"), 0),
    "env": (("-u", "--unset", "-C", "--chdir"), 0),
    "exec": (("-a",), 0),
    "ionice": (("-c", "--class", "-n", "--classdata"), 0),
    "nice": (("-n", "--adjustment"), 0),
    "nohup": ((), 0),
    "setsid": ((), 0),
    "stdbuf": (("-i", "--input", "-o", "--output", "-e", "--error"), 0),
    "sudo": (("-u", "--user", "-g", "--group", "-D", "--chdir"), 0),
    "taskset": ((), 1),
    "time": (("-f", "--format", "-o", "--output"), 0),
    "timeout": (("-s", "--signal", "-k", "--kill-after"), 1),
    "unbuffer": ((), 0),
}
_OPERATOR: Final = lazily(r"[();<>|&]+|.*[`\n].*|.*\$\(.*", re.DOTALL)
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "cmd"})
_COMMAND_OPTION: Final = lazily(r"-[a-z]*c")
_RUNTIMES: Final = frozenset({"node", "bun", "deno"})
_RUNNERS: Final = frozenset({"npx", "bunx", "pnpx"})
_RUNNER_VERBS: Final = frozenset({("pnpm", "dlx"), ("yarn", "dlx"), ("npm", "exec"), ("bun", "x")})
_WITH_VALUE: Final = frozenset({
    "-p", "--package", "-u", "--unset", "-C", "--chdir", "-r", "--require", "--import", "--loader",
})  # fmt: skip


def program(argv: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return what `argv` starts and the arguments it gets; None where that is not certain.

    A program is its base name without ``.exe`` and the like. Where a package runner or a
    runtime starts it, it is the package's name: ``npx @anthropic-ai/claude-code@2 -p hi``,
    ``node …/node_modules/@openai/codex/bin/codex.js``. Launchers (``nice``, ``timeout 60``,
    ``env A=b``) and a shell's one simple command (``sh -c "cd x && exec codex exec"``) are
    looked through; of a pipeline it is not certain whose output it is.
    """
    if not argv:
        return None
    name, rest = _base(argv[0]), list(argv[1:])
    if name in _PASSING_ON:
        options, words = _PASSING_ON[name]
        return program(_operands(_operands(rest, options)[words:], options))
    if name in _SHELLS:
        return _in_shell(rest)
    if name in _RUNNERS or (name, *rest[:1]) in _RUNNER_VERBS:
        return _package(_operands(rest if name in _RUNNERS else rest[1:]))
    if name in _RUNTIMES:
        return _script(_operands(rest))
    return name, rest


def option(args: Sequence[str], *names: str) -> str | bool:
    """Return an option's value, True where it has none, False where it is not given."""
    args = own(args)
    for index, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name in names:
            following = args[index + 1] if index + 1 < len(args) else "-"
            return value if equals else (following if not following.startswith("-") else True)
    return False


def own(args: Sequence[str]) -> Sequence[str]:
    """Return the arguments before a ``--``, after which all is prompt."""
    return args[: args.index("--")] if "--" in args else args


def command(args: Sequence[str], *names: str) -> str | None:
    """Return the subcommand, the first argument, if it is one of `names`."""
    return args[0] if args and args[0] in names else None


def asks_about(args: Sequence[str], *names: str) -> bool:
    """Whether the program is asked for its help, its version, or by one of the options `names`."""
    return any(arg in ("--help", "-h", "--version", "-v", "-V", *names) for arg in own(args))


def resumed(args: Sequence[str], named: Sequence[str], latest: Sequence[str]) -> str | bool:
    """Return the session given to one of the options `named`, True for the latest, or False.

    An option `named` without a value means the latest one, too, or lets a person choose.
    """
    return option(args, *named) or option(args, *latest) is not False


def _operands(args: list[str], with_value: Container[str] = _WITH_VALUE) -> list[str]:
    """Drop a launcher's own options and the environment it sets."""
    while args and (args[0].startswith("-") or _ASSIGNMENT.match(args[0])):
        args = args[2 if args[0] in with_value else 1 :]
    return args


def _in_shell(args: list[str]) -> tuple[str, list[str]] | None:
    """Return the program of ``sh -c TEXT`` if TEXT is one simple command, after a ``cd`` or not."""
    if args[:1] in (["/c"], ["/C"]):
        return program(args[1:])
    options = [arg for arg in args if arg.startswith("-")]
    if not options or not _COMMAND_OPTION.fullmatch(options[-1]) or len(args) <= len(options):
        return None
    import shlex  # noqa: PLC0415  most agents are started by no shell

    lexer = shlex.shlex(args[len(options)], posix=True, punctuation_chars=True)
    try:
        words = list(lexer)
    except ValueError:
        return None
    if words[:1] == ["cd"] and words[2:3] == ["&&"]:
        words = words[3:]
    return None if any(_OPERATOR.fullmatch(word) for word in words) else program(_operands(words))


def _package(args: list[str]) -> tuple[str, list[str]] | None:
    match = _PACKAGE.fullmatch(args[0]) if args else None
    return (match[1], args[1:]) if match else None


def _script(args: list[str]) -> tuple[str, list[str]] | None:
    if not args:
        return None
    packages = _IN_MODULES.findall(args[0].replace("\\", "/"))
    return (packages[-1] if packages else _base(args[0])), args[1:]


def _base(path: str) -> str:
    return _SUFFIX.sub("", path.replace("\\", "/").rpartition("/")[2])
