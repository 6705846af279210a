r"""Secrets whose name is the head of their column: CSV, query results, ``INSERT`` statements.

>>> hide_columns("name,password\nbob,hunter2\nada,12345678\n")
'name,password\nbob,[redacted]\nada,[redacted]\n'
>>> hide_columns("INSERT INTO u (name, password) VALUES ('bob', 'hunter2');")
"INSERT INTO u (name, password) VALUES ('bob', '[redacted]');"
"""

from __future__ import annotations

import re
from typing import Final

from otel_untether.session.named_secrets import REDACTED, names_secret
from otel_untether.session.patterns import lazily
from otel_untether.session.secret_values import says_nothing

_MOST: Final = (
    50  # heads, columns of a head, and rows' values of a tuple: what is wider is no table
)
_HEAD: Final = lazily(
    r"(?im)^[^\n]{0,400}(?:pass|secret|token|api_?key|private_?key|credential|\bkey\b"
    r"|contrase|senha|kennwort|zugang|parol|密|пароль|パスワード|비밀번호)[^\n]{0,400}$"
)
_RULED: Final = ("|", "│")
_PLAIN: Final = ("\t", ";", ",")
_TITLE: Final = lazily(
    r"[ ]*[\"'`*]{0,3}([^\W\d][\w.-]{0,40}(?: [\w.-]{1,20}){0,3})[\"'`*]{0,3}[ ]*"
)
_SENTENCE: Final = lazily(r"[,;][ ]")
_RULE: Final = lazily(r"[-+=:| \t│─┼├┤]*")
_FIELD: Final = lazily(r"([ \t]*[\"'`]?)(.*?)([\"'`]?[ \t\r]*)", re.DOTALL)
_INSERT: Final = lazily(r"(?i)\(([\w,.\"'`\s\[\]]{3,2000}?)\)\s{0,8}(?:VALUES|SELECT)\b\s{0,8}")
_TUPLE: Final = lazily(r"\s{0,8},?\s{0,8}\(")
_VALUE: Final = lazily(
    r"\s{0,8}(?:[NEBX]?'((?:[^']|''){0,4096}+)'|[^',()]{0,256}(?:\(\))?)\s{0,8}(,|\))"
)


def hide_columns(text: str) -> str:
    """Replace the values of columns whose head names a secret.

    A head is a line of at least two cells, each of which could be a name, with a rule below it
    where bars part them; its rows are the lines behind it that have as many cells.
    """
    if "\n" in text:
        text = _hide_rows(text)
    return _hide_inserted(text) if "(" in text else text


def _hide_rows(text: str) -> str:
    parts: list[str] = []
    done = at = 0
    for _ in range(_MOST):
        head = _HEAD.search(text, at)
        if head is None:
            break
        at = min(head.end() + 1, len(text))
        found = _secret_cells(head[0], ruled=_is_rule(_line(text, at)))
        if found is None:
            continue
        separator, count, secret = found
        rows: list[str] = []
        start = at
        while at < len(text):
            line = _line(text, at)
            if not _is_rule(line) and line.count(separator) < count - 1:
                break
            rows.append(_hide_cells(line, separator, secret))
            at += len(line)
        parts += (text[done:start], *rows)
        done = at
    return "".join((*parts, text[done:])) if parts else text


def _line(text: str, at: int) -> str:
    end = text.find("\n", at)
    return text[at:] if end < 0 else text[at : end + 1]


def _is_rule(line: str) -> bool:
    return bool(line.strip()) and _RULE.fullmatch(line.rstrip("\n")) is not None


def _secret_cells(head: str, *, ruled: bool) -> tuple[str, int, frozenset[int]] | None:
    """Return a head's separator, how many cells it has, and which of them name a secret."""
    for separator in _RULED if ruled else _PLAIN:
        cells = head.split(separator)
        if not 2 <= len(cells) <= _MOST or _SENTENCE.search(head):
            continue
        titles = [_TITLE.fullmatch(cell) for cell in cells]
        inner = titles[1:-1] if ruled and not cells[0].strip() else titles
        if not all(inner):
            continue
        named = (number for number, title in enumerate(titles) if title and _is_secret(title[1]))
        if secret := frozenset(named):
            return separator, len(cells), secret
    return None


def _is_secret(title: str) -> bool:
    return names_secret(title.strip().replace(" ", "_"))


def _hide_cells(line: str, separator: str, secret: frozenset[int]) -> str:
    if _is_rule(line):
        return line
    cells = line.removesuffix("\n").split(separator)
    for number in secret:
        field = _FIELD.fullmatch(cells[number])
        if field and field[2] and not says_nothing(field[2], environment=True):
            cells[number] = f"{field[1]}{REDACTED}{field[3]}"
    return separator.join(cells) + line[len(line.removesuffix("\n")) :]


def _hide_inserted(text: str) -> str:
    parts: list[str] = []
    done = 0
    for found in _INSERT.finditer(text):
        names = [name.strip(" \t\n\r\"'`[]") for name in found[1].split(",")]
        secret = {number for number, name in enumerate(names) if name and names_secret(name)}
        if not secret or found.end() < done:
            continue
        for start, end in _inserted(text, found.end(), secret):
            parts += (text[done:start], REDACTED)
            done = end
    return "".join((*parts, text[done:])) if parts else text


def _inserted(text: str, at: int, secret: set[int]) -> list[tuple[int, int]]:
    """Return where the quoted secrets of a statement's tuples begin and end."""
    spans: list[tuple[int, int]] = []
    while (opened := _TUPLE.match(text, at)) is not None:
        at = opened.end()
        for number in range(_MOST):
            value = _VALUE.match(text, at)
            if value is None:
                return spans
            if number in secret and value[1]:
                spans.append(value.span(1))
            at = value.end()
            if value[2] == ")":
                break
    return spans
