"""What an engine costs before its first line is decoded, each figure in a fresh process.

    python benchmarks/engines.py [--runs N]

Milliseconds of import time, the best of N, beyond an interpreter that has the package's root.
The exit status is 1 if naming one engine costs as much as importing all of their decoders.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

CASES = {
    "registry": "pass",
    "name one engine": "registry.get('claude')",
    "recognise a command line": "registry.detect_argv(['claude', '-p'])",
    "decode one engine's line": "registry.get('claude').decode(b'{}', 1)",
    "import every decoder": "[engine.decode for engine in registry.engines()]",
}
_TIMED = (
    "import time, otel_untether; begun = time.perf_counter();"
    "from otel_untether.engines import registry; {}; print(time.perf_counter() - begun)"
)


def cost(code: str, runs: int) -> float:
    """Return the milliseconds that `code` takes in the best of `runs` processes."""
    command = [sys.executable, "-c", _TIMED.format(code)]
    outputs = [subprocess.run(command, capture_output=True, check=True) for _ in range(runs)]
    return min(float(done.stdout) for done in outputs) * 1000


def main() -> int:
    """Print a row a case."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    figures = {name: cost(code, runs) for name, code in CASES.items()}
    for name, figure in figures.items():
        print(f"{name:26} {figure:6.1f} ms")
    return int(figures["name one engine"] >= figures["import every decoder"])


if __name__ == "__main__":
    sys.exit(main())
