"""What a case promises: which cells are judged, how much change its gate is built to find, and what its arms must agree in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.objectives import NOTHING_STATED, Objectives

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import Cell


MIN_ACTIVE_SHARE = 0.1
"""A cache in which a tenth is found of what could be, and one that is broken for all but a few requests, lie on either side of it; blocks
and chunks that are not full, and what another cache has served before, leave less than the whole.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """``tolerance`` is a fraction (0.03): of the baseline's value, and for a rate of the whole (0.03 is three points). A gate that is not
    ``decisive`` is judged for the reader and never decides the case. ``required``: the case is invalid where the cell has too few values
    to be judged (p95 needs 100 a run, p99 1,000); else such a cell is only shown. ``exact``: a count of a deterministic workload, which
    must be the same in every run.
    """

    cell: Cell
    tolerance: float
    decisive: bool = True
    required: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Answers that every arm must have in common with the arm ``reference``; ``None``: arms are not held against each other.

    ``noise`` is an arm that is the reference once more: what those two differ in is no effect of anything. ``limit`` (of all items) and
    ``subject_limit`` (of a subject) are the largest loss, as shares: .01 is a point. ``fixed``: a difference beyond them, in either
    direction, is a regression, and one within them a pass, whatever chance may do. ``max_unreadable`` is the share of either arm's answers
    that may hold nothing to grade. ``texts``: the same prompt must give the same text.
    """

    reference: str | None = None
    noise: str | None = None
    limit: float = 0.01
    subject_limit: float = 0.05
    fixed: bool = False
    max_unreadable: float = 0.01
    texts: bool = False

    def judges(self, arm: str | None) -> bool:
        """Whether ``arm`` is held against the reference."""
        return self.reference is not None and arm is not None and arm not in {self.reference, self.noise}


NO_PARITY = Parity()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Gates in the order of the scenario, what a good request must meet (``objectives``: goodput counts by them), the bounds inside which a
    run may be judged at all (see ``measurement.validity``; ``min_active_share``: ``measurement.activation``), and what arms must agree in.
    """

    gates: tuple[Gate, ...]
    max_error_share: float = 0.0
    min_in_flight_share: float = 0.95
    max_send_lag_s: float = 1e-3
    max_receive_lag_s: float = 1e-3
    max_uncertain_share: float = 0.01
    max_late_share: float = 0.01
    min_rate_share: float = 0.95
    min_active_share: float = MIN_ACTIVE_SHARE
    objectives: Objectives = NOTHING_STATED
    parity: Parity = NO_PARITY
