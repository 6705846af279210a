"""Writes `docs/configuration.md` from the table of settings.

    python -m scripts.config_docs > docs/configuration.md

A test compares the file with what this would write.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from otel_untether.config import local
from otel_untether.config.settings import KEYS, KILLABLE, Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.config.settings import Key

_INTRODUCTION: Final = """\
# Configuration

Every setting, generated from `otel_untether/config/` by
`python -m scripts.config_docs > docs/configuration.md`; edit the table there, not this file.
`otel-untether config --explain` prints the values in force, and the place each came from.

## Places

Later places win:

1. the defaults below;
2. the `[watchdog]` table of Untether's own file, `UNTETHER_CONFIG_PATH` or
   `~/.untether/untether.toml`: its keys mean the same here, and its others are its own business;
3. one `otel-untether.toml`, the first of: `--config FILE`, `OTEL_UNTETHER_CONFIG`,
   `$XDG_CONFIG_HOME/otel-untether/otel-untether.toml` (`~/.config` where that is not set, or not
   absolute);
4. `otel-untether.toml` in the working directory, as far as it is believed (see below);
5. the environment, `OTEL_UNTETHER_<KEY>`; empty is unset;
6. the options of `otel-untether run` that the last table column but one names.

In code, `WatchdogConfig(...)` takes the same names. Where telemetry goes is OpenTelemetry's own
business: `OTEL_EXPORTER_OTLP_ENDPOINT` and the other standard `OTEL_*` variables, none of which
has a name of ours. Content is captured where `capture.content` or
`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` asks for it.

A mistake is never passed over: an unknown key or table, a value of the wrong kind, values that
contradict each other, and a variable that is nearly one of ours are errors (exit status 2, before
the agent is started) that name the place, the key and what was expected. A variable
`OTEL_UNTETHER_*` that is no setting's gets a line on standard error.

## The working directory

What lies there comes with whatever repository was cloned, and the agent can write it. So such a
file is never an error and never a reason to wait. It may set the keys marked *yes* below, each
between a quarter and {factor:g} times what would be in force without it, and none lower where
`stall_auto_kill` is on. Nothing else in it counts, it must be a regular file of this user or of
root, and each run says in one line what was taken and what was not. It is not looked at where a
file is asked for by `--config` or `OTEL_UNTETHER_CONFIG`.

## The state directory

Runs are kept in `telemetry.state_dir`, else `$XDG_STATE_HOME/otel-untether`, else
`~/.local/state/otel-untether`. It is made for its user only. One that somebody else could change
(a folder on the way that belongs to neither root nor this user, or that others may write to and
that is not sticky as `/tmp` is) is not used: a line says which folder and why, and the run goes on
without one. That includes a Kubernetes `emptyDir`, which all may write to: mount it and give a
folder in the container's own file system, or send telemetry to a collector.
"""
_SECTIONS: Final = {
    "watchdog": "When silence is a stall, and what may be done about it ([stalls](stalls.md)).",
    "telemetry": "What is kept on this machine, and how long exporting may hold anything up.",
    "capture": "Whether content leaves the process at all.",
}
_UNITS: Final = {
    "seconds": "s",
    "number": "",
    "count": "",
    "characters": "",
    "cores": "cores",
    "flag": "",
    "kill": "",
    "native": "",
    "causes": "",
    "path": "",
    "url": "",
}


def document() -> str:
    """Return the page."""
    lines = [_INTRODUCTION.format(factor=local.FACTOR)]
    for section, purpose in _SECTIONS.items():
        lines += [f"## `[{section}]`", "", purpose, "", *_table(section), ""]
    causes = ", ".join(f"`{cause}`" for cause in KILLABLE)
    lines += ["## Causes that `kill_causes` may name", "", f"{causes}."]
    return "\n".join(lines) + "\n"


def _table(section: str) -> Iterator[str]:
    yield "| key | default | what it means | expected | variable | working directory |"
    yield "|---|---|---|---|---|---|"
    for key in KEYS:
        if key.section == section:
            yield f"| {' | '.join(_cells(key))} |"


def _cells(key: Key) -> tuple[str, ...]:
    expected = "causes, see below" if key.kind == "causes" else key.expected
    return (
        f"`{key.name}`",
        _default(Config().value(key), _UNITS[key.kind]),
        key.brief,
        expected,
        f"`{key.variable}`" + (f", `run {key.option}`" if key.option else ""),
        "yes" if key.is_threshold else "no",
    )


def _default(value: Any, unit: str) -> str:
    if value is None:
        return "not set"
    text = f"{value:g}" if isinstance(value, float) else json.dumps(value)
    return f"`{text}`" + (f" {unit}" if unit else "")


if __name__ == "__main__":
    sys.stdout.write(document())
