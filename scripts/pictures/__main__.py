"""`python -m scripts.pictures`: make all of them anew, in docs/images."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.browser import find
from scripts.chromium import Page
from scripts.pictures import costs, jaeger, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
_COLUMNS: Final = 104
_OTEL_UNTETHER: Final = Path(sys.executable).with_name("otel-untether")
_SHOWN: Final = 42  # lines of a report
# What shortens the thresholds to what a picture can wait for.
_HASTE: Final = {"OTEL_UNTETHER_SAMPLE_INTERVAL": "0.5"}
_SILENT: Final = 14.0
_OURS: Final = ("OTEL_", "XDG_")


def main() -> None:
    """Make them, and say so."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
        environ = kept | {
            "HOME": folder,
            "COLUMNS": str(_COLUMNS),
            "TERM": "xterm-256color",
        }
        _demo(environ)
        _stalled(environ, Path(folder))
    write("costs.svg", costs.chart())
    jaeger.pages(IMAGES)


def write(name: str, content: str) -> None:
    """Write a picture of text."""
    (IMAGES / name).write_text(content, encoding="utf-8")
    print(f"{IMAGES / name}: {len(content) // 1000} kB")


def _demo(environ: dict[str, str]) -> None:
    """The demo of an agent that freezes and is ended for it, as it comes."""
    words = ["demo", "--stall", "wedged", "--kill", "--width", str(_COLUMNS)]
    typed = terminal.Line(f"\x1b[32m$\x1b[0m otel-untether {' '.join(words[:4])}")
    lines = [typed, *recorded(words, environ)][:_SHOWN]
    write("demo.svg", terminal.picture("otel-untether demo", folded(lines), moving=True))


def recorded(words: list[str], environ: dict[str, str]) -> Iterator[terminal.Line]:
    """Yield the lines of a command of ours, its home being a user's."""
    for line in terminal.record([str(_OTEL_UNTETHER), *words], environ):
        yield line._replace(text=line.text.replace(environ["HOME"], "~"))


def folded(lines: list[terminal.Line]) -> list[terminal.Line]:
    """Break lines without colours that are wider than the terminal, as it would."""
    found = []
    for line in lines:
        width = _COLUMNS if "\x1b" not in line.text else max(len(line.text), 1)
        starts = range(0, max(len(line.text), 1), width)
        found += [terminal.Line(line.text[at : at + width], line.at) for at in starts]
    return found


def _stalled(environ: dict[str, str], folder: Path) -> None:
    """The report of a session that is stalled: in a terminal, and its page."""
    agent = [sys.executable, "-m", "otel_untether.demo", "--stall", "model"]
    options = ["--engine", "claude", "--stall-timeout", "5"]
    with subprocess.Popen(
        [str(_OTEL_UNTETHER), "run", *options, "--", *agent],
        env=environ | _HASTE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        try:
            _wait_until_told(folder)
            time.sleep(_SILENT)
            typed = terminal.Line("\x1b[32m$\x1b[0m otel-untether report")
            words = ["report", "--color", "always", "--width", str(_COLUMNS)]
            shown = [typed, *recorded(words, environ)][:_SHOWN]
            write("report.svg", terminal.picture("otel-untether report", shown))
            page = folder / "report.html"
            subprocess.run([str(_OTEL_UNTETHER), "report", "--html", page], env=environ, check=True)
            _screenshots(page, folder)
        finally:
            run.send_signal(signal.SIGTERM)


def _wait_until_told(folder: Path) -> None:
    while not any("stall-" in path.name for path in folder.rglob("runs/*/*")):
        time.sleep(0.2)


def _screenshots(page: Path, folder: Path) -> None:
    with Page(find(), folder / "profile") as browser:
        for dark, name in ((False, "page-light.png"), (True, "page-dark.png")):
            browser.open(page, dark=dark, height=1000)
            browser.screenshot(IMAGES / name, whole=False)
            print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
