"""What is still to be measured before a case can be called decided. Ask/tell: asked by the session, which does the measuring."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.verdict.verdict import Verdict

LOOKS = (5, 10, 15, 20)
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
    """Pairs up to the next look where a control can run, else a fresh session, while a decisive cell is suspect and undecided.

    Gates that are not decisive trigger nothing.
    """
    possible = possible or Possible()
    if not any(cell.suspect and cell.decisive for cell in verdict.cells):
        return Ask(step=Step.ENOUGH)
    if possible.pairs:
        raise NotImplementedError
    return Ask(step=Step.FRESH_SESSION if possible.fresh_session and not verdict.confirmed else Step.ENOUGH)
