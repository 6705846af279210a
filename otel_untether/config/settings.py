"""Settings: what they are called, what they default to, where they come from.

Later places win: the defaults, the ``[watchdog]`` table of Untether's own
``~/.untether/untether.toml`` or ``UNTETHER_CONFIG_PATH`` (its keys mean the same here; those we
do not have are its business), one ``otel-untether.toml``, the environment
(``OTEL_UNTETHER_<KEY>``). That file is the first of: ``--config``, ``OTEL_UNTETHER_CONFIG``,
``$XDG_CONFIG_HOME/otel-untether``. A file of that name in the working directory is no place to
trust: it may vary thresholds within bounds (`local`). Exporting is configured by the standard
``OTEL_*`` alone.

This module is imported before the agent is spawned. Hence named tuples (`dataclasses` takes
8 ms to import, a quarter of what the agent's first byte may be delayed) and a TOML parser that
is imported only when there is a file.
"""

# Without annotations from __future__: named tuples are made of real ones in half the time.
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from otel_untether.config import files, reading
from otel_untether.config.home import home_of
from otel_untether.config.keys import KEYS, KILLABLE, WATCHDOG_DURATIONS, ConfigError, Key

if TYPE_CHECKING:
    from otel_untether.config.reading import Values

__all__ = [
    "KEYS",
    "KILLABLE",
    "CaptureConfig",
    "Config",
    "ConfigError",
    "Key",
    "TelemetryConfig",
    "WatchdogConfig",
    "load",
]

DEFAULT: Final = "default"

Native: TypeAlias = Literal["join", "off", "pass"]
AutoKill: TypeAlias = bool | Literal["dry-run"]


class WatchdogConfig(NamedTuple):
    """``[watchdog]``: when silence is a stall, and what may be done about it.

    Durations are seconds; any positive number will do. `config_keys.KEYS` says what each means.
    """

    stall_timeout: float = 300.0
    stall_repeat_seconds: float = 180.0
    liveness_timeout: float = 600.0
    stall_auto_kill: AutoKill = False
    kill_causes: tuple[str, ...] = ("wedged",)
    kill_confirmations: int = 3
    kill_grace: float = 5.0
    reap_orphans: bool = False
    startup_timeout: float = 120.0
    resume_startup_timeout: float = 60.0
    tool_timeout: float = 600.0
    mcp_tool_timeout: float = 900.0
    subagent_timeout: float = 900.0
    background_timeout: float = 3600.0
    hook_timeout: float = 600.0
    wait_timeout: float = 60.0
    approval_timeout: float = 1800.0
    compaction_timeout: float = 300.0
    streaming_timeout: float = 1800.0
    post_result_timeout: float = 60.0
    sample_interval: float = 5.0
    cpu_idle_bound: float = 0.02
    runbooks: str | None = None

    def scaled(self, factor: float) -> "WatchdogConfig":
        """Return the same with every duration multiplied: a rehearsal at another speed.

        :param factor: 0.01 makes minutes of hours.
        """
        return self._replace(**{key: getattr(self, key) * factor for key in WATCHDOG_DURATIONS})

    def check(self) -> None:
        """Raise `ConfigError` for a bad value, or for values that contradict each other."""
        for key in KEYS:
            if key.section == "watchdog":
                key.check(getattr(self, key.name), f"WatchdogConfig.{key.name}")
        _check_together(self, {})


KEEP_RUNS: Final = 200
"""Of this number, which nobody chose, runs of the last hour are spared."""


class TelemetryConfig(NamedTuple):
    """``[telemetry]``: what is kept on this machine, and how long exporting may hold us up."""

    exit_timeout: float = 2.0
    finish_timeout: float = 60.0
    chat_spans: bool = True
    session_files: bool = True
    native: Native = "join"
    state_dir: str | None = None
    keep_days: float = 14.0
    keep_runs: int = KEEP_RUNS
    keep_megabytes: float = 512.0


class CaptureConfig(NamedTuple):
    """``[capture]``: whether content (prompts, arguments, results) leaves the process at all."""

    content: bool = False
    max_length: int = 4096


class Config(NamedTuple):
    """All settings; `sources` tells for each "section.key" where its value came from.

    `files` are the settings files that were read, `notices` lines for the operator.
    """

    watchdog: WatchdogConfig = WatchdogConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    capture: CaptureConfig = CaptureConfig()
    sources: Mapping[str, str] = {}
    files: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def value(self, key: Key) -> Any:
        """Return the effective value of `key`."""
        return getattr(getattr(self, key.section), key.name)

    def values(self) -> "Values":
        """Return every effective value by its "section.key"."""
        return {key.path: self.value(key) for key in KEYS}

    def source(self, key: Key) -> str:
        """Return where a value came from: "default", a file, or an environment variable.

        :param key: the setting's row in `config.keys.KEYS`.
        """
        return self.sources.get(key.path, DEFAULT)


def load(
    path: str | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: str | None = None,
    home: str | None = None,
    options: Mapping[str, tuple[str, str]] | None = None,
) -> Config:
    """Read the settings from all places.

    :param path: a settings file; by default the one that ``OTEL_UNTETHER_CONFIG`` names, or the
        user's own.
    :param environ: environment variables; by default this process's.
    :param cwd: the working directory, by default the current one: a file there may vary
        thresholds within bounds, and nothing else.
    :param home: the user's home, by default ``~``.
    :param options: what the command line sets, by "section.key": the option and its text.
    :raises ConfigError: its message names the place, the key and what was expected.
    """
    env = os.environ if environ is None else environ
    home = home_of(env) if home is None else home
    cwd = cwd or os.curdir
    base, file = files.untether_file(env, home), files.find(path, env, cwd, home)
    trusted = _Layer()
    if base is not None:
        trusted = trusted.over(_Layer.of(reading.from_untether(base), base))
    if file is not None:
        trusted = trusted.over(_Layer.of(reading.from_file(file), file))
    environment, sources, odd = reading.from_environment(env)
    said = _Layer(environment, sources, notices=tuple(odd)).over(_of_options(options or {}))
    config = _build(trusted.over(said))
    here = files.find_local(path, env, cwd, home)
    return config if here is None else _with_local(here, config, trusted, said)


def _of_options(options: Mapping[str, tuple[str, str]]) -> "_Layer":
    known = {key.path: key for key in KEYS}
    values = {path: known[path].parse(text, option) for path, (option, text) in options.items()}
    return _Layer(values, {path: option for path, (option, _) in options.items()})


class _Layer(NamedTuple):
    """What some places set: values by "section.key", the place of each, files, lines to say."""

    values: Mapping[str, Any] = {}
    sources: Mapping[str, str] = {}
    files: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: "Values", file: str) -> "_Layer":
        return cls(values, dict.fromkeys(values, file), (file,))

    def over(self, other: "_Layer") -> "_Layer":
        """Return both, where the other one wins."""
        return _Layer(
            {**self.values, **other.values},
            {**self.sources, **other.sources},
            self.files + other.files,
            self.notices + other.notices,
        )


def _with_local(file: str, config: Config, trusted: _Layer, said: _Layer) -> Config:
    """Return the settings with what the working directory's file may add to them."""
    from otel_untether.config import local  # noqa: PLC0415  only where there is such a file

    known = {path: value for path, value in config.values().items() if path not in said.values}
    found = local.read(file, known, killing=bool(config.watchdog.stall_auto_kill))
    layer = _Layer.of(found.values, file)._replace(notices=(found.notice,))
    try:
        return _build(trusted.over(layer).over(said))
    except ConfigError as error:
        return config._replace(notices=(*config.notices, f"{error}; {file} is not used"))


def _fit_defaults(values: "Values", sources: dict[str, str]) -> None:
    """Let untouched defaults follow what was set, so that one key can be shortened alone."""
    defaults = WatchdogConfig()
    liveness = values.get("watchdog.liveness_timeout", defaults.liveness_timeout)
    if "watchdog.stall_timeout" not in values and liveness < defaults.stall_timeout:
        values["watchdog.stall_timeout"] = liveness
        sources["watchdog.stall_timeout"] = f"{DEFAULT}, lowered to liveness_timeout"
    stall = values.get("watchdog.stall_timeout", defaults.stall_timeout)
    typed = sources.get("watchdog.stall_timeout", "").startswith("--")
    if typed and "watchdog.liveness_timeout" not in values and stall > liveness:
        values["watchdog.liveness_timeout"] = stall
        sources["watchdog.liveness_timeout"] = f"{DEFAULT}, raised to stall_timeout"
    shortest = min(values.get(f"watchdog.{k}", getattr(defaults, k)) for k in _SAMPLED)
    if "watchdog.sample_interval" not in values and shortest < 2 * defaults.sample_interval:
        values["watchdog.sample_interval"] = shortest / 4
        sources["watchdog.sample_interval"] = f"{DEFAULT}, lowered to a quarter of a timeout"


_SAMPLED: Final = ("stall_timeout", "liveness_timeout", "tool_timeout", "post_result_timeout")


def _build(layer: _Layer) -> Config:
    """Return the settings of a layer; raise `ConfigError` for values that contradict each other."""
    values, sources = dict(layer.values), dict(layer.sources)
    _fit_defaults(values, sources)

    def section(name: str) -> "Values":
        return {key.name: values[key.path] for key in KEYS if _has(key, name, values)}

    config = Config(
        WatchdogConfig(**section("watchdog")),
        TelemetryConfig(**section("telemetry")),
        CaptureConfig(**section("capture")),
        sources,
        layer.files,
        layer.notices,
    )
    _check_together(config.watchdog, sources)
    return config


def _has(key: Key, section: str, values: "Values") -> bool:
    return key.section == section and key.path in values


def _check_together(config: WatchdogConfig, sources: Mapping[str, str]) -> None:
    """Raise `ConfigError` where two values cannot both be meant."""

    def place(name: str) -> str:
        return f"watchdog.{name} ({sources.get(f'watchdog.{name}', DEFAULT)})"

    if config.liveness_timeout < config.stall_timeout:
        raise ConfigError(
            f"{place('liveness_timeout')} is {config.liveness_timeout:g} s, expected at least "
            f"{place('stall_timeout')}, {config.stall_timeout:g} s: warn first, then judge"
        )
    if config.sample_interval > config.stall_timeout:
        raise ConfigError(
            f"{place('sample_interval')} is {config.sample_interval:g} s, expected at most "
            f"{place('stall_timeout')}, {config.stall_timeout:g} s"
        )
    if config.stall_auto_kill and not config.kill_causes:
        raise ConfigError(
            f"{place('kill_causes')} is empty though {place('stall_auto_kill')} is on: "
            "expected at least one cause"
        )
