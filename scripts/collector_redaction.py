"""The collectors' redaction, made of the package's own table.

`python -m scripts.collector_redaction` writes what stands between the two marks in each
collector configuration; with `--check` it says whether that is up to date. The processor
`redaction` reads attributes, also those that are arrays and maps, and log bodies;
`transform/secrets` what that leaves: names, status messages, exemplars. What no processor can
change, the attributes of a span's links, is dropped with the span, unless the span is ours.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.session import secret_patterns as table

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG: Final = Path(__file__).parents[1] / "collector-config"
FILES: Final = ("otel-collector.yaml", "scale/agent.yaml", "scale/gateway.yaml")
BEGIN: Final = (
    "  # Made by `python -m scripts.collector_redaction`; edit the table it reads instead.\n"
)
END: Final = "  # End of what is made.\n"
_KEYS: Final = (
    r"^user\.(email|full_name|account_(uu)?id)$",
    r"^organization\.id$",
    (
        r"(?i)(authorization|cookie|api[_.-]?key|password|passwd|passphrase|secret|credential"
        r"|private[_.-]?key|access[_.-]?token|auth[_.-]?token)"
    ),
)
# Names, events, messages: short texts, where only a key's own form tells.
# One list a context: the collector runs a list in the narrowest context that any of its
# statements needs, and a span without events has no event to run it for.
_NAMES: Final = {
    "trace_statements": (
        ("scope.name", "scope.version"),
        ("span.name", "span.status.message", "span.trace_state"),
        ("spanevent.name",),
    ),
    "metric_statements": (
        ("scope.name", "scope.version"),
        ("metric.name", "metric.description", "metric.unit"),
    ),
    "log_statements": (
        ("scope.name", "scope.version"),
        ("log.event_name", "log.severity_text"),
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
    lines = [BEGIN]
    lines += ["  redaction:\n", "    allow_all_keys: true\n", "    redact_all_types: true\n"]
    lines += ["    summary: silent\n", "    blocked_key_patterns:\n"]
    lines += [f"      - {_yaml(key)}\n" for key in _KEYS]
    lines += ["    blocked_values:\n", *(f"      - {_yaml(value)}\n" for value in values())]
    lines += ["  transform/secrets:\n", "    error_mode: ignore\n"]
    pattern = names().replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    for signal, contexts in _NAMES.items():
        lines.append(f"    {signal}:\n")
        for targets in contexts:
            lines.append("      - statements:\n")
            lines += [f"          - {_yaml(_replaced(target, pattern))}\n" for target in targets]
        if signal == "metric_statements":
            lines += ["      - statements:\n", f"          - {_EXEMPLARS}\n"]
    foreign = f'Len(span.links) > 0 and scope.name != "{semconv.SCOPE}"'
    lines += ["  filter/links:\n", "    error_mode: ignore\n", "    trace_conditions:\n"]
    lines += [f"      - {_yaml(foreign)}\n", END]
    return "".join(lines)


def _replaced(target: str, pattern: str) -> str:
    return f'replace_pattern({target}, "{pattern}", "[redacted]")'


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
