"""One gate, one measurement and the documents: a comparison, or why there is none."""

from __future__ import annotations

import math
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.cell_values import values as values_of
from pytest_dynperf.measurement.measurement import MINIMUM_RUNS
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.quantity import Absent, Direction
from pytest_dynperf.verdict.combine import unjudged
from pytest_dynperf.verdict.noise import Comparison, compare, minimum_detectable
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.baseline.document import Baseline, BaselineRun
    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.scenario.expectation import Expectation, Gate


def flaws(measurement: Measurement, expectation: Expectation) -> tuple[str, ...]:
    """What forbids judging the measurement as a whole."""
    found = [*measurement.problems, *(f"run {run.name}: {problem}" for run in measurement.runs for problem in run.problems)]
    if not found and len(measurement.runs) < MINIMUM_RUNS:
        found.append(f"{len(measurement.runs)} valid runs, needed are {MINIMUM_RUNS}: the run is the statistical unit")
    if not any(gate.decisive for gate in expectation.gates):
        found.append("the expectation has no decisive gate: nothing would be judged")
    return tuple(found)


def candidate_values(gate: Gate, measurement: Measurement) -> tuple[float, ...] | CellVerdict:
    """The gated cell over the runs, or *invalid*: a gate that measured nothing must not pass."""
    definition = CATALOGUE.get(gate.cell.metric)
    if definition is None:
        return unjudged(gate, f"there is no metric {gate.cell.metric}")
    if definition.direction is Direction.NEITHER:
        return unjudged(gate, f"{definition.id} has no worse direction and cannot be judged")
    if not (math.isfinite(gate.tolerance) and gate.tolerance >= 0):
        return unjudged(gate, f"a tolerance of {gate.tolerance} allows no judgement")
    found = values_of(measurement, gate.cell)
    if isinstance(found, Absent):
        return unjudged(gate, found.reason)
    if not _comparable(found):
        return unjudged(gate, "a value is not positive and finite, and has no logarithm to compare")
    return found


def weigh(gate: Gate, candidate: tuple[float, ...], documents: Sequence[Baseline]) -> Comparison | CellVerdict:
    """Compare what :func:`candidate_values` gave with the documents that hold it, oldest first.

    A document in which a run lacks the cell takes no part. Where none is left, or one holds the metric in another unit: *incomparable*.
    """
    definition = CATALOGUE[gate.cell.metric]
    units = {document.units[definition.id] for document in documents if definition.id in document.units} - {definition.unit.value}
    if units:
        reason = f"the baseline holds {definition.id} in {', '.join(sorted(units))}, not in {definition.unit.value}"
        return described(gate, candidate, Outcome.INCOMPARABLE, reason)
    sessions = [
        tuple(run.values[gate.cell] for run in document.runs)
        for document in documents
        if definition.id in document.units and _holds(document.runs, gate.cell)
    ]
    if not sessions:
        return described(gate, candidate, Outcome.INCOMPARABLE, f"no baseline document holds {gate.cell} of {definition.id}")
    if not all(_comparable(session) for session in sessions):
        return unjudged(gate, "a value of the baseline is not positive and finite, and has no logarithm to compare", candidate)
    return compare(candidate, sessions, sign=definition.direction.sign, prior_sd=definition.prior_sd)


def described(gate: Gate, candidate: tuple[float, ...], outcome: Outcome, *reasons: str) -> CellVerdict:
    """A cell that was measured and has nothing to be compared with."""
    return CellVerdict(
        cell=gate.cell,
        outcome=outcome,
        decisive=gate.decisive,
        tolerance=gate.tolerance,
        candidate=median(candidate),
        values=candidate,
        run_cv=stdev(candidate) / fmean(candidate),
        reasons=reasons,
    )


def compared(
    gate: Gate,
    candidate: tuple[float, ...],
    comparison: Comparison,
    *,
    outcome: Outcome,
    limit: float,
    reason: str,
    suspect: bool = False,
    underpowered: bool = False,
) -> CellVerdict:
    """A cell that was compared, with all that the comparison says."""
    margin = comparison.margin(0.95)
    return CellVerdict(
        cell=gate.cell,
        outcome=outcome,
        decisive=gate.decisive,
        tolerance=gate.tolerance,
        candidate=comparison.in_unit(comparison.candidate),
        values=candidate,
        baseline=comparison.in_unit(comparison.baseline),
        delta=comparison.delta,
        interval=(comparison.delta - margin, comparison.delta + margin),
        limit=limit,
        mde=minimum_detectable(comparison, gate.tolerance),
        p_value=comparison.p_value,
        run_cv=stdev(candidate) / fmean(candidate),
        sessions=len(comparison.history),
        underpowered=underpowered,
        suspect=suspect,
        history=tuple(comparison.in_unit(value) for value in comparison.history),
        reasons=(reason,),
    )


def _comparable(values: Sequence[float]) -> bool:
    return all(math.isfinite(value) and value > 0 for value in values)


def _holds(runs: Sequence[BaselineRun], cell: Cell) -> bool:
    return len(runs) >= MINIMUM_RUNS and all(cell in run.values for run in runs)
