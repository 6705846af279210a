"""Attachments never leave, whoever asks for content."""

from __future__ import annotations

import base64
import json

import pytest

from otel_untether.session.attachments import without_attachments
from otel_untether.session.content import Capture

IMAGE = base64.b64encode(bytes(range(256)) * 400).decode()
SOURCE = {"type": "base64", "media_type": "image/png", "data": IMAGE}
FORMS: dict[str, object] = {
    "claude": [{"type": "text", "text": "seen"}, {"type": "image", "source": SOURCE}],
    "document": [{"type": "document", "source": SOURCE}],
    "pi": {"content": [{"type": "image", "data": IMAGE, "mimeType": "image/png"}]},
    "codex": [{"type": "input_image", "image_url": f"data:image/png;base64,{IMAGE}"}],
    "gemini": [{"inlineData": {"mimeType": "image/png", "data": IMAGE}}],
    "mcp": {"contents": [{"uri": "x://y", "blob": IMAGE}]},
    "in a string": json.dumps({"images": [{"data": IMAGE}]}),
    "url-safe": {"data": IMAGE.replace("+", "-").replace("/", "_")},
}


@pytest.mark.parametrize("form", FORMS)
def test_whatever_form_an_attachment_has_it_is_named_and_not_shown(form: str) -> None:
    captured = Capture(enabled=True).text(json.dumps(FORMS[form]).encode())
    assert captured is not None
    text, cut = captured
    assert "[attachment]" in text
    assert IMAGE[8:40] not in text
    assert not cut  # what was around it is all there


@pytest.mark.parametrize(
    "text",
    [
        '{"data":"short"}',
        '{"data":"a sentence about what the tool has said, as long as it may ever become"}',
        '{"data":[1,2]}',
        '{"note":"data:image/png is a kind of address"}',
        '{"css":"url(data:image/png;base64,iVBORw0KGgo=)"}',
        "no JSON at all",
    ],
)
def test_what_is_no_attachment_stays(text: str) -> None:
    assert without_attachments(text.encode()) == text.encode()


def test_what_surrounds_one_is_still_json() -> None:
    for form in FORMS.values():
        json.loads(without_attachments(json.dumps(form).encode()))
