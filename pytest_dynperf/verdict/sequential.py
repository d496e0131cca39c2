"""What is still to be measured before a case can be called decided. Asked by the session, which does the measuring."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.verdict.verdict import Verdict


class Step(Enum):
    """The next measurement."""

    FRESH_SESSION = "fresh session"
    ENOUGH = "enough"


def next_step(verdict: Verdict) -> Step:
    """A fresh session where a decisive cell is suspect and none has been measured yet. Gates that are not decisive trigger nothing."""
    suspects = any(cell.suspect and cell.decisive for cell in verdict.cells)
    return Step.FRESH_SESSION if suspects and not verdict.confirmed else Step.ENOUGH
