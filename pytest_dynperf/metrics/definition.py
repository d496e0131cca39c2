"""What a metric is: a definition is stored by id with every value, and an id is never reused for a changed formula."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from pytest_dynperf.metrics.objectives import NOTHING_STATED, Objectives

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.quantity import Absent, Direction, Unit


class Cell(NamedTuple):
    """What is judged: a metric id and a statistic, within a case. Statistics: ``mean``, ``p50``, ``p90``, …, or ``value`` for the
    metrics that have one value per run.
    """

    metric: str
    statistic: str

    def __str__(self) -> str:
        name = self.metric.rsplit(".v", 1)[0]
        return name if self.statistic == "value" else f"{name} {self.statistic}"


class Kind(Enum):
    """How values of a metric are compared. The value of a member is its text in files."""

    MAGNITUDE = "magnitude"
    """Positive; as logarithms: 10 ms to 11 ms is as much as 100 to 110."""
    RATE = "rate"
    """A part of a whole, from 0 to 1, with both known per run."""
    COUNT = "count"
    """A whole number of events, zero included: exactly equal where the workload is deterministic, else only shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """All that must be known of a metric to judge and to show its values: what files keep of a :class:`MetricDefinition`.

    ``prior_sd`` is the assumed standard deviation of session medians where no history exists: of logarithms (so a fraction), for a rate of
    log odds.
    """

    id: str
    unit: Unit
    direction: Direction
    kind: Kind
    prior_sd: float
    formula: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDefinition:
    """One metric: its :class:`Meaning`, and how it is computed.

    ``id``: name and version, ``time_to_first_token.v1``. ``formula`` and ``source`` are text for the docs. ``samples`` gives one value per
    successful request (or per gap) in ``unit``; ``value`` gives one value per run. Exactly one of the two is set. ``parts`` gives
    numerator and denominator of a rate, per run.
    """

    id: str
    unit: Unit
    direction: Direction
    formula: str
    source: str
    prior_sd: float
    kind: Kind = Kind.MAGNITUDE
    samples: Callable[[Recording], NDArray[np.float64]] | None = None
    value: Callable[[Recording, RunFacts], float | Absent] | None = None
    parts: Callable[[Recording, RunFacts], tuple[float, float] | Absent] | None = None

    @property
    def name(self) -> str:
        """The id without its version."""
        return self.id.rsplit(".v", 1)[0]

    @property
    def meaning(self) -> Meaning:
        """The definition without its computation."""
        return Meaning(
            id=self.id,
            unit=self.unit,
            direction=self.direction,
            kind=self.kind,
            prior_sd=self.prior_sd,
            formula=self.formula,
            source=self.source,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a metric may need beside the recording."""

    gpu_count: int | None
    objectives: Objectives = NOTHING_STATED
