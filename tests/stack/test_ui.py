"""A stalled session as a browser shows it, where Jaeger's web interface and a browser are."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from scripts.stack.backends import Stack, eventually

if TYPE_CHECKING:
    from tests.stack.agents import Runner

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.mark.skipif(
    not (BROWSER and os.environ.get("JAEGER_UI_ASSETS")),
    reason="needs Chromium, and JAEGER_UI_ASSETS: the `build` folder of jaeger-ui 2.19",
)
def test_the_trace_of_a_stalled_session_in_a_browser(stack: Stack, runner: Runner) -> None:
    session = runner.start("--stall", "wedged")
    spans = eventually(
        "the stall is in Jaeger",
        lambda: [s for s in stack.spans_of(session.service) if s["name"] == "untether.stall"],
    )
    session.process.send_signal(signal.SIGTERM)
    session.finish()
    eventually(
        "the root span is in Jaeger",
        lambda: any(not s.get("parentSpanId") for s in stack.spans_of(session.service)),
    )
    page = f"http://127.0.0.1:{stack.ports['jaeger_http']}/trace/{spans[0]['traceId']}"
    assert BROWSER is not None
    flags = ("--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom")
    shown = subprocess.run(
        [BROWSER, *flags, page],
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    ).stdout
    text = re.sub(r"<[^>]*>", "", shown)
    for name in ("invoke_agent claude", "untether.session.started", "untether.stall"):
        assert f"{session.service} {name}" in text
