"""The `otel-untether` command: one module per subcommand, imported when it is named.

`run` stands between an operator and an agent that should start at once: it reads its own few
options, and not even `argparse` is imported for it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from typing import Final, Protocol

    # argparse has no public name for what add_subparsers returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

    class Command(Protocol):
        """What a module in this package offers."""

        def add_parser(self, subparsers: Subparsers) -> None:
            """Describe the subcommand's arguments."""

        def main(self, args: argparse.Namespace) -> int:
            """Carry it out and return the exit status."""


COMMANDS: Final = (
    "run",
    "report",
    "runs",
    "replay",
    "resend",
    "config",
    "doctor",
    "engines",
    "demo",
    "completion",
)

_EPILOG: Final = """\
examples:
  otel-untether run -- claude -p "fix the tests" --output-format stream-json --verbose
  otel-untether run -- codex exec --json "fix the tests" | jq .
  otel-untether report

Where telemetry goes is OpenTelemetry's own business: set OTEL_EXPORTER_OTLP_ENDPOINT, or
nothing and read it with `otel-untether report`.
"""


def load(name: str) -> Command:
    """Import a subcommand's module."""
    from importlib import import_module  # noqa: PLC0415  `run` does without
    from typing import cast  # noqa: PLC0415

    return cast("Command", import_module(f"{__name__}.{name}"))


def build_parser(commands: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return a parser that knows these subcommands."""
    import argparse  # noqa: PLC0415  6 ms that an agent need not wait for

    from otel_untether import __version__  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        prog="otel-untether",
        description="OpenTelemetry for headless coding agents: traces, gauges, explained silence.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"otel-untether {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in commands:
        load(name).add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is the subcommand's, 2 for wrong usage."""
    if argv is None:
        argv = sys.argv[1:]
        _search_the_agents_last()
        from otel_untether.supervisor.signals import die_by_interrupt  # noqa: PLC0415  found so

        # Imports that are interrupted end in a traceback; or, of msgspec, in a crash.
        die_by_interrupt()
    if argv and argv[0] == "run":
        import gc  # noqa: PLC0415  built in

        # What is imported stays, and what carries bytes makes no cycles: a collection would only
        # hold them up. The observer, which does make some, has its own.
        gc.disable()
        from otel_untether.cli import run  # noqa: PLC0415

        return run.main(argv[1:])
    return _subcommand(argv)


def _search_the_agents_last() -> None:
    """Look into what is on the path for the agent's sake after all else.

    That is PYTHONPATH, and with `python -m` the directory it works in: what precedes the
    standard library. A `select.py` or `resource.py` of its project's is none of ours; a plug-in
    is found still. What has a package `opentelemetry` would hide the one that OpenTelemetry
    shares among its distributions (PEP 420) from the last place as well, and is left out.
    """
    standard = os.path.dirname(getattr(os, "__file__", ""))  # noqa: PTH120  `run` does without
    if standard not in sys.path:
        return
    first = sys.path.index(standard)
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    named = {os.path.abspath(entry) for entry in given if entry}  # noqa: PTH100
    theirs = [it for n, it in enumerate(sys.path) if n < first or it in named - {standard}]
    ours = [it for it in sys.path if it not in theirs]
    sys.path[:] = ours + [it for it in theirs if not _hides_opentelemetry(it)]


def _hides_opentelemetry(entry: str) -> bool:
    return os.path.exists(os.path.join(entry, "opentelemetry", "__init__.py"))  # noqa: PTH110, PTH118


def _subcommand(argv: Sequence[str]) -> int:
    named = argv[0] if argv and argv[0] in COMMANDS else None
    args = build_parser(COMMANDS if named is None else (named,)).parse_args(argv)
    try:
        return load(args.command).main(args)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has left; what is still buffered has nowhere to go.
        sys.stdout = None
        return 141
