"""What is still to be measured before a case can be called decided. Ask/tell: asked by the session, which does the measuring."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pytest_dynperf.verdict.verdict import Means, Outcome

if TYPE_CHECKING:
    from pytest_dynperf.verdict.verdict import CellVerdict, Verdict

LOOKS = (5, 7, 10, 15, 20, 30)
"""After so many pairs a duet is looked at; fixed beforehand, because looking whenever one likes makes noise significant."""


class Step(Enum):
    """The next measurement."""

    PAIRS = "pairs"
    FRESH_SESSION = "fresh session"
    ENOUGH = "enough"


@dataclass(frozen=True, slots=True, kw_only=True)
class Possible:
    """What can still be measured. ``pairs``: how many pairs the duet may come to in all, 0 without a control."""

    pairs: int = 0
    fresh_session: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """``pairs``: how many there should be when the duet is looked at next."""

    step: Step
    pairs: int = 0


def next_step(verdict: Verdict, possible: Possible | None = None, *, measured_pairs: int = 0) -> Ask:
    """What to measure while a decisive cell is suspect and undecided. Gates that are not decisive trigger nothing.

    Pairs up to the next look where a control can run. Where the duet cannot come to the next look: enough, because looks are fixed and
    nothing may be decided between them. A fresh session where not even the first look can be reached, no pair has been measured
    (``measured_pairs``: those in the duet so far) and nothing else has been measured to decide.
    """
    possible = possible or Possible()
    if verdict.means is Means.FRESH_SESSION or not any(_undecided(cell) for cell in verdict.cells):
        return Ask(step=Step.ENOUGH)
    look = next((count for count in LOOKS if count > measured_pairs), None)
    if look is not None and look <= possible.pairs:
        return Ask(step=Step.PAIRS, pairs=look)
    fresh = possible.fresh_session and not measured_pairs and not verdict.confirmed
    return Ask(step=Step.FRESH_SESSION if fresh else Step.ENOUGH)


def _undecided(cell: CellVerdict) -> bool:
    return cell.suspect and cell.decisive and cell.outcome is Outcome.INCONCLUSIVE
