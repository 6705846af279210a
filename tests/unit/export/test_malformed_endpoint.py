"""An endpoint that is no URL is a mistake in the settings: nothing is refused, all is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from otel_untether.export import otlp_client
from otel_untether.export.hearing import hear_answers

MALFORMED = ["http://user:secret@[::1:4318", "http://user:secret@exa\u2100mple:1"]


@pytest.mark.parametrize("url", MALFORMED)
def test_it_is_told_without_what_it_may_hold(url: str) -> None:
    with pytest.raises(otlp_client.EndpointError, match="expected a URL") as raised:
        otlp_client._split(url)
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("url", MALFORMED)
def test_an_exporter_to_it_does_without_telemetry_of_nothing_else(url: str) -> None:
    assert not hear_answers(SimpleNamespace(_endpoint=url), "traces", lambda _answer: None)
