"""JSON as the lines of a run's folder have it."""

from __future__ import annotations

from typing import Final

import msgspec

# Evidence may hold anything: what JSON has no word for becomes text.
ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
