"""The outcomes, and what a judgement says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import Cell


class Outcome(IntEnum):
    """In order of severity: the worst wins when outcomes are combined."""

    UNCHANGED = 0
    IMPROVED = 1
    INCONCLUSIVE = 2
    INCOMPARABLE = 3
    NO_BASELINE = 4
    INVALID = 5
    REGRESSED = 6

    @property
    def text(self) -> str:
        """``no baseline``: as it is shown and stored."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellVerdict:
    """Judgement of one cell.

    ``baseline``, ``candidate``, ``values`` (the candidate, per run) and ``history`` (medians of the baseline sessions, oldest first) are in
    the metric's unit, ``None`` or empty where there are none. ``delta``, ``interval`` (two-sided 90 %), ``limit`` and ``mde`` are natural
    logarithms of ratios, signed so that + is worse; ``None`` where nothing was compared. ``limit`` is what ``delta`` had to exceed in the
    step that decided (negative for an improvement: what it had to fall below). ``sessions`` is K. ``p_value`` is P(t_nu > delta / se).
    After a confirmation all of them are those of the fresh session.
    """

    cell: Cell
    outcome: Outcome
    decisive: bool
    tolerance: float
    candidate: float | None
    values: tuple[float, ...] = ()
    baseline: float | None = None
    delta: float | None = None
    interval: tuple[float, float] | None = None
    limit: float | None = None
    mde: float | None = None
    p_value: float | None = None
    run_cv: float | None = None
    """Coefficient of variation (ddof 1) of the candidate's runs, as a fraction."""
    sessions: int = 0
    underpowered: bool = False
    suspect: bool = False
    history: tuple[float, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Judgement of one case: the worst outcome of its decisive cells. ``reasons`` are sentences for people, the decisive one first."""

    outcome: Outcome
    cells: tuple[CellVerdict, ...]
    reasons: tuple[str, ...]
    confirmed: bool = False
    """Whether a fresh session was measured to confirm a suspect."""
