"""Write, or with `--check` compare, `collector-config/grafana/dashboards/*.json`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from . import fleet, session, stalls

TARGET = Path(__file__).parents[2] / "collector-config/grafana/dashboards"


def render() -> dict[str, str]:
    """Return the text of every dashboard by file name."""
    builders = {"fleet": fleet, "session": session, "stalls": stalls}
    return {
        f"{name}.json": JSONEncoder(sort_keys=True, indent=2).encode(module.board().build()) + "\n"
        for name, module in builders.items()
    }


def main() -> int:
    """Write the files; with `--check`, return 1 and name those that differ instead."""
    parser = argparse.ArgumentParser(prog="python -m scripts.dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    stale = []
    for name, text in render().items():
        file = TARGET / name
        if not file.exists() or file.read_text() != text:
            stale.append(name)
            if not check:
                file.write_text(text)
    for name in stale:
        print(f"{name}: {'differs from its source' if check else 'written'}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
