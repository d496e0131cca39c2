"""How far a cell moved, against its noise: the candidate from its baseline sessions, or from the control of a duet.

Weaker than a verdict on purpose: no confirmation, one fixed bound. It orders suspicions and accuses nobody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, median, variance
from typing import TYPE_CHECKING

from scipy.special import stdtrit

from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.quantity import Direction, Unit
from pytest_dynperf.verdict.noise import PRIOR_WEIGHT, compare_readings
from pytest_dynperf.verdict.scale import Reading, Ruler, ruler
from pytest_dynperf.verdict.verdict import Scale
from pytest_dynperf.verdict.weigh import reading_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.baseline.document import Baseline, BaselineRun
    from pytest_dynperf.measurement.measurement import Duet, Measurement, Run
    from pytest_dynperf.metrics.definition import Cell, Meaning
    from pytest_dynperf.verdict.terms import Terms

_QUANTILE = 0.99
_LEAST = {Scale.LOG: 0.025, Scale.LOG_ODDS: 0.10, Scale.POINTS: 0.01}
"""Smaller moves are none, however quiet the cell: about 2.5 % of a magnitude, two and a half points of a rate around one half."""

_RESOLUTION = {Unit.SECONDS: 1e-4, Unit.REQUESTS: 0.5, Unit.TRANSFERS: 0.5}
"""Added to both sides: values may be 0, and a queue that grew from 1 µs to 3 has not moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """``before`` and ``now``: medians, in the metric's unit. ``strength``: the change in standard errors, + is worse. ``delta``: the change
    on the cell's scale; of a magnitude the signed logarithm of the ratio, ``None`` where one of the two is 0. ``worse``: whether it went to
    the worse by more than chance.
    """

    before: float
    now: float
    strength: float
    delta: float | None
    worse: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides of the comparison. ``pairs`` (candidate, control) where a duet ran; ``runs`` and ``documents`` else, and for what the
    pairs lack.
    """

    runs: tuple[Run, ...]
    documents: tuple[Baseline, ...]
    pairs: tuple[tuple[Run, Run], ...]
    terms: Terms


def sides(candidate: Measurement, documents: Sequence[Baseline], duet: Duet | None, terms: Terms) -> Sides:
    """Pairs with a problem take no part, nor does a duet with one."""
    usable = duet is not None and not duet.problems
    return Sides(
        runs=tuple(run for run in candidate.runs if not run.problems),
        documents=tuple(documents),
        pairs=tuple((pair.candidate, pair.control) for pair in duet.pairs if not pair.problems) if duet is not None and usable else (),
        terms=terms,
    )


def move_of(cell: Cell, seen: Sides, *, less: Sequence[Cell] = ()) -> Move | None:
    """The move of a cell, ``None`` where one side lacks it or too little of it is there. ``less``: cells in the same unit that are taken
    away from it run by run, where both sides hold them; ``before`` and ``now`` are of the cell itself all the same.
    """
    meaning = seen.terms.meanings.get(cell.metric)
    if meaning is None or meaning.direction is Direction.NEITHER:
        return None
    prior_sd = seen.terms.prior_of(meaning, cell.statistic)
    if not (math.isfinite(prior_sd) and prior_sd > 0):
        return None
    return _of_pairs(cell, seen, meaning, prior_sd, less) or _of_sessions(cell, seen, meaning, prior_sd, less)


def _of_pairs(cell: Cell, seen: Sides, meaning: Meaning, prior_sd: float, less: Sequence[Cell]) -> Move | None:
    if len(seen.pairs) < 2:
        return None
    ours, theirs = ([pair[side] for pair in seen.pairs] for side in (0, 1))
    taken = [part for part in less if _held(part, [*ours, *theirs])]
    now, before = _readings(cell, ours, meaning, taken), _readings(cell, theirs, meaning, taken)
    if now is None or before is None:
        return None
    measured_by = _ruler(meaning, now, [before], prior_sd)
    differences = [measured_by.read(one) - measured_by.read(other) for one, other in zip(now, before, strict=True)]
    effect, standard_error, degrees = of_differences(differences, measured_by.prior_sd)
    change = _Change(effect=effect, standard_error=standard_error, degrees=degrees, ruler=measured_by)
    return _move(_middle(cell, theirs), _middle(cell, ours), change)


def of_differences(differences: Sequence[float], prior_sd: float) -> tuple[float, float, int]:
    """Mean, standard error and degrees of freedom of at least two differences of pairs; the prior counts like four of them."""
    count = len(differences)
    spread = (PRIOR_WEIGHT * 2 * prior_sd**2 + (count - 1) * variance(differences)) / (count - 1 + PRIOR_WEIGHT)
    return fmean(differences), math.sqrt(spread / count), count - 1 + PRIOR_WEIGHT


def _of_sessions(cell: Cell, seen: Sides, meaning: Meaning, prior_sd: float, less: Sequence[Cell]) -> Move | None:
    documents = [
        document
        for document in seen.documents
        if document.units.get(meaning.id) == meaning.unit.value and len(document.runs) > 1 and _held(cell, document.runs)
    ]
    if not documents or len(seen.runs) < 2:
        return None
    every: list[Run | BaselineRun] = [*seen.runs, *(run for document in documents for run in document.runs)]
    taken = [part for part in less if _held(part, every)]
    now = _readings(cell, seen.runs, meaning, taken)
    sessions = [held for document in documents if (held := _readings(cell, document.runs, meaning, taken)) is not None]
    if now is None or not sessions:
        return None
    measured_by = _ruler(meaning, now, sessions, prior_sd)
    found = compare_readings(measured_by, now, sessions)
    before = median(_middle(cell, document.runs) for document in documents)
    change = _Change(effect=found.delta, standard_error=found.standard_error, degrees=found.degrees, ruler=measured_by)
    return _move(before, _middle(cell, seen.runs), change)


def _held(cell: Cell, runs: Sequence[Run | BaselineRun]) -> bool:
    return all(cell in run.values and math.isfinite(run.values[cell]) for run in runs)


def _middle(cell: Cell, runs: Sequence[Run | BaselineRun]) -> float:
    return median(run.values[cell] for run in runs)


def _readings(cell: Cell, runs: Sequence[Run | BaselineRun], meaning: Meaning, less: Sequence[Cell]) -> list[Reading] | None:
    """``None`` where a run lacks the cell, or a rate its parts."""
    found = []
    for run in runs:
        reading = reading_of(meaning, cell, run)
        if reading is not None and meaning.kind is not Kind.RATE:
            rest = reading.value - math.fsum(run.values[part] for part in less)
            reading = Reading(max(rest, 0.0) + _RESOLUTION.get(meaning.unit, 0.0))
        if reading is None or reading.flaw is not None:
            return None
        found.append(reading)
    return found


def _ruler(meaning: Meaning, now: Sequence[Reading], sessions: Sequence[Sequence[Reading]], prior_sd: float) -> Ruler:
    """The judge's for a rate; everything else by logarithms, counts too: here is asked how much, not whether."""
    if meaning.kind is Kind.RATE:
        return ruler(meaning, now, sessions, tolerance=0.0, prior_sd=prior_sd)
    return Ruler(scale=Scale.LOG, sign=meaning.direction.sign, prior_sd=prior_sd)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """On the scale of ``ruler``, + is worse."""

    effect: float
    standard_error: float
    degrees: int
    ruler: Ruler


def _move(before: float, now: float, change: _Change) -> Move:
    scale, effect, standard_error = change.ruler.scale, change.effect, change.standard_error
    bound = max(_LEAST[scale], float(stdtrit(change.degrees, _QUANTILE)) * standard_error)
    delta: float | None = effect
    if scale is Scale.LOG:
        delta = change.ruler.sign * math.log(now / before) if now > 0 and before > 0 else None
    return Move(before=before, now=now, strength=effect / standard_error, delta=delta, worse=effect > bound)
