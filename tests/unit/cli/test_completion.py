"""`otel-untether completion`: scripts that shells accept, made from the parsers."""

from __future__ import annotations

import argparse
import subprocess

import pytest

from otel_untether import cli
from otel_untether.cli import completion

COMMANDS = ("run", "report", "replay", "demo", "completion")


@pytest.fixture
def found() -> list[completion.Subcommand]:
    """Return the subcommands of our own parser."""
    return list(completion.subcommands(cli.build_parser(COMMANDS)))


def complete(script: str, *words: str) -> set[str]:
    """Ask bash what it would offer for the last of these words."""
    line = " ".join(f"'{word}'" for word in words)
    asked = f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _otel_untether\n"
    asked += 'printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert not done.stderr
    return set(done.stdout.split())


def test_every_subcommand_is_known(found: list[completion.Subcommand]) -> None:
    """With its help and options."""
    assert tuple(command.name for command in found) == COMMANDS
    assert all(command.help and command.options for command in found)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("rep",), {"report", "replay"}),
        (("report", "--j"), {"--json"}),
        (("report", "--color", ""), {"auto", "always", "never"}),
        (("demo", "--stall", "w"), {"wedged"}),
        (("completion", ""), {"bash", "zsh", "fish", "-h", "--help"}),
        (("run", "--", "claude", "--"), set()),
    ],
)
def test_bash_completes(
    words: tuple[str, ...], offered: set[str], found: list[completion.Subcommand]
) -> None:
    """Subcommands, options, their choices; nothing of ours in the agent's command."""
    assert complete("\n".join(completion.bash(found)), "otel-untether", *words) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_scripts_name_everything(
    shell: str, found: list[completion.Subcommand]
) -> None:
    """Each subcommand, each long option, with quotes that match."""
    write = {"zsh": completion.zsh, "fish": completion.fish}[shell]
    script = "\n".join(write(found))
    for command in found:
        assert command.name in script
        for option in command.options:
            assert option.names[-1].lstrip("-") in script
    assert script.replace("'\\''", "").count("'") % 2 == 0


def test_it_prints_a_script(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the shell that was named."""
    parser = cli.build_parser(COMMANDS)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    assert completion.main(argparse.Namespace(shell="bash")) == 0
    assert "complete -o bashdefault" in capsys.readouterr().out
