"""The edits that let Jaeger 2.13 build with the collector modules of 0.142.

Two things changed in the collector between 0.140, which Jaeger 2.13 asks for, and 0.142:
servers and clients are made from a host's extensions where they took the host, and the
queue of an exporter became optional. Jaeger's own next release makes the same edits.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

MODULE = "github.com/jaegertracing/jaeger"
PACKAGE = f"{MODULE}/cmd/jaeger"

_EXTENSION = "cmd/jaeger/internal/extension"
_EXPORTER = "cmd/jaeger/internal/exporters/storageexporter/config.go"
_QUEUE = "exporterhelper.QueueBatchConfig"

# File, what it says, what it must say; every occurrence is replaced.
EDITS: tuple[tuple[str, str, str], ...] = (
    (f"{_EXTENSION}/expvar/extension.go", "(ctx, host, ", "(ctx, host.GetExtensions(), "),
    (f"{_EXTENSION}/remotesampling/extension.go", "(ctx, host, ", "(ctx, host.GetExtensions(), "),
    ("cmd/query/app/server.go", "telset.Host,", "telset.Host.GetExtensions(),"),
    ("cmd/remote-storage/app/server.go", "telset.Host,", "telset.Host.GetExtensions(),"),
    ("internal/storage/v1/grpc/factory.go", "f.telset.Host, ", "f.telset.Host.GetExtensions(), "),
    ("internal/storage/v2/grpc/factory.go", "f.telset.Host, ", "f.telset.Host.GetExtensions(), "),
    (_EXPORTER, f" {_QUEUE} ", f" configoptional.Optional[{_QUEUE}] "),
    (
        _EXPORTER,
        'config/configretry"',
        'config/configretry"\n\t"go.opentelemetry.io/collector/config/configoptional"',
    ),
)


def source_directory(module: Path) -> Path:
    """Return where the Go client keeps the sources of the Jaeger that `module` requires."""
    command = ("go", "list", "-m", "-f", "{{.Dir}}", MODULE)
    listed = subprocess.run(command, cwd=module, capture_output=True, text=True, check=True)
    return Path(listed.stdout.strip())


def write_overlay(source: Path, into: Path) -> Path:
    """Write the edited files into `into` and return the file for `go build -overlay`.

    Raises `ValueError` where a file does not say what an edit expects.
    """
    into.mkdir()
    texts: dict[str, str] = {}
    for name, old, new in EDITS:
        text = texts.get(name) or (source / name).read_text()
        if old not in text:
            raise ValueError(f"{source / name}: expected to find {old!r}")
        texts[name] = text.replace(old, new)
    for name, text in texts.items():
        (into / name.replace("/", "_")).write_text(text)
    overlay = into / "overlay.json"
    replaced = {str(source / name): str(into / name.replace("/", "_")) for name in texts}
    overlay.write_text(json.dumps({"Replace": replaced}))
    return overlay
