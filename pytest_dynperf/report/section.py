"""A section of the page that an extension brings: plain text, escaped by the template that shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Shown at the end of the page: a heading, paragraphs, and a table where there are ``rows``; ``columns`` are its head, and every row
    has as many texts. All of it is text: markup is shown as it is written, never interpreted.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def flaw(section: Section) -> str | None:
    """Why ``section`` cannot be shown, or ``None``."""
    texts = [section.title, *section.paragraphs, *section.columns, *(text for row in section.rows for text in row)]
    if any(not isinstance(text, str) for text in texts):
        return f"the section {section.title!r} holds something that is no text"
    if not section.title.strip():
        return "a section has no title"
    uneven = next((row for row in section.rows if len(row) != len(section.columns)), None)
    if uneven is not None:
        return f"the section {section.title!r} has {len(section.columns)} columns, and a row of {len(uneven)} texts: {uneven!r}"
    return None
