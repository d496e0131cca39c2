"""The outcomes, and what a judgement says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.baseline.waiver import Waiver
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


class Scale(Enum):
    """What ``delta``, ``interval``, ``limit`` and ``mde`` of a cell are. The value of a member is its text in files."""

    LOG = "log"
    """Natural logarithms of ratios."""
    LOG_ODDS = "log odds"
    """Of a rate: differences of log((x + .5) / (n - x + .5))."""
    POINTS = "points"
    """Of a rate near 0 or 1, and of counts: plain differences, .01 being a point of a rate."""


class Means(Enum):
    """What decided a suspect. The value of a member is its text in files and reports."""

    DUET = "duet"
    FRESH_SESSION = "fresh session"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellVerdict:
    """Judgement of one cell.

    ``baseline``, ``candidate``, ``values`` (the candidate, per run) and ``history`` (medians of the baseline sessions, oldest first) are in
    the metric's unit, ``None`` or empty where there are none. ``delta``, ``interval`` (two-sided 90 %), ``limit`` and ``mde`` are on
    ``scale``, signed so that + is worse; ``None`` where nothing was compared. ``limit`` is what ``delta`` had to exceed in the
    step that decided (negative for an improvement: what it had to fall below). ``sessions`` is K. ``p_value`` is P(t_nu > delta / se).
    After a confirmation all of them are those of the fresh session. After a duet ``baseline`` is the median of the control's runs,
    ``values`` are the candidate's and ``control_values`` the control's, pair by pair, and ``pairs`` says how many were looked at.
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
    scale: Scale = Scale.LOG
    pairs: int = 0
    control_values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Judgement of one case: the worst outcome of its decisive cells. ``reasons`` are sentences for people, the decisive one first.

    ``means`` is what decided its suspects, ``None`` where there were none or nothing has decided them. ``waiver`` is the one that covers
    every decisive regression of the case and has not expired; ``expired`` are those of the case that have. ``circumstances`` are those of
    the reasons that no judge can find in the measurements: what was not measured, and why. ``compared_with`` names the baseline documents
    (``stamp-session id``, oldest first) that the first session was held against, or, where none was comparable, all that there were of the
    case; ``None`` where that was not recorded. ``parity`` is the outcome of the arm against its reference arm, and part of ``outcome``.
    """

    outcome: Outcome
    cells: tuple[CellVerdict, ...]
    reasons: tuple[str, ...]
    means: Means | None = None
    waiver: Waiver | None = None
    expired: tuple[Waiver, ...] = ()
    circumstances: tuple[str, ...] = ()
    compared_with: tuple[str, ...] | None = None
    parity: Outcome | None = None

    def under(self, *circumstances: str | None) -> Verdict:
        """With circumstances of the measurement, which are reasons too; ``None`` is none."""
        told = tuple(text for text in circumstances if text)
        return replace(self, reasons=(*self.reasons, *told), circumstances=(*self.circumstances, *told))

    @property
    def confirmed(self) -> bool:
        """Whether something was measured to decide the suspects."""
        return self.means is not None
