from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.browser import Browser, BrowserError, cache, find
from scripts.chromium import Page

AXE = "axe-core@4.14.1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the first test wait for a download."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))


def unavailable(why: str) -> None:
    """A missing tool is a failure where everything must run, and said loudly elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def browser() -> Browser:
    try:
        return find()
    except BrowserError as error:
        unavailable(str(error))
        raise


@pytest.fixture(scope="session")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(browser, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe, installed once into the cache."""
    prefix = cache() / AXE.replace("@", "-")
    source = prefix / "node_modules" / "axe-core" / "axe.min.js"
    if not source.exists():
        if shutil.which("npm") is None:
            unavailable(f"npm is missing, needed to install {AXE}: install Node.js 20 or newer")
        ran = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--prefix", prefix, AXE],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            unavailable(f"npm could not install {AXE}: {ran.stderr[-500:]}")
    return source.read_text(encoding="utf-8")
