"""The settings one by one: name, kind of value, meaning; and how a bad one is refused."""

# Without annotations from __future__: named tuples are made of real ones in half the time.
import os
from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal[
    "seconds",
    "number",
    "count",
    "characters",
    "cores",
    "flag",
    "kill",
    "native",
    "causes",
    "path",
    "url",
]

# Causes of silence that an operator may name in `kill_causes`. Left out on purpose: a person is
# being waited for, an operator stopped the tree, our own reader is slow, the disk hangs (no
# signal reaches a process in D), or it is already dead.
KILLABLE: Final = (
    "wedged",
    "model_silent",
    "after_tool_result",
    "tool_hung",
    "mcp_hung",
    "hook_hung",
    "subagent_hung",
    "awaiting_stdin",
    "awaiting_terminal",
    "spinning",
    "network_lost",
    "lock_wait",
    "exit_limbo",
    "startup_hang",
    "compaction_hung",
    "model_unreachable",
    "prompt_unanswered",
)

# What may become of an agent's own telemetry, see docs/native-telemetry.md.
NATIVE: Final = ("join", "off", "pass")

_WORDS: Final[dict[Kind, tuple[str, ...]]] = {"kill": ("dry-run",), "native": NATIVE}
_EXPECTED: Final[dict[Kind, str]] = {
    "seconds": "a positive number of seconds",
    "number": "a positive number",
    "count": "a whole number of at least 1",
    # Longer attributes are more than some stores can index, Jaeger's Badger among them.
    "characters": "a whole number from 1 to 32768",
    "cores": "a number of cores above 0 and below 0.5",
    "flag": "true or false",
    "kill": 'true, false or "dry-run"',
    "native": '"join", "off" or "pass"',
    "causes": "a list of causes, each one of: " + ", ".join(KILLABLE),
    "path": "an absolute path, or one that begins with ~/",
    "url": "a URL that begins with https:// or http://",
}
_UNITS: Final[dict[Kind, str]] = {"seconds": "s", "cores": "cores"}
# Options of `otel-untether run`, by the setting that each sets; it wins over all other places.
OPTIONS: Final = {
    "watchdog.stall_auto_kill": "--kill, --dry-run",
    "watchdog.stall_timeout": "--stall-timeout",
    "telemetry.state_dir": "--state-dir",
    "telemetry.exit_timeout": "--exit-timeout",
}
_ROOT: Final = os.path.abspath(os.sep)  # noqa: PTH100  C:\\ on Windows
_SHOWN: Final = 60
_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")
_WHOLE: Final = ("count", "characters")
_BELOW: Final[dict[Kind, float]] = {"cores": 0.5, "characters": 32769}


class ConfigError(ValueError):
    """A setting that cannot be used; the message names the place, the key, the expectation."""


class Key(NamedTuple):
    """One setting."""

    section: Literal["watchdog", "telemetry", "capture"]
    name: str
    kind: Kind
    brief: str

    @property
    def path(self) -> str:
        """Its name in full: "section.key"."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        name = f"capture_{self.name}" if self.section == "capture" else self.name
        return f"OTEL_UNTETHER_{name.upper()}"

    @property
    def option(self) -> str | None:
        """The option of `otel-untether run` that sets it, None where there is none."""
        return OPTIONS.get(self.path)

    @property
    def unit(self) -> str:
        """The unit of its value, in words; empty where it has none."""
        return _UNITS.get(self.kind, "")

    @property
    def expected(self) -> str:
        """What its value has to be, in words."""
        return _EXPECTED[self.kind]

    @property
    def is_threshold(self) -> bool:
        """Whether it is a patience of the watchdog, which a working directory may vary."""
        timing = ("kill_grace", "sample_interval")
        return self.section == "watchdog" and self.kind == "seconds" and self.name not in timing

    def check(self, value: Any, place: str) -> Any:
        """Return `value` as the setting's type, or raise `ConfigError` naming `place`."""
        if not _fits(self.kind, value):
            raise ConfigError(f"{place}: expected {self.expected}, got {value!r}")
        if self.kind in ("seconds", "number", "cores"):
            return float(value)
        if self.kind == "path" and value is not None:
            return _expanded(value, place)
        return tuple(value) if self.kind == "causes" else value

    def parse(self, text: str, place: str) -> Any:
        """Return the value of an environment variable, or raise `ConfigError` naming it.

        There a path may be relative: whoever set it knows the working directory.
        """
        return self.check(_parsed(self.kind, text.strip()), place)


def _expanded(path: str, place: str) -> str:
    found = os.path.expanduser(path)  # noqa: PTH111  pathlib takes 5 ms to import
    if found.startswith("~"):
        raise ConfigError(f"{place}: nobody knows the home in {path!r}, expected an absolute path")
    return found


def _parsed(kind: Kind, text: str) -> Any:
    if kind == "path":
        return os.path.abspath(text) if text and text[0] != "~" else text  # noqa: PTH100
    if kind == "url":
        return text
    if kind == "causes":
        return [cause.strip() for cause in text.split(",") if cause.strip()]
    if kind in ("flag", "kill"):
        lowered = text.lower()
        return True if lowered in _TRUE else False if lowered in _FALSE else text
    try:
        return int(text) if kind in _WHOLE else float(text)
    except ValueError:
        return text


def _fits(kind: Kind, value: Any) -> bool:
    if kind == "path":
        return value is None or (isinstance(value, str) and value.startswith(("/", "~/", _ROOT)))
    if kind == "url":
        return value is None or (isinstance(value, str) and _is_url(value))
    if kind in ("flag", "kill", "native"):
        return value in _WORDS.get(kind, ()) or (isinstance(value, bool) and kind != "native")
    if kind == "causes":
        return isinstance(value, list | tuple) and all(cause in KILLABLE for cause in value)
    if isinstance(value, bool) or not isinstance(value, int if kind in _WHOLE else int | float):
        return False
    return 0 < value < _BELOW.get(kind, float("inf"))


def _is_url(value: str) -> bool:
    plain = value.isprintable() and not any(c in ' #"<>' for c in value)
    return plain and value.startswith(("https://", "http://")) and not value.endswith("://")


def shown(name: str) -> str:
    """Return a name from a file fit for a message: short, and nothing that steers a terminal."""
    return repr(name[:_SHOWN])[1:-1] + ("…" if len(name) > _SHOWN else "")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "…"?` for the nearest known name, or an empty string."""
    import difflib  # noqa: PLC0415  only to word an error

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f'; did you mean "{close[0]}"?' if close else ""


KEYS: Final = (
    Key("watchdog", "stall_timeout", "seconds", "silence before the first warning"),
    Key("watchdog", "stall_repeat_seconds", "seconds", "between two warnings"),
    Key("watchdog", "liveness_timeout", "seconds", "silence before the check that may kill"),
    Key("watchdog", "stall_auto_kill", "kill", "kill what is proven wedged; dry-run only decides"),
    Key("watchdog", "kill_causes", "causes", "the causes that may be killed"),
    Key("watchdog", "kill_confirmations", "count", "consecutive samples that must agree"),
    Key("watchdog", "kill_grace", "seconds", "between SIGTERM and SIGKILL"),
    Key("watchdog", "reap_orphans", "flag", "end what outlives its agent, at the agent's end"),
    Key("watchdog", "startup_timeout", "seconds", "silence before the first line"),
    Key("watchdog", "resume_startup_timeout", "seconds", "the same, resuming one that stalled"),
    Key("watchdog", "tool_timeout", "seconds", "silence while a tool runs"),
    Key("watchdog", "mcp_tool_timeout", "seconds", "silence while an MCP tool runs"),
    Key("watchdog", "subagent_timeout", "seconds", "silence while a subagent works"),
    Key("watchdog", "background_timeout", "seconds", "silence while background work goes on"),
    Key("watchdog", "hook_timeout", "seconds", "silence while a hook runs"),
    Key("watchdog", "wait_timeout", "seconds", "silence after a retry that names no time"),
    Key("watchdog", "approval_timeout", "seconds", "before an unanswered approval is reported"),
    Key("watchdog", "compaction_timeout", "seconds", "how long a compaction explains silence"),
    Key("watchdog", "streaming_timeout", "seconds", "silence while the model's answer arrives"),
    Key("watchdog", "post_result_timeout", "seconds", "between the final result and the exit"),
    Key("watchdog", "sample_interval", "seconds", "between samples of the process tree"),
    Key("watchdog", "cpu_idle_bound", "cores", "CPU below which the tree counts as idle"),
    Key("watchdog", "runbooks", "url", "where your copy of docs/runbooks.md is to be read"),
    Key("telemetry", "exit_timeout", "seconds", "exporting may delay the exit by this much"),
    Key("telemetry", "finish_timeout", "seconds", "exporting may go on this long after the exit"),
    Key("telemetry", "chat_spans", "flag", "a span for each turn of the model"),
    Key("telemetry", "session_files", "flag", "read what an agent hides in its own session files"),
    Key("telemetry", "native", "native", "the agent's own telemetry, beside ours"),
    Key("telemetry", "state_dir", "path", "where runs are kept"),
    Key("telemetry", "keep_days", "number", "days a finished run is kept"),
    Key(
        "telemetry", "keep_runs", "count",
        "finished runs that are kept; unless you choose, those of the last hour as well",
    ),
    Key("telemetry", "keep_megabytes", "number", "megabytes that finished runs may take"),
    Key("capture", "content", "flag", "record arguments and results of tools, redacted"),
    Key("capture", "max_length", "characters", "characters kept of one piece of content"),
)  # fmt: skip

WATCHDOG_DURATIONS: Final = tuple(
    key.name for key in KEYS if key.section == "watchdog" and key.kind == "seconds"
)
