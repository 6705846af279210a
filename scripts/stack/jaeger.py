"""The edits that let Jaeger 2.13 build with the collector modules of 0.142.

Two things changed in the collector between 0.140, which Jaeger 2.13 asks for, and 0.142:
servers and clients are made from a host's extensions where they took the host, and the
queue of an exporter became optional. Jaeger's own next release makes the same edits.
"""

from __future__ import annotations

import shutil
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


def copy_edited(source: Path, target: Path) -> None:
    """Copy the sources to `target`, edited.

    Raises `ValueError` where a file does not say what an edit expects.
    """
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for directory in (target, *(d for d in target.rglob("*") if d.is_dir())):
        directory.chmod(0o755)  # the module cache is read-only, its directories too
    for name, old, new in EDITS:
        file = target / name
        text = file.read_text()
        if old not in text:
            raise ValueError(f"{file}: expected to find {old!r}")
        file.write_text(text.replace(old, new))
