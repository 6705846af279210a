"""Where settings are written down: which files there may be, and what is read from each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from otel_untether.config.files import PREFIX
from otel_untether.config.keys import KEYS, ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Values: TypeAlias = dict[str, Any]


def _parse(file: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415  only when there is a file

    try:
        with open(file, "rb") as stream:  # noqa: PTH123  pathlib takes 5 ms to import
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from error


def _table(document: dict[str, Any], section: str, file: str) -> dict[str, Any]:
    table = document.get(section, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: {section}: expected a table, [{section}]")
    return table


def from_untether(file: str) -> Values:
    """Return the settings that Untether shares with us; its other keys are its own business."""
    table = _table(_parse(file), "watchdog", file)
    shared = (key for key in KEYS if key.section == "watchdog" and key.name in table)
    return {key.path: key.check(table[key.name], f"{file}: {key.path}") for key in shared}


def from_file(file: str) -> Values:
    """Return what our own file sets; raise `ConfigError` for anything that is not ours."""
    document = _parse(file)
    known = {key.path: key for key in KEYS}
    sections = {key.section for key in KEYS}
    values: Values = {}
    for section in document:
        if section not in sections:
            raise ConfigError(f"{file}: unknown table [{section}]{nearest(section, sections)}")
        for name, value in _table(document, section, file).items():
            key = known.get(f"{section}.{name}")
            if key is None:
                names = {other.name for other in KEYS if other.section == section}
                raise ConfigError(f"{file}: unknown key {section}.{name}{nearest(name, names)}")
            values[key.path] = key.check(value, f"{file}: {key.path}")
    return values


def from_environment(values: Values, sources: dict[str, str], env: Mapping[str, str]) -> None:
    """Take `OTEL_UNTETHER_<KEY>`; empty is unset, as OpenTelemetry has it."""
    known = {key.variable: key for key in KEYS}
    for variable, text in env.items():
        if not variable.startswith(PREFIX) or not text:
            continue
        if (key := known.get(variable)) is not None:
            values[key.path] = key.parse(text, variable)
            sources[key.path] = variable
        elif variable != PREFIX + "CONFIG" and (hint := _misspelt(variable, known)):
            raise ConfigError(f"{variable}: no such setting{hint}")


def _misspelt(variable: str, known: Iterable[str]) -> str:
    """Return what was probably meant; other variables of ours are not settings at all."""
    names = [name.removeprefix(PREFIX) for name in known]
    return nearest(variable.removeprefix(PREFIX), names)
