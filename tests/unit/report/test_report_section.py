"""Sections of extensions on the page: shown as text, whatever they hold."""

from __future__ import annotations

from dataclasses import replace

from pytest_dynperf.report.html_page import render
from pytest_dynperf.report.section import Section, flaw
from tests.fakes.session_reports import a_report, a_result


def test_a_section_is_on_the_page_and_markup_is_text() -> None:
    section = Section(title="<b>Owners</b>", paragraphs=("a & b",), columns=("case", "owner"), rows=(("x", "<script>alert(1)</script>"),))
    page = render(replace(a_report(a_result()), sections=(section,)))
    assert "&lt;b&gt;Owners&lt;/b&gt;" in page
    assert "a &amp; b" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert(1)" not in page
    assert "Owners" not in render(a_report(a_result()))


def test_what_cannot_be_shown_says_why() -> None:
    assert flaw(Section(title="a", columns=("b",), rows=(("c",),))) is None
    assert "no title" in (flaw(Section(title=" ")) or "")
    assert "1 columns, and a row of 2" in (flaw(Section(title="a", columns=("b",), rows=(("c", "d"),))) or "")
