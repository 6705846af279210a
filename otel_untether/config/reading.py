"""Where settings are written down: which files there may be, and what is read from each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_untether.config.files import PREFIX
from otel_untether.config.keys import KEYS, ConfigError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Opener: TypeAlias = Callable[[str, int], int]

_LARGEST: Final = 1 << 20
Values: TypeAlias = dict[str, Any]


def parse(file: str, opener: Opener | None = None) -> dict[str, Any]:
    """Return what a TOML file says; raise `ConfigError` where it cannot be read.

    `opener` opens it, as `open` would have it; None opens any file there is.
    """
    import tomllib  # noqa: PLC0415  only when there is a file

    try:
        with open(file, "rb", opener=opener) as stream:
            content = stream.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ConfigError(f"{file}: expected at most {_LARGEST:,} bytes")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from error


def table(document: dict[str, Any], section: str, file: str) -> dict[str, Any]:
    """Return a table of a document, empty where there is none; raise `ConfigError` for others."""
    found = document.get(section, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: {section}: expected a table, [{section}]")
    return found


def from_untether(file: str) -> Values:
    """Return the settings that Untether shares with us; its other keys are its own business.

    So is what it ends itself (`reap_orphans`, on by default there): we end that on our own
    setting's word only.
    """
    found = table(parse(file), "watchdog", file)
    shared = (key for key in KEYS if key.section == "watchdog" and key.name in found)
    shared = (key for key in shared if key.name != "reap_orphans")
    return {key.path: key.check(found[key.name], f"{file}: {key.path}") for key in shared}


def from_file(file: str) -> Values:
    """Return what our own file sets; raise `ConfigError` for anything that is not ours."""
    document = parse(file)
    known = {key.path: key for key in KEYS}
    sections = {key.section for key in KEYS}
    values: Values = {}
    for section in document:
        if section not in sections:
            hint = nearest(section, sections)
            what = _misplaced(section) or f"unknown table [{shown(section)}]{hint}"
            raise ConfigError(f"{file}: {what}")
        for name, value in table(document, section, file).items():
            key = known.get(f"{section}.{name}")
            if key is None:
                names = {other.name for other in KEYS if other.section == section}
                what = f"unknown key {section}.{shown(name)}{nearest(name, names)}"
                raise ConfigError(f"{file}: {_misplaced(name) or what}")
            values[key.path] = key.check(value, f"{file}: {key.path}")
    return values


def _misplaced(name: str) -> str | None:
    """Say where a key of ours belongs; None for what is none."""
    tables = [f"[{key.section}]" for key in KEYS if key.name == name]
    return f"{name} belongs in the table {' or '.join(tables)}" if tables else None


def from_environment(env: Mapping[str, str]) -> tuple[Values, dict[str, str], list[str]]:
    """Return what `OTEL_UNTETHER_<KEY>` set, by which variable, and a line for each odd one.

    Empty is unset, as OpenTelemetry has it. Raises `ConfigError` for a bad value, and for a name
    that is nearly one of ours: somebody believes to have set that.
    """
    known = {key.variable: key for key in KEYS}
    values: Values = {}
    sources: dict[str, str] = {}
    odd: list[str] = []
    for variable, text in env.items():
        if not variable.startswith(PREFIX) or not text or variable == PREFIX + "CONFIG":
            continue
        if (key := known.get(variable)) is not None:
            values[key.path] = key.parse(text, variable)
            sources[key.path] = variable
        elif hint := _misspelt(variable, known):
            raise ConfigError(f"{shown(variable)}: no such setting{hint}")
        elif not _is_service_link(variable):
            odd.append(f"{shown(variable)}: no such setting; `otel-untether config` lists them")
    return values, sources, odd


def _misspelt(variable: str, known: Iterable[str]) -> str:
    """Return what was probably meant by a variable that is no setting's."""
    names = [name.removeprefix(PREFIX) for name in known]
    return nearest(variable.removeprefix(PREFIX), names)


def _is_service_link(variable: str) -> bool:
    """Whether Kubernetes set it, for a Service that is called like us."""
    name = variable.removeprefix(PREFIX)
    return name == "PORT" or name.startswith(("PORT_", "SERVICE_HOST", "SERVICE_PORT"))
