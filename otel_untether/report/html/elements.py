"""The elements of a page: text that came from outside, and the tree that it is put into.

The tree is ElementTree's, which escapes whatever is text or an attribute: nothing here, and
nothing that uses it, writes markup.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

from otel_untether.report.terminal.text import LONGEST, cut, safe
from otel_untether.session.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable


def add(parent: Element, tag: str, text: str = "", **attributes: object) -> Element:
    """Add an element and return it.

    :param parent: what it goes into.
    :param tag: its name.
    :param text: what it says; `shown` it first if it came from outside.
    :param attributes: `class_` is class, and `aria_label` aria-label; None leaves one out.
    """
    given = {
        name.rstrip("_").replace("_", "-"): str(value)
        for name, value in attributes.items()
        if value is not None
    }
    element = SubElement(parent, tag, given)
    element.text = text
    return element


def section(parent: Element, title: str) -> Element:
    """Add a section with its heading."""
    element = add(parent, "section")
    add(element, "h2", title)
    return element


def table(
    parent: Element, caption: str, columns: Iterable[str], rows: Iterable[Iterable[str | None]]
) -> Element:
    """Add a table in a box that scrolls; its first column heads the rows, None is unknown."""
    box = add(parent, "div", class_="scroll", tabindex=0, role="region", aria_label=caption)
    element = add(box, "table")
    add(element, "caption", caption)
    head = add(add(element, "thead"), "tr")
    for column in columns:
        add(head, "th", column, scope="col")
    body = add(element, "tbody")
    for cells in rows:
        row = add(body, "tr")
        for number, cell in enumerate(cells):
            text = "unknown" if cell is None else cell
            if number:
                add(row, "td", text, class_="unknown" if cell is None else None)
            else:
                add(row, "th", text, scope="row")
    return element


@functools.lru_cache(maxsize=4096)
def shown(text: str, longest: int = LONGEST) -> str:
    """Return text from outside as others may see it: no secrets, nothing that steers, cut."""
    return safe(cut(redact(text[: 4 * longest]), longest))
