"""`otel-untether completion`: completion of our command line, for a shell to read.

What is completed comes from the parsers themselves: subcommands, their options, the choices of
an option; files everywhere else.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether import cli

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_untether.cli import Subparsers

_EPILOG: Final = """\
examples:
  source <(otel-untether completion bash)                      in ~/.bashrc
  source <(otel-untether completion zsh)                       in ~/.zshrc, after compinit
  otel-untether completion fish > ~/.config/fish/completions/otel-untether.fish
"""


class Option(NamedTuple):
    """An option: its spellings, what it may be given, what it is for."""

    names: tuple[str, ...]
    choices: tuple[str, ...]
    takes_value: bool
    help: str


class Subcommand(NamedTuple):
    """A subcommand: its options, its first argument's choices, whether a command follows."""

    name: str
    help: str
    options: tuple[Option, ...]
    arguments: tuple[str, ...]
    runs: bool


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "completion",
        help="print a shell's completion script",
        description="Print a script that completes otel-untether's command line.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=tuple(_SHELLS), help="the shell to print it for")


def main(args: argparse.Namespace) -> int:
    """Print the script."""
    print("\n".join(_SHELLS[args.shell](list(subcommands(cli.build_parser())))))
    return 0


def subcommands(parser: argparse.ArgumentParser) -> Iterator[Subcommand]:
    """Yield what a parser knows."""
    for action in parser._actions:  # noqa: SLF001  argparse tells nobody else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            for name, command in action.choices.items():
                yield _subcommand(name, helps.get(name, ""), command)


def _subcommand(name: str, help_: str, parser: argparse.ArgumentParser) -> Subcommand:
    actions = parser._actions  # noqa: SLF001
    positional = [action for action in actions if not action.option_strings]
    return Subcommand(
        name,
        help_,
        tuple(_option(action) for action in actions if action.option_strings),
        tuple(str(choice) for action in positional[:1] for choice in action.choices or ()),
        any(action.nargs == argparse.REMAINDER for action in positional),
    )


def _option(action: argparse.Action) -> Option:
    choices = tuple(str(choice) for choice in action.choices or ())
    return Option(tuple(action.option_strings), choices, action.nargs != 0, action.help or "")


def bash(commands: Iterable[Subcommand]) -> Iterator[str]:
    """Write a bash function that looks at the words so far."""
    commands = list(commands)
    yield "_otel_untether() {"
    yield '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"'
    yield "    local words="
    yield '    if [ "$COMP_CWORD" -eq 1 ]; then'
    yield f'        words="{" ".join(command.name for command in commands)} --help --version"'
    yield '    elif [[ " ${COMP_WORDS[*]} " != *" -- "* ]]; then'
    yield '        case "${COMP_WORDS[1]} $previous" in'
    for command in commands:
        for option in command.options:
            if option.choices:
                patterns = "|".join(f'"{command.name} {name}"' for name in option.names)
                yield f'        {patterns}) words="{" ".join(option.choices)}" ;;'
    yield "        *)"
    yield '            case "${COMP_WORDS[1]}" in'
    for command in commands:
        names = [*command.arguments, *(name for option in command.options for name in option.names)]
        yield f'            {command.name}) words="{" ".join(names)}" ;;'
    yield "            esac ;;"
    yield "        esac"
    yield "    fi"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$current"))'
    yield "}"
    yield "complete -o bashdefault -o default -F _otel_untether otel-untether"


def zsh(commands: Iterable[Subcommand]) -> Iterator[str]:
    """Write a zsh function that describes each subcommand to _arguments."""
    commands = list(commands)
    yield "#compdef otel-untether"
    yield "_otel_untether() {"
    yield "    local -a commands"
    yield "    commands=("
    for command in commands:
        yield f"        {_quoted(f'{command.name}:{command.help}')}"
    yield "    )"
    yield "    if (( CURRENT == 2 )); then"
    yield "        _describe command commands"
    yield "        return"
    yield "    fi"
    yield "    local subcommand=$words[2]"
    yield "    shift words; (( CURRENT-- ))"
    yield "    case $subcommand in"
    for command in commands:
        specs = [_zsh_option(name, option) for option in command.options for name in option.names]
        yield f"    {command.name}) _arguments {' '.join([*specs, _zsh_rest(command)])} ;;"
    yield "    esac"
    yield "}"
    yield "compdef _otel_untether otel-untether"


def fish(commands: Iterable[Subcommand]) -> Iterator[str]:
    """Write a fish completion for each word."""
    first = "complete -c otel-untether -n __fish_use_subcommand"
    for command in commands:
        yield f"{first} -f -a {command.name} -d {_quoted(command.help)}"
        here = f"complete -c otel-untether -n '__fish_seen_subcommand_from {command.name}'"
        if command.arguments:
            yield f"{here} -f -a {_quoted(' '.join(command.arguments))}"
        for option in command.options:
            yield f"{here} {_fish_option(option)}"


def _zsh_option(name: str, option: Option) -> str:
    described = re.sub(r"([\[\]:])", r"\\\1", option.help)
    value = f":value:({' '.join(option.choices)})" if option.choices else ":value:_files"
    return _quoted(f"{name}[{described}]{value if option.takes_value else ''}")


def _zsh_rest(command: Subcommand) -> str:
    if command.runs:
        return "'*::command:_normal'"
    if command.arguments:
        return f"'*:argument:({' '.join(command.arguments)})'"
    return "'*:file:_files'"


def _fish_option(option: Option) -> str:
    names = [
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
    ]
    values = f"-x -a {_quoted(' '.join(option.choices))}" if option.choices else "-r"
    return " ".join([*names, *([values] if option.takes_value else []), "-d", _quoted(option.help)])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_SHELLS: Final = {"bash": bash, "zsh": zsh, "fish": fish}
