"""Lines in colour, where somebody looks at them: never in a pipe, never where NO_COLOR asks for none."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dynperf.report.terminal import Line

_CODES = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}
_NOBODY_LOOKS = 100


def coloured() -> bool:
    """Whether standard output is a terminal that shows colours (https://no-color.org, ``TERM=dumb``)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """The width of the terminal; of a pipe 100, unless COLUMNS says otherwise."""
    return shutil.get_terminal_size((_NOBODY_LOOKS, 24)).columns


def write_lines(lines: Iterable[Line]) -> None:
    """Each on a line of standard output."""
    codes = _CODES if coloured() else {}
    sys.stdout.write(
        "".join(f"\x1b[{code}m{line.text}\x1b[0m\n" if (code := codes.get(line.style)) else f"{line.text}\n" for line in lines)
    )
