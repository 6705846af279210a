"""Command lines: which program they start, and which options they give it.

Nothing is looked up: the answer is in the words, or it is None.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PACKAGE: Final = re.compile(r"((?:@[\w.-]+/)?[\w.-]+)(?:@.*)?")
_IN_MODULES: Final = re.compile(r"(?:^|/)node_modules/((?:@[^/]+/)?[^/]+)/")
_SUFFIX: Final = re.compile(r"\.(?:exe|cmd|js|mjs|cjs)$", re.IGNORECASE)

_PASSING_ON: Final = frozenset({"env", "nohup", "setsid", "command"})
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
    ``node …/node_modules/@openai/codex/bin/codex.js``.
    """
    if not argv:
        return None
    name, rest = _base(argv[0]), list(argv[1:])
    if name in _PASSING_ON:
        return program(_operands(rest))
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


def _operands(args: list[str]) -> list[str]:
    """Drop a launcher's own options and the environment it sets."""
    while args and (args[0].startswith("-") or _ASSIGNMENT.match(args[0])):
        args = args[2 if args[0] in _WITH_VALUE else 1 :]
    return args


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
