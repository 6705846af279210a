"""Runs a session, then another that is forked from it.

    python forking.py FIRST… -- SECOND…

Where SECOND says {session}, the first's name for itself is put, as it printed it; what it wrote
below its home is an hour old by then. What the second prints is passed on; its status is ours.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

_NAMED = re.compile(
    r'"(?:session_id|sessionID|thread_id)":\s*"([^"]+)"|"type":"session","version":3,"id":"([^"]+)"'
)


def main() -> int:
    split = sys.argv.index("--")
    first, second = sys.argv[1:split], sys.argv[split + 1 :]
    said = subprocess.run(
        first, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    named = _NAMED.search(said.stdout)
    assert named is not None, said.stdout[:500]
    session = named[1] or named[2]
    an_hour_ago = time.time() - 3600
    for path in Path.home().rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (an_hour_ago, an_hour_ago))
    words = [word.replace("{session}", session) for word in second]
    return subprocess.call(words, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
