"""What a metric is: a definition is stored by id with every value, and an id is never reused for a changed formula."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDefinition:
    """One metric.

    ``id``: name and version, ``time_to_first_token.v1``. ``formula`` and ``source`` are text for the docs. ``prior_sd`` is the assumed
    standard deviation of session medians, as a fraction, where no history exists. ``samples`` gives one value per successful request
    (or per gap) in ``unit``; ``value`` gives one value per run. Exactly one of the two is set.
    """

    id: str
    unit: Unit
    direction: Direction
    formula: str
    source: str
    prior_sd: float
    samples: Callable[[Recording], NDArray[np.float64]] | None = None
    value: Callable[[Recording, RunFacts], float | Absent] | None = None

    @property
    def name(self) -> str:
        """The id without its version."""
        return self.id.rsplit(".v", 1)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a metric may need beside the recording."""

    gpu_count: int | None
    objectives: Objectives = NOTHING_STATED
