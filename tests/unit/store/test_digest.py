"""Digests without `hashlib` are those of `hashlib`: files are found again by them."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from otel_untether.store.digest import digest_of


@given(st.binary(max_size=300))
def test_a_digest_is_what_hashlib_says(content: bytes) -> None:
    assert digest_of(content) == hashlib.sha256(content).hexdigest()
