"""Spans as Jaeger's stable API gives them, made easy to read."""

from __future__ import annotations

from typing import Any


def flatten(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every span of an OTLP document, with `resource` and plain attributes.

    Jaeger's own warnings, which it writes as attributes, are under `warnings`.
    """
    return [
        span
        | {
            "attributes": (attributes := plain(span.get("attributes", []))),
            "warnings": attributes.pop("@jaeger@warnings", []),
            "resource": plain(part["resource"]["attributes"]),
        }
        for part in found["result"]["resourceSpans"]
        for scope in part["scopeSpans"]
        for span in scope.get("spans", ())  # none where Jaeger took away a span sent twice
    ]


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return OTLP's key-value pairs as a dict; 64-bit integers are strings there."""
    return {pair["key"]: value_of(pair["value"]) for pair in attributes}


def value_of(value: dict[str, Any]) -> Any:
    """Return what an OTLP AnyValue holds."""
    ((kind, held),) = value.items()
    if kind == "arrayValue":
        return [value_of(item) for item in held.get("values", [])]
    return int(held) if kind == "intValue" else held
