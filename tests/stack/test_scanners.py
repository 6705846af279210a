"""Gitleaks and detect-secrets judge what our redaction left of the planted secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from otel_untether.session.content import Capture
from tests.support.planted import planted

_CAPTURE = Capture(enabled=True, limit=65_536)
_SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two folders of the same names: as planted, and as captured."""
    before, after = tmp_path_factory.mktemp("planted"), tmp_path_factory.mktemp("captured")
    for seed in _SEEDS:
        for number, secret in enumerate(planted(seed)):
            raw = json.dumps({"command": secret.text} if secret.command else secret.text)
            captured = _CAPTURE.text(raw.encode())
            assert captured is not None
            left = json.loads(captured[0])
            name = f"{seed}-{number:03}.txt"
            (before / name).write_text(f"{secret.text}\n")
            (after / name).write_text(f"{left['command'] if secret.command else left}\n")
    return before, after


def gitleaks(binary: str, folder: Path) -> set[tuple[str, str]]:
    """Return file and secret of each finding."""
    report = folder.parent / f"{folder.name}.json"
    command = [binary, "detect", "--no-git", "--exit-code=0", "--report-format=json"]
    subprocess.run(
        [*command, f"--report-path={report}", f"--source={folder}"], check=True, capture_output=True
    )
    return {(Path(f["File"]).name, f["Secret"]) for f in json.loads(report.read_text())}


def detect_secrets(folder: Path) -> set[tuple[str, str]]:
    """Return file and digest of each finding."""
    command = [str(Path(sys.executable).with_name("detect-secrets")), "scan", "--all-files", "."]
    found = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    results = json.loads(found.stdout)["results"]
    return {(name, hit["hashed_secret"]) for name, hits in results.items() for hit in hits}


def test_gitleaks_finds_nothing_more(binaries: dict[str, str], texts: tuple[Path, Path]) -> None:
    before, after = (gitleaks(binaries["GITLEAKS_BIN"], folder) for folder in texts)
    assert len(before) > 400
    assert not before & after
    assert not after


def test_detect_secrets_finds_nothing_of_what_it_found(texts: tuple[Path, Path]) -> None:
    before, after = map(detect_secrets, texts)
    assert len(before) > 500
    assert not {hit for hit in before & after if hit[1] not in _common(before)}


def _common(found: set[tuple[str, str]]) -> set[str]:
    """Return what was found under several seeds, whose secrets differ: a type, as in `x: str`."""
    seeds: defaultdict[str, set[str]] = defaultdict(set)
    for name, digest in found:
        seeds[digest].add(name.partition("-")[0])
    return {digest for digest, under in seeds.items() if len(under) > 1}
