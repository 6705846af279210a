"""The page about silence says what the code does."""

from __future__ import annotations

import re

from otel_untether.diagnosis.advice import ADVICE, EXCUSED, runbook
from otel_untether.diagnosis.causes import CAUSES
from otel_untether.diagnosis.excuses import EXPLANATIONS
from otel_untether.diagnosis.objections import VETOES
from scripts import stall_docs


def test_the_tables_are_up_to_date() -> None:
    """Otherwise: python -m scripts.stall_docs."""
    for path in (stall_docs.PAGE, stall_docs.RUNBOOKS):
        page = path.read_text()
        assert stall_docs.document(page) == page


def test_every_link_to_a_runbook_leads_to_a_section() -> None:
    """As the links of alerts do: the address of the page, and a section of it."""
    sections = re.findall(r"^###? (\w+)$", stall_docs.RUNBOOKS.read_text(), re.MULTILINE)
    published = "https://runbooks.example/otel-untether/runbooks.md"
    for cause in (*CAUSES, *EXPLANATIONS.values()):
        assert runbook(cause, published) == f"{published}#{cause}"
        assert cause in sections
    page, _, section = (runbook("wedged", None) or "").partition("#")
    assert (stall_docs.DOCS.parent / page, section) == (stall_docs.RUNBOOKS, "wedged")


def test_every_cause_has_advice_and_no_advice_is_for_nothing() -> None:
    assert set(ADVICE) == set(CAUSES)


def test_every_wait_has_advice() -> None:
    assert set(EXPLANATIONS.values()) <= set(ADVICE) | set(EXCUSED)


def test_every_veto_the_code_can_give_is_described() -> None:
    """Codes are yielded as literals; the page has each of them."""
    given: set[str] = set()
    for name in ("otel_untether/diagnosis/objections.py", "otel_untether/diagnosis/liveness.py"):
        source = (stall_docs.PAGE.parent.parent / name).read_text()
        given |= set(re.findall(r'yield "(\w+)", ', source))
        given |= set(re.findall(r'": \("(\w+)", "', source))
    assert given | {"expected_wait"} == set(VETOES)
