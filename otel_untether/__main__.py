"""`python -m otel_untether` is the `otel-untether` command."""

from __future__ import annotations

import sys

from otel_untether.cli import main

if __name__ == "__main__":
    sys.exit(main())
