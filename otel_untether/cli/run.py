"""`otel-untether run`: run an agent and watch it.

What is imported here comes before the agent's first byte. So a command line without mistakes
is not parsed by `argparse` (`quick`), and where nothing is set anywhere, no settings are read.
"""

from __future__ import annotations

import os

from otel_untether.config.files import anything_set
from otel_untether.engines import NAMES
from otel_untether.notice import notice
from otel_untether.supervisor import run as supervisor
from otel_untether.supervisor.ending import end_as
from otel_untether.supervisor.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence
    from typing import Final, NoReturn

    from otel_untether.cli import Subparsers
    from otel_untether.config.settings import Config
    from otel_untether.export.propagation import RootContext
    from otel_untether.store.beginning import Beginning
    from otel_untether.supervisor.observer import Child, Observer

_USAGE_ERROR: Final = 2
_KILLS: Final = {"--kill": "true", "--dry-run": "dry-run"}
_DESCRIPTION: Final = """\
Run a coding agent and watch it. Its output passes through byte for byte, and it ends as the
agent ends: with its exit status or by its signal; with 127 if it was not found, 126 if it cannot
be executed, and 74 if it succeeded but not all it said could be written.
"""
_EPILOG: Final = """\
examples:
  otel-untether run -- claude -p "fix the tests" --output-format stream-json --verbose
  otel-untether run -- codex exec --json "fix the tests" | jq .type
  otel-untether run --engine claude -- ./my-wrapper.sh
  otel-untether run --kill --stall-timeout 120 -- codex exec --json "fix the tests"

Without OTEL_EXPORTER_OTLP_ENDPOINT telemetry stays on this machine, for `otel-untether report`.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the subcommand's arguments, for the help and the completion of all of them."""
    _describe(subparsers.add_parser("run", help="run an agent and watch it", allow_abbrev=False))


def main(arguments: Sequence[str]) -> int:
    """Run the command and leave with its status; return only where nothing was run."""
    options = quick(arguments) or _parsed(arguments)
    run = _Run(options)
    try:
        run.use_config(options)
    except ValueError as error:
        notice(str(error))
        return _USAGE_ERROR
    return run.leave()


class RunOptions:
    """What a command line says; timeouts in seconds, `auto_kill` is "true" or "dry-run"."""

    def __init__(self) -> None:
        self.engine: str | None = None
        self.config: str | None = None
        self.exit_timeout: float | None = None
        self.stall_timeout: float | None = None
        self.state_dir: str | None = None
        self.auto_kill: str | None = None
        self.no_summary = False
        self.argv: Sequence[str] = ()


def quick(arguments: Sequence[str]) -> RunOptions | None:
    """Read a command line that has no mistakes; None for any other, and for a call for help."""
    options, rest = RunOptions(), list(arguments)
    while rest and rest[0].startswith("-"):
        name, given, value = rest.pop(0).partition("=")
        if name == "--" and not given:
            break
        if name in ("-q", "--no-summary") and not given:
            options.no_summary = True
            continue
        if name in _KILLS and not given:
            options.auto_kill = _KILLS[name]
            continue
        if not given and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        if not _take(options, name, value):
            return None
    options.argv = rest
    return options if rest else None


def _take(options: RunOptions, name: str, value: str) -> bool:
    """Note an option's value; False where it is none, or not for a moment like this."""
    if name == "--engine" and value in NAMES:
        options.engine = value
    elif name == "--config" and value:
        options.config = value
    elif name == "--state-dir" and value:
        options.state_dir = value
    elif name == "--exit-timeout" and (seconds := _seconds(value)) is not None:
        options.exit_timeout = seconds
    elif name == "--stall-timeout" and (seconds := _seconds(value)):
        options.stall_timeout = seconds
    else:
        return False
    return True


def _parsed(arguments: Sequence[str]) -> RunOptions:
    """Read any command line; where it is wrong, say so and exit."""
    from argparse import ArgumentParser  # noqa: PLC0415  6 ms that others need not wait for

    parser = ArgumentParser("otel-untether run", allow_abbrev=False)
    _describe(parser)
    options = parser.parse_args(arguments, RunOptions())
    if list(options.argv[:1]) == ["--"]:
        options.argv = options.argv[1:]
    if not options.argv:
        parser.error("a command is missing; expected otel-untether run -- COMMAND [ARG ...]")
    if options.engine is not None:
        options.engine = _engine(parser, options.engine)
    return options


def _engine(parser: ArgumentParser, name: str) -> str:
    """Return the engine's own name for one that was given: a plug-in's, perhaps."""
    from otel_untether.engines import registry  # noqa: PLC0415  a well-known one is not looked for

    try:
        return registry.get(name).name
    except ValueError as error:
        parser.error(str(error))


def _describe(parser: ArgumentParser) -> None:
    from argparse import RawDescriptionHelpFormatter  # noqa: PLC0415  as above

    parser.usage = "otel-untether run [OPTION ...] [--] COMMAND [ARG ...]"
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument(
        "--engine", metavar="NAME", help="the agent's format, where the command does not tell"
    )
    parser.add_argument("--config", metavar="FILE", help="read this otel-untether.toml")
    parser.add_argument(
        "--kill",
        dest="auto_kill",
        action="store_const",
        const="true",
        help="end the agent's process tree where it is proven wedged (stall_auto_kill)",
    )
    parser.add_argument(
        "--dry-run",
        dest="auto_kill",
        action="store_const",
        const="dry-run",
        help="decide about that, and only say so",
    )
    parser.add_argument(
        "--stall-timeout",
        type=_positive_or_error,
        metavar="S",
        help="seconds of silence before the first warning (default 300)",
    )
    _describe_the_rest(parser)


def _describe_the_rest(parser: ArgumentParser) -> None:
    parser.add_argument("--state-dir", metavar="DIR", help="keep the run there")
    parser.add_argument(
        "--exit-timeout",
        type=_seconds_or_error,
        metavar="S",
        help="seconds telemetry may take once the agent is gone (default 2)",
    )
    parser.add_argument(
        "-q", "--no-summary", action="store_true", help="print no summary line to stderr"
    )
    parser.add_argument("argv", nargs="...", metavar="COMMAND", help="the agent and its arguments")


class _Run:
    """One run as the command line describes it."""

    def __init__(self, given: RunOptions) -> None:
        self._argv = given.argv
        self._exit_timeout = given.exit_timeout
        self._engine = given.engine
        self._config: Config | None = None
        self._root: RootContext
        self._begun: Beginning | None = None
        self._options = Options(dedicated=True)
        self._options.summary = not given.no_summary
        if given.exit_timeout is not None:
            self._options.exit_timeout = given.exit_timeout

    def use_config(self, given: RunOptions) -> None:
        """Read the settings if there are any; raise ConfigError where they are wrong.

        An operator who asked for a watchdog must not find out afterwards that there was none.
        """
        options = _settings_of(given)
        if given.config is None and not options and not anything_set(os.environ):
            return
        from otel_untether.config import settings as config  # noqa: PLC0415  only where something is set

        self._config = config.load(given.config, options=options)
        for line in self._config.notices:
            notice(line)
        if self._exit_timeout is None:
            self._options.exit_timeout = self._config.telemetry.exit_timeout
        self._options.finish_timeout = self._config.telemetry.finish_timeout

    def leave(self) -> NoReturn:
        """Run the agent and end as it did."""
        from otel_untether.export import propagation  # noqa: PLC0415  not needed for --help

        # Here, though it is the observer's: after a fork an import copies each page it touches.
        from otel_untether.store import beginning  # noqa: F401, PLC0415

        environ = _given_environ()
        self._root = propagation.root_context(environ)
        options = self._options
        native = self._config.telemetry.native if self._config is not None else "join"
        given = propagation.without_telemetry(environ) if native == "off" else environ
        options.environ = propagation.child_environ(given, self._root)
        options.unwatched = environ
        options.terminal = self._relays_terminal()
        options.prepare = self._begin
        options.abandon = self._take_back
        end_as(supervisor.run(self._argv, options, self._observer))

    def _begin(self, started: int) -> None:
        """Note the run on disk; called in the observer's process, before there is an agent."""
        from otel_untether.store import beginning  # noqa: PLC0415  not needed for --help

        configured = self._config.telemetry.state_dir if self._config is not None else None
        folder = beginning.state_path(configured, os.environ)
        command = self._argv[0]
        name = os.path.basename(command)  # noqa: PTH119  pathlib is slow to import
        try:
            self._begun = beginning.begin(
                folder,
                started=started,
                command=command,
                engine=self._engine or (name if name in NAMES else None),
                root=self._root,
            )
        except (OSError, ValueError) as error:
            notice(f"{folder}: no run can be kept there: {error}")

    def _take_back(self) -> None:
        if self._begun is not None:
            self._begun.take_back()

    def _observer(self, child: Child) -> Observer:
        """Make the observer; called in its own process, with the agent already running."""
        from otel_untether.sources import command as session_observer  # noqa: PLC0415  takes 0.3 s

        make = session_observer.factory(
            self._settings(), self._root, self._begun, engine=self._engine, environ=os.environ
        )
        return make(child)

    def _settings(self) -> Config:
        from otel_untether.config import settings as config  # noqa: PLC0415  not before the agent runs

        settings = self._config or config.Config()
        telemetry = settings.telemetry._replace(exit_timeout=self._options.exit_timeout)
        return settings._replace(telemetry=telemetry)

    def _relays_terminal(self) -> bool:
        """Tell whether stdout is relayed even to a terminal: of an agent that prints JSON."""
        if not supervisor.stdout_is_terminal():
            return False
        if self._engine is not None or _is_headless(self._argv):
            return True
        notice("stdout is a terminal, left to the agent: only its process is watched")
        return False


def _settings_of(given: RunOptions) -> dict[str, tuple[str, str]]:
    """Return what the command line sets, by "section.key": the option and its text."""
    found: dict[str, tuple[str, str]] = {}
    if given.auto_kill is not None:
        option = "--kill" if given.auto_kill == "true" else "--dry-run"
        found["watchdog.stall_auto_kill"] = option, given.auto_kill
    if given.stall_timeout is not None:
        found["watchdog.stall_timeout"] = "--stall-timeout", f"{given.stall_timeout!r}"
    if given.state_dir is not None:
        found["telemetry.state_dir"] = "--state-dir", given.state_dir
    return found


def _given_environ() -> dict[str, str]:
    """Return our environment as we got it: in the C locale Python sets LC_CTYPE (PEP 538).

    Without an entry that has no name, which Python hands to nobody.
    """
    environ = dict(os.environ)
    environ.pop("", None)
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123  pathlib is slow to import
            given = file.read().split(b"\0")
    except OSError:
        return environ
    environ.pop("LC_CTYPE", None)
    for entry in given:
        if entry.startswith(b"LC_CTYPE="):
            environ["LC_CTYPE"] = os.fsdecode(entry).partition("=")[2]
    return environ


def _is_headless(argv: Sequence[str]) -> bool:
    from otel_untether.engines import registry  # noqa: PLC0415  only in a terminal

    engine = registry.detect_argv(argv)
    return engine is not None and engine.headless(argv)


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _positive_or_error(text: str) -> float:
    from argparse import ArgumentTypeError  # noqa: PLC0415  as above

    if not (seconds := _seconds(text)):
        raise ArgumentTypeError(f"expected seconds, more than 0, not {text!r}")
    return seconds


def _seconds_or_error(text: str) -> float:
    from argparse import ArgumentTypeError  # noqa: PLC0415  as above

    if (seconds := _seconds(text)) is None:
        raise ArgumentTypeError(f"expected seconds, 0 or more, not {text!r}")
    return seconds
