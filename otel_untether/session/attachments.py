"""Attachments in what tools were given and gave back: images, documents, recorded sound.

They are nobody's text and never leave, whatever is asked for; a tiny icon in a style sheet is
text. CLIs carry them as base64, in a member of a usual name or as a ``data:`` address, also in
JSON that stands in a string::

    [{"type":"image","source":{"type":"base64","data":"iVBORw0KG…"}}]   Claude Code, Pi
    [{"type":"input_image","image_url":"data:image/png;base64,iVBO…"}]  Codex
"""

from __future__ import annotations

from typing import Final

from otel_untether.session.patterns import lazily

_ADDRESS: Final = lazily(rb"data:[\w.+-]{1,64}/[\w.+-]{1,64};base64,[A-Za-z0-9+/_=-]{256,}")
_MEMBER: Final = lazily(
    rb'("(?:base64|blob|bytes|data)\\{0,7}"\s{0,8}:\s{0,8}\\{0,7}")[A-Za-z0-9+/_-]{64,}={0,2}'
    rb'(?=\\{0,7}")'
)
_INSTEAD: Final = b"[attachment]"

__all__ = ["without_attachments"]


def without_attachments(raw: bytes) -> bytes:
    r"""Return a document in which attachments are named and not shown.

    >>> without_attachments(b'{"url":"data:image/png;base64,%s"}' % (b"iVBORw0K" * 40))
    b'{"url":"[attachment]"}'

    :param raw: JSON as the agent wrote it, or text.
    """
    return _MEMBER.sub(rb"\1" + _INSTEAD, _ADDRESS.sub(_INSTEAD, raw))
