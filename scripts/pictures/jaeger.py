"""Jaeger's pages of a fleet with a stalled session: the search for it, its trace, Monitor.

Jaeger's module comes without its web interface, so this wants a build of it in the folder that
JAEGER_UI_ASSETS names: 2.14 is one that works whole on the Jaeger 2.13 that is built here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.browser import find
from scripts.chromium import Page
from scripts.pictures import bridge
from scripts.stack.backends import CONFIG, Stack, eventually
from scripts.stack.obtain import obtain
from scripts.stack.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEALTHY: Final = 6
_WARNINGS: Final = 3
_SETTLED: Final = 1.0  # seconds that a page moves for
_RUN: Final = (str(Path(sys.executable).with_name("otel-untether")), "run", "--engine", "claude")
_AGENT: Final = ("--", sys.executable, "-m", "otel_untether.demo")
_HASTE: Final = {
    "OTEL_UNTETHER_SAMPLE_INTERVAL": "0.5",
    "OTEL_UNTETHER_STALL_TIMEOUT": "5",
    "OTEL_UNTETHER_STALL_REPEAT_SECONDS": "6",
}
_OPEN_THE_STALL: Final = """(() => {
  const names = [...document.querySelectorAll('.endpoint-name')];
  names.find(name => name.textContent.includes('untether.stall'))?.closest('a')?.click();
})()"""
_OPEN_ITS_EVIDENCE: Final = """(() => {
  document.querySelector('.detail-info-wrapper .AccordianKeyValues--header')?.click();
})()"""

# This interface reads no parameters of Monitor's URL; what somebody chose there last, it keeps.
_INTERNAL_SPANS: Final = """
  localStorage.setItem('lastAtmSearchSpanKind', '"internal"');
  localStorage.setItem('lastAtmSearchService', '"otel-untether"');
"""


def pages(images: Path) -> None:
    """Write `jaeger-search.png`, `stalled-session.png` and `jaeger-monitor.png`.

    And `untether-session.png`, where there is an Untether.
    """
    if "JAEGER_UI_ASSETS" not in os.environ:
        print("no pages of Jaeger: JAEGER_UI_ASSETS names no build of its web interface")
        return
    binaries = {key: path for recipe in RECIPES for key, path in obtain(recipe).items()}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = stack.enter_context(Stack(binaries, folder))
        trace_id = stack.enter_context(_sessions(running, folder))
        browser = stack.enter_context(Page(find(), folder / "profile"))
        base = f"http://127.0.0.1:{running.ports['jaeger_http']}"
        search, monitor = (f"{base}{url}" for url in _menu("/search", "/monitor"))
        _show(browser, search, "untether.stall", images / "jaeger-search.png")
        trace = images / "stalled-session.png"
        steps = (_OPEN_THE_STALL, _OPEN_ITS_EVIDENCE)
        _show(browser, f"{base}/trace/{trace_id}", "untether.stall", trace, *steps)
        browser.run(_INTERNAL_SPANS)
        _show(browser, monitor, "execute_tool", images / "jaeger-monitor.png")
        if bridge.WANTED in os.environ:
            url = f"{base}/trace/{bridge.session(running, folder)}"
            _show(browser, url, "untether.stall", images / "untether-session.png", *steps)


def _menu(*beginnings: str) -> Iterator[str]:
    """Yield the URLs of our entries in Jaeger's menu."""
    menu = json.loads((CONFIG / "jaeger/ui.json").read_text())["menu"]
    for beginning in beginnings:
        yield next(entry["url"] for entry in menu if entry["url"].startswith(beginning))


@contextmanager
def _sessions(stack: Stack, folder: Path) -> Iterator[str]:
    """Run some to their end and one into a stall; yield the id of its trace, while it is silent."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environ = kept | {
        **_HASTE,
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.endpoint(),
        "OTEL_UNTETHER_STATE_DIR": str(folder / "state"),
    }
    quiet = subprocess.DEVNULL
    for _ in range(_HEALTHY):
        subprocess.run([*_RUN, *_AGENT], env=environ, check=True, stdout=quiet, stderr=quiet)
    command = [*_RUN, *_AGENT, "--stall", "model"]
    with subprocess.Popen(command, env=environ, stdout=quiet, stderr=quiet) as stalled:
        try:
            yield eventually("three warnings are in Jaeger", lambda: _warned_of(stack))
        finally:
            stalled.send_signal(signal.SIGTERM)


def _warned_of(stack: Stack) -> str:
    """Return the id of the trace that has three stalls, "" while there is none."""
    spans = stack.spans_of("otel-untether")
    stalls = [span["traceId"] for span in spans if span["name"] == "untether.stall"]
    return stalls[0] if len(stalls) >= _WARNINGS else ""


def _show(browser: Page, url: str, text: str, picture: Path, *steps: str) -> None:
    """Open a page, wait for a text in it, take the steps, and take its picture."""
    browser.open(url, width=1500, height=900)
    eventually(f"{text} is shown", lambda: text in browser.run("document.body.innerText"))
    for step in steps:
        browser.run(step)
        time.sleep(_SETTLED)
    time.sleep(_SETTLED)
    browser.screenshot(picture, whole=False)
    print(f"{picture}: {picture.stat().st_size // 1000} kB")
