"""What this machine cannot be brought into is said at the end, with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.processes.verdicts.zoo import impossible

if TYPE_CHECKING:
    import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the states that were not judged."""
    from tests.processes.verdicts.test_zoo import TABLES  # noqa: PLC0415  only where it was run

    for table in TABLES:
        for state in table.STATES:
            if (why := impossible(state)) is not None:
                terminalreporter.write_line(f"not judged: {state.name}: {why}", yellow=True)
