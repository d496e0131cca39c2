"""Reading the documentation: tables, headings, links, code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """Every page that is written for people."""
    folders = (ROOT, DOCS, ROOT / ".github", ROOT / "suites", ROOT / "baselines", ROOT / "reports")
    return sorted(
        {path for folder in folders for path in folder.glob("*.md" if folder == ROOT else "**/*.md") if path.name != "CHANGELOG.md"}
    )


def read(name: str) -> str:
    """A page of docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """``text`` without its fenced code."""
    return _FENCE.sub("", text)


def fenced(text: str) -> str:
    """The fenced code of ``text``."""
    return "\n".join(_FENCE.findall(text))


def rows(text: str) -> Iterator[list[str]]:
    """Cells of every row of every table, heads and rulers left out."""
    for table in re.findall(r"(?:^\|.*\|$\n?)+", prose(text), re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def code_in(text: str) -> list[str]:
    """What stands in single backticks."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def anchors(text: str) -> set[str]:
    """Fragments that the headings of ``text`` can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """Links of ``text``, which stands at ``page``, to files or headings that are not there. Addresses of the web are not looked at."""
    broken = []
    for link in _LINK.findall(prose(text)):
        target, _, fragment = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists():
            broken.append(link)
        elif fragment and path.suffix == ".md":
            there = text if path == page else path.read_text(encoding="utf-8")
            if fragment not in anchors(there):
                broken.append(link)
    return broken
