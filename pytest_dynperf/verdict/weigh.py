"""One gate, one measurement and the documents: a comparison, or why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.cell_values import values as values_of
from pytest_dynperf.measurement.measurement import MINIMUM_RUNS
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.metrics.statistic import least_samples
from pytest_dynperf.quantity import Absent, Direction
from pytest_dynperf.verdict.combine import only_shown, unjudged
from pytest_dynperf.verdict.noise import Comparison, compare_readings, minimum_detectable
from pytest_dynperf.verdict.scale import Reading, middle, of_parts, ruler
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.baseline.document import Baseline, BaselineRun
    from pytest_dynperf.measurement.measurement import Measurement, Run
    from pytest_dynperf.metrics.definition import Cell, Meaning
    from pytest_dynperf.scenario.expectation import Expectation, Gate
    from pytest_dynperf.verdict.terms import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The gated cell over the runs of the candidate. ``prior_sd``: of the platform's history, else of the meaning. ``duet``: pairs with a
    control will decide what the screen suspects.
    """

    meaning: Meaning
    prior_sd: float
    readings: tuple[Reading, ...]
    duet: bool = False

    @property
    def values(self) -> tuple[float, ...]:
        """One per run, in the metric's unit."""
        return tuple(reading.value for reading in self.readings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A comparison, and the runs that went into it: those of the candidate, and those of each baseline session."""

    comparison: Comparison
    readings: tuple[Reading, ...]
    sessions: tuple[tuple[Reading, ...], ...]

    @property
    def values(self) -> tuple[float, ...]:
        """Of the candidate, one per run, in the metric's unit."""
        return tuple(reading.value for reading in self.readings)

    @property
    def runs(self) -> list[list[float]]:
        """Every run on the scale, session by session, those of the candidate last."""
        return [[self.comparison.ruler.read(reading) for reading in session] for session in (*self.sessions, self.readings)]


def flaws(measurement: Measurement, expectation: Expectation) -> tuple[str, ...]:
    """What forbids judging the measurement as a whole."""
    found = [*measurement.problems, *(f"run {run.name}: {problem}" for run in measurement.runs for problem in run.problems)]
    if not found and len(measurement.runs) < MINIMUM_RUNS:
        found.append(f"{len(measurement.runs)} valid runs, needed are {MINIMUM_RUNS}: the run is the statistical unit")
    if not any(gate.decisive for gate in expectation.gates):
        found.append("the expectation has no decisive gate: nothing would be judged")
    return tuple(found)


def candidate_values(gate: Gate, measurement: Measurement, terms: Terms) -> Seen | CellVerdict:
    """The gated cell over the runs, or why it is not judged: *invalid* for a gate that measured nothing, which must not pass."""
    meaning = terms.meanings.get(gate.cell.metric)
    if meaning is None:
        return unjudged(gate, f"there is no metric {gate.cell.metric}")
    prior_sd = terms.prior_of(meaning, gate.cell.statistic)
    if (refusal := _refusal(gate, meaning, prior_sd)) is not None:
        return unjudged(gate, refusal)
    found = values_of(measurement, gate.cell)
    if (few := _too_few(gate.cell, measurement.runs, "the candidate")) is not None:
        return only_shown(gate, few, () if isinstance(found, Absent) else found)
    if isinstance(found, Absent):
        return unjudged(gate, found.reason)
    if meaning.kind is Kind.COUNT:
        readings = tuple(Reading(value) for value in found)
        return Seen(meaning=meaning, prior_sd=prior_sd, readings=readings) if gate.exact else only_shown(gate, _INEXACT, found)
    rated = [reading_of(meaning, gate.cell, run) for run in measurement.runs]
    for run, reading in zip(measurement.runs, rated, strict=True):
        if reading is None:
            return unjudged(gate, f"run {run.name}: {_without_parts(meaning)}", found)
        if reading.flaw is not None:
            return unjudged(gate, f"run {run.name}: a value {reading.flaw}")
    return Seen(meaning=meaning, prior_sd=prior_sd, readings=tuple(reading for reading in rated if reading is not None), duet=terms.duet)


_INEXACT = "a count has no noise that a tolerance could be held against, and is judged by exact gates alone"


def _refusal(gate: Gate, meaning: Meaning, prior_sd: float) -> str | None:
    """Why a gate of this metric allows no judgement, whatever was measured."""
    if gate.exact and meaning.kind is not Kind.COUNT:
        return f"{meaning.id} is a {meaning.kind.value}, and only a count can be exact"
    if meaning.direction is Direction.NEITHER and not gate.exact:
        return f"{meaning.id} has no worse direction and cannot be judged"
    if not (math.isfinite(gate.tolerance) and gate.tolerance >= 0):
        return f"a tolerance of {gate.tolerance} allows no judgement"
    if meaning.kind is not Kind.COUNT and not (math.isfinite(prior_sd) and prior_sd > 0):
        return f"a prior of {prior_sd} for {meaning.id} says nothing of the noise; it must be positive and finite"
    return None


def _without_parts(meaning: Meaning) -> str:
    return f"numerator and denominator of {meaning.id} are not known, and a rate is compared by them"


def reading_of(meaning: Meaning, cell: Cell, run: Run | BaselineRun) -> Reading | None:
    """What a run holds of a cell, to be put on a scale; ``None`` where the run lacks it, or the parts of a rate."""
    if cell not in run.values:
        return None
    if meaning.kind is not Kind.RATE:
        return Reading(run.values[cell])
    return of_parts(*run.parts[meaning.id]) if meaning.id in run.parts else None


def _too_few(cell: Cell, runs: Sequence[Run] | Sequence[BaselineRun], whose: str) -> str | None:
    """Says how many values there were where a run has fewer than its tail needs. A run that has none at all is another matter."""
    needed = least_samples(cell.statistic)
    if needed == 1:
        return None
    counts = [_count(cell, run) for run in runs]
    known = [count for count in counts if count is not None]
    if not runs or len(known) < len(counts) or min(known) >= needed:
        return None
    return f"{cell.statistic} needs {needed:,} values in every run, {whose} has {min(known):,}"


def _count(cell: Cell, run: Run | BaselineRun) -> int | None:
    """How many values a run has; no more than requests that succeeded where a file of another tool states a tail without its values."""
    if cell.metric in run.distributions:
        return run.distributions[cell.metric].n
    return run.requests - run.errors if cell in run.values else None


def weigh(gate: Gate, seen: Seen, documents: Sequence[Baseline]) -> Weighed | CellVerdict:
    """Compare what :func:`candidate_values` gave with the documents that hold it, oldest first.

    A document in which a run lacks the cell takes no part, nor does one with too few values for a tail. Where none is left, or one holds
    the metric in another unit: *incomparable*; where too few values are why, the cell is shown and not judged.
    """
    sessions = baseline_readings(gate, seen, documents)
    if isinstance(sessions, CellVerdict):
        return sessions
    for flaw in (flaw for session in sessions for reading in session if (flaw := reading.flaw) is not None):
        return unjudged(gate, f"a value of the baseline {flaw}", seen.values)
    measured_by = ruler(seen.meaning, seen.readings, sessions, tolerance=gate.tolerance, prior_sd=seen.prior_sd)
    return Weighed(
        comparison=compare_readings(measured_by, seen.readings, sessions, duet=seen.duet), readings=seen.readings, sessions=sessions
    )


def baseline_readings(gate: Gate, seen: Seen, documents: Sequence[Baseline]) -> tuple[tuple[Reading, ...], ...] | CellVerdict:
    """The gated cell over the runs of each document that holds it, at least one; flaws of single readings are not looked at."""
    meaning = seen.meaning
    units = {document.units[meaning.id] for document in documents if meaning.id in document.units} - {meaning.unit.value}
    if units:
        reason = f"the baseline holds {meaning.id} in {', '.join(sorted(units))}, not in {meaning.unit.value}"
        return described(gate, seen.values, Outcome.INCOMPARABLE, reason)
    stated = [document for document in documents if meaning.id in document.units and len(document.runs) >= MINIMUM_RUNS]
    sessions, thin = [], []
    for document in stated:
        if (few := _too_few(gate.cell, document.runs, "the baseline")) is not None:
            thin.append(few)
            continue
        held = tuple([reading for run in document.runs if (reading := reading_of(meaning, gate.cell, run)) is not None])
        if len(held) == len(document.runs):
            sessions.append(held)
    if sessions:
        return tuple(sessions)
    if thin:
        return only_shown(gate, thin[-1], seen.values)
    if any(gate.cell in run.values for document in stated for run in document.runs) and meaning.kind is Kind.RATE:
        reason = f"no baseline document holds {gate.cell} to compare with: {_without_parts(meaning)}; accept it again"
    else:
        reason = f"no baseline document holds {gate.cell} of {meaning.id}"
    return described(gate, seen.values, Outcome.INCOMPARABLE, reason)


def described(gate: Gate, values: tuple[float, ...], outcome: Outcome, *reasons: str) -> CellVerdict:
    """A cell that was measured and has nothing to be compared with."""
    return CellVerdict(
        cell=gate.cell,
        outcome=outcome,
        decisive=gate.decisive,
        tolerance=gate.tolerance,
        candidate=median(values),
        values=values,
        run_cv=run_cv(values),
        reasons=reasons,
    )


def compared(
    gate: Gate,
    weighed: Weighed,
    *,
    outcome: Outcome,
    limit: float,
    reason: str,
    suspect: bool = False,
    underpowered: bool = False,
    mde: float | None = None,
) -> CellVerdict:
    """A cell that was compared, with all that the comparison says. ``mde``: that of a fresh session where none is given."""
    comparison = weighed.comparison
    margin = comparison.margin(0.95)
    if comparison.ruler.scale is Scale.LOG:  # so that the delta is exactly their ratio: the middle of two is then the geometric one
        history = tuple(comparison.in_unit(value) for value in comparison.history)
        candidate, baseline = comparison.in_unit(comparison.candidate), comparison.in_unit(comparison.baseline)
    else:
        history = tuple(middle(session) for session in weighed.sessions)
        candidate, baseline = median(weighed.values), median(history)
    return CellVerdict(
        cell=gate.cell,
        outcome=outcome,
        decisive=gate.decisive,
        tolerance=gate.tolerance,
        candidate=candidate,
        values=weighed.values,
        baseline=baseline,
        delta=comparison.delta,
        interval=(comparison.delta - margin, comparison.delta + margin),
        limit=limit,
        mde=minimum_detectable(comparison, gate.tolerance) if mde is None else mde,
        p_value=comparison.p_value,
        run_cv=run_cv(weighed.values),
        sessions=len(comparison.history),
        underpowered=underpowered,
        suspect=suspect,
        history=history,
        reasons=(reason,),
        scale=comparison.ruler.scale,
    )


def run_cv(values: Sequence[float]) -> float | None:
    """Coefficient of variation (ddof 1), as a fraction; ``None`` where it has no meaning: one value, or a mean of 0."""
    mean = math.fsum(values) / len(values) if values else 0.0
    # statistics.stdev computes with fractions: exact, and fifty times slower
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)) / mean if len(values) > 1 and mean else None
