"""How runs of a cell scatter, and how deployments do: what sessions show before the first pair is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median, variance
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.measurement import MINIMUM_RUNS
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.quantity import Absent, Direction
from pytest_dynperf.verdict.duet_noise import all_of, clipped
from pytest_dynperf.verdict.noise import WITHIN_FACTOR, run_variance
from pytest_dynperf.verdict.scale import Reading, Ruler
from pytest_dynperf.verdict.terms import CATALOGUE_TERMS
from pytest_dynperf.verdict.verdict import Scale
from pytest_dynperf.verdict.weigh import reading_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.baseline.document import Baseline, BaselineRun
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.metrics.definition import Cell, Meaning
    from pytest_dynperf.verdict.terms import Terms

_PRIOR_SESSIONS = 4  # the prior counts like so many sessions
_PRIOR_SHARE = 0.25  # of the variance of runs: deployments are assumed to scatter half as far as runs do


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNoise:
    """Variances on the scale of the cell. ``run``: of the runs of one deployment. ``deployment``: of what a deployment does to all of its
    runs; it cancels where candidate and control stay deployed side by side, and is what blocks have between them.
    """

    run: float
    deployment: float

    @property
    def run_sd(self) -> float:
        """The standard deviation of a run."""
        return math.sqrt(self.run)

    @property
    def deployment_sd(self) -> float:
        """The standard deviation of a deployment."""
        return math.sqrt(self.deployment)


def noise_of(history: Sequence[Sequence[float]], own: Sequence[float] = ()) -> RunNoise | None:
    """``history``: the runs of each accepted session, on the scale; ``own``: those of the session that is judged, which show how runs
    scatter but not how sessions do: it was picked for being far off. ``None`` where there is neither.
    """
    sessions = [*history, own] if own else list(history)
    if not sessions:
        return None
    run = run_variance(sessions)
    return RunNoise(run=run, deployment=_between(history, run))


def _between(history: Sequence[Sequence[float]], run: float) -> float:
    """(4 run / 4 + (K - 1) s^2) / (K + 3), s^2 being what the medians scatter beyond the noise of their runs."""
    if len(history) < 2:
        return _PRIOR_SHARE * run
    beyond = variance(clipped([median(runs) for runs in history])) - WITHIN_FACTOR * run / min(len(runs) for runs in history)
    weight = len(history) - 1
    return (_PRIOR_SESSIONS * _PRIOR_SHARE * run + weight * max(0.0, beyond)) / (_PRIOR_SESSIONS + weight)


def planned_noise(cell: Cell, documents: Sequence[Baseline], *, terms: Terms = CATALOGUE_TERMS) -> RunNoise | None:
    """Of a magnitude, from its documents alone: for a plan, before anything is measured. ``None`` where they do not tell, and for rates
    and counts.
    """
    meaning = terms.meanings.get(cell.metric)
    if meaning is None or meaning.kind is not Kind.MAGNITUDE or meaning.direction is Direction.NEITHER:
        return None
    ruler = Ruler(scale=Scale.LOG, sign=meaning.direction.sign, prior_sd=meaning.prior_sd)
    return noise_of(sessions_of(cell, documents, meaning, ruler))


def sessions_of(cell: Cell, documents: Sequence[Baseline], meaning: Meaning, ruler: Ruler) -> list[list[float]]:
    """The runs of the documents on the scale. A document in which a run cannot be read takes no part."""
    found = []
    for document in documents:
        if document.units.get(meaning.id) != meaning.unit.value or len(document.runs) < MINIMUM_RUNS:
            continue
        numbers = all_of([read(cell, run, meaning, ruler) for run in document.runs])
        if not isinstance(numbers, Absent):
            found.append(numbers)
    return found


def read(cell: Cell, run: Run | BaselineRun, meaning: Meaning, ruler: Ruler) -> float | Absent:
    """The cell of a run on the scale, + is worse."""
    reading = reading_of(meaning, cell, run)
    if reading is None:
        return Absent(f"it has no {cell}" + (", or not its numerator and denominator" if meaning.kind is Kind.RATE else ""))
    return ruler.read(reading) if reading.flaw is None else Absent(f"a value {reading.flaw}")


def read_value(value: float, ruler: Ruler) -> float | Absent:
    """A value that came without its parts: log odds are those of the rate itself, within half an event of what the parts would give."""
    if ruler.scale is Scale.LOG_ODDS:
        return ruler.sign * math.log(value / (1 - value)) if 0 < value < 1 else Absent("it has no log odds")
    if ruler.scale is Scale.POINTS:
        return ruler.sign * value
    reading = Reading(value)
    return ruler.read(reading) if reading.flaw is None else Absent(f"it {reading.flaw}")
