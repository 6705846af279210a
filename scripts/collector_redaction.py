"""The collectors' redaction, made of the package's own table.

`python -m scripts.collector_redaction` writes what stands between the two marks in each
collector configuration; with `--check` it says whether that is up to date. The processor
`redaction` reads attributes, also those that are arrays and maps, and log bodies;
`transform/secrets` what that leaves: names, status messages, exemplars. What no processor can
change, the attributes of a span's links, is dropped with the span, unless the span is ours.

Both have a hundred expressions, which are slow. So `transform/secrets` comes first and asks the
cheap ones of `collector_hints` of each record as a whole. Where none is there, as in nearly all,
the names stay as they are, and the attributes are put below a key that `redaction` ignores, from
where `transform/unsuspected` takes them again:

    {"a": "b", "c": 1}  ->  {"unsuspected": {"a": "b", "c": 1}}  ->  {"a": "b", "c": 1}

Who sends that key gains nothing: it is removed, in attributes and bodies, before all this. A
record that cannot be asked, such as one with a number that JSON does not have, is redacted.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether import semconv
from otel_untether.session import secret_patterns as table

from .collector_hints import hints

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG: Final = Path(__file__).parents[1] / "collector-config"
FILES: Final = ("otel-collector.yaml", "scale/agent.yaml", "scale/gateway.yaml")
BEGIN: Final = (
    "  # Made by `python -m scripts.collector_redaction`; edit the table it reads instead.\n"
)
END: Final = "  # End of what is made.\n"
KEYS: Final = (
    r"^user\.(email|full_name|account_(uu)?id)$",
    r"^organization\.id$",
    (
        r"(?i)(authorization|cookie|api[_.-]?key|password|passwd|passphrase|secret|credential"
        r"|private[_.-]?key|access[_.-]?token|auth[_.-]?token)"
    ),
)
UNSUSPECTED: Final = "otel-untether.unsuspected"


class _Record(NamedTuple):
    """What one list of statements is run for, by its context.

    One list a context: the collector runs a list in the narrowest context that any of its
    statements needs, and a span without events has no event to run it for.
    """

    context: str
    names: tuple[str, ...] = ()  # short texts, where only a key's own form tells
    attributes: bool = True
    body: bool = False


_RESOURCE: Final = _Record("resource")
_SCOPE: Final = _Record("scope", ("name", "version"))
_RECORDS: Final = {
    "trace_statements": (
        _RESOURCE,
        _SCOPE,
        _Record("span", ("name", "status.message", "trace_state")),
        _Record("spanevent", ("name",)),
    ),
    "metric_statements": (
        _RESOURCE,
        _SCOPE,
        _Record("metric", ("name", "description", "unit"), attributes=False),
        _Record("datapoint"),
    ),
    "log_statements": (
        _RESOURCE,
        _SCOPE,
        _Record("log", ("event_name", "severity_text"), body=True),
    ),
}
_EXEMPLARS: Final = "keep_keys(exemplar.filtered_attributes, [])"


def values() -> Iterator[str]:
    """Yield the expressions for values: key formats by alphabet, then whatever has a shape."""
    groups: defaultdict[tuple[str, int, bool], list[str]] = defaultdict(list)
    for form in table.FORMATS:
        groups[form.alphabet, form.least, form.distinct].append(re.escape(form.prefix))
    for (alphabet, least, distinct), prefixes in groups.items():
        begins = "" if distinct else r"\b"
        yield f"{begins}(?:{'|'.join(prefixes)})[{alphabet}]{{{least},}}"
    for shape in (*table.SHAPES, *table.COMMANDS, *table.DOCUMENTS):
        yield shape.expression
    for option in table.OPTIONS:
        yield rf"\b(?:{option.program})\b[^\n|;]{{0,400}}{option.expression}"


def names() -> str:
    """Return one expression for names, which hold no sentences and no files."""
    distinct = "|".join(re.escape(form.prefix) for form in table.FORMATS if form.distinct)
    others = "|".join(re.escape(form.prefix) for form in table.FORMATS if not form.distinct)
    shapes = [f"(?:{shape.expression})" for shape in (*table.SHAPES, *table.DOCUMENTS)]
    return "|".join(
        (
            rf"(?:{distinct})[A-Za-z0-9_.~+/=-]{{10,}}",
            rf"\b(?:{others})[A-Za-z0-9_.~+/=-]{{16,}}",
            *shapes,
        )
    )


def block() -> str:
    """Return the processors as YAML."""
    foreign = f'Len(span.links) > 0 and scope.name != "{semconv.SCOPE}"'
    lines = [BEGIN, "  transform/secrets:\n", "    error_mode: ignore\n"]
    for signal, records in _RECORDS.items():
        lines.append(f"    {signal}:\n")
        for record in records:
            lines += _list(_asked(record))
        if signal == "metric_statements":
            lines += _list([_EXEMPLARS])
    lines += ["  redaction:\n", "    allow_all_keys: true\n", "    redact_all_types: true\n"]
    lines += ["    summary: silent\n", f"    ignored_keys: [{UNSUSPECTED}]\n"]
    lines += ["    blocked_key_patterns:\n", *(f"      - {_yaml(key)}\n" for key in KEYS)]
    lines += ["    blocked_values:\n", *(f"      - {_yaml(value)}\n" for value in values())]
    lines += ["  transform/unsuspected:\n", "    error_mode: ignore\n"]
    for signal, records in _RECORDS.items():
        lines.append(f"    {signal}:\n")
        for record in records:
            lines += _list(_taken_back(record))
    lines += ["  filter/links:\n", "    error_mode: ignore\n", "    trace_conditions:\n"]
    lines += [f"      - {_yaml(foreign)}\n", END]
    return "".join(lines)


def _list(statements: list[str]) -> list[str]:
    if not statements:
        return []
    return ["      - statements:\n", *(f"          - {_yaml(one)}\n" for one in statements)]


def _asked(record: _Record) -> list[str]:
    """Return what decides whether a record is suspected, and what follows from it."""
    cache, attributes = f"{record.context}.cache", f"{record.context}.attributes"
    texts = [f"{record.context}.{name}" for name in record.names]
    statements = [f'set({cache}["suspected"], true)']
    if record.attributes:
        statements.insert(0, f'delete_key({attributes}, "{UNSUSPECTED}")')
        texts.append(f"String({attributes})")
    if record.body:
        body = f"{record.context}.body"
        statements.append(
            f"set({body}, String({body})) where not IsString({body}) and {_has(body)}"
        )
        texts.append(f"String({body})")
    text, suspected = f'{cache}["text"]', f'{cache}["suspected"] == true'
    asked = " or ".join(f"IsMatch({text}, {_quoted(hint)})" for hint in hints())
    statements += [
        f'set({text}, ToLowerCase(Concat([{", ".join(texts)}], " ")))',
        f'set({cache}["suspected"], false) where {text} != nil and not ({asked})',
    ]
    statements += [
        f'replace_pattern({one}, {_quoted(names())}, "[redacted]") where {suspected}'
        for one in (f"{record.context}.{name}" for name in record.names)
    ]
    unsuspected = f'{cache}["suspected"] == false'
    if record.attributes:
        statements.append(
            f'set({attributes}, {{"{UNSUSPECTED}": {attributes}}}) where {unsuspected}'
        )
    if record.body:
        statements.append(f'set({body}, {{"{UNSUSPECTED}": {body}}}) where {unsuspected}')
    return statements


def _has(body: str) -> str:
    return f'IsMatch(String({body}), "{UNSUSPECTED}")'


def _taken_back(record: _Record) -> list[str]:
    """Return what puts the attributes, and a body, where they were."""
    places = [f"{record.context}.attributes"] * record.attributes
    places += [f"{record.context}.body"] * record.body
    kept = f'{record.context}.cache["kept"]'  # what is copied onto itself is lost
    return [
        f"set({to}, {what}) where {_wrapped(place)}"
        for place in places
        for to, what in ((kept, f'{place}["{UNSUSPECTED}"]'), (place, kept))
    ]


def _wrapped(place: str) -> str:
    return f'IsMap({place}) and {place}["{UNSUSPECTED}"] != nil'


def _quoted(expression: str) -> str:
    """Return an expression as OTTL writes a text, in a file where $ begins a variable."""
    escaped = expression.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'


def _yaml(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def made(text: str) -> str:
    """Return a configuration with its block as it should be."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"the two marks are missing: {BEGIN.strip()!r}, {END.strip()!r}")
    return head + block() + tail


def main() -> int:
    """Write the files, or check them."""
    check = "--check" in sys.argv[1:]
    stale = []
    for name in FILES:
        text = (CONFIG / name).read_text()
        if made(text) != text:
            stale.append(name)
            if not check:
                (CONFIG / name).write_text(made(text))
    if check and stale:
        print(f"not up to date: {', '.join(stale)}; run python -m scripts.collector_redaction")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
