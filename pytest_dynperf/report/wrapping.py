"""Text that fits a terminal and cannot steer it."""

from __future__ import annotations

import textwrap


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Broken at spaces; a word is only broken where it alone is wider than the line. Numbers stay with their units."""
    joined = printable(" ".join(text.split())).replace(" %", "\u00a0%").replace(" ms", "\u00a0ms").replace(" tok/s", "\u00a0tok/s")
    lines = textwrap.wrap(joined, width, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def printable(text: str) -> str:
    """``text`` with what a terminal would act on written out (``\\x1b``), and what GitHub's runner would obey taken apart: it takes every
    line of a log that begins with ``::``, or has ``##[`` in it, for a command.
    """
    shown = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text).replace("##[", "## [")
    return shown.replace("::", ": :", 1) if shown.lstrip().startswith("::") else shown
