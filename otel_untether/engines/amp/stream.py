"""Amp: ``amp -x --stream-json`` speaks in Claude Code's lines, and means the same by them.

It names no model and no cost, and says nothing of requests that are repeated or of leave that
is asked for.
"""

from __future__ import annotations

from otel_untether.engines.claude.stream import _decoder, decode

__all__ = ["_decoder", "decode"]
