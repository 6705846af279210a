"""What OTEL_EXPORTER_OTLP_* and proxies hold is neither printed nor kept, however odd it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import otel_untether
from tests.support import faults

ROOT = Path(otel_untether.__file__).parents[1]
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({HEADERS: "authorization=Bearer SECR\xe9T"}, f"{HEADERS}: the value of header 'auth"),
        ({HEADERS: "authorization=a%0d%0aSECRET"}, f"{HEADERS}: header 'authorization'"),
        ({HEADERS: "Authorization: Bearer SECRET"}, f"{HEADERS}: its header 1"),
        ({HEADERS: "authorization=SECRET,a-bin=SECRET", **GRPC}, f"{HEADERS}: header 'a-bin'"),
        ({ENDPOINT: "http://user:SECRET@[::1:4318"}, "not everything reached"),
        ({ENDPOINT: "http://127.0.0.1:9/a b?key=SECRET\x7f"}, "not everything reached"),
        ({ENDPOINT: "http://user:SECRET@127.0.0.1:9", **GRPC}, "not everything reached"),
        ({"HTTP_PROXY": "http:/u:SECRET@127.0.0.1:9"}, "not everything reached"),
    ],
)
def test_no_credential_is_printed_or_kept(
    tmp_path: Path, environ: dict[str, str], named: str
) -> None:
    """By a run, by `resend`, by `doctor`, whose libraries quote what they cannot use."""
    with faults.refusing() as nobody:
        given = {ENDPOINT: nobody.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "1", **environ}
        told = command(tmp_path, given, "run", "--exit-timeout", "60", "--", "true")
        for words in (["resend"], ["doctor"]):
            told += command(tmp_path, given, *words)
    assert named in told
    kept = "".join(p.read_text("utf-8", "replace") for p in tmp_path.rglob("*") if p.is_file())
    assert "SECR" not in told + kept


def command(state: Path, environ: dict[str, str], *words: str) -> str:
    """Return what a command prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "otel_untether", *words],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(state),
            "OTEL_UNTETHER_STATE_DIR": str(state / "state"),
            **environ,
        },
        cwd=state,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr
