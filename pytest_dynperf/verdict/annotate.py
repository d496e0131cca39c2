"""What is said over the cells of a whole session: which regressions stand out among many cells, and whether everything moved together.

It reads finished verdicts and changes none: the verdict of a case is final when its test ends, long before the last case is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.quantity import Direction
from pytest_dynperf.verdict.annotations import Annotations
from pytest_dynperf.verdict.verdict import Outcome, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.verdict.verdict import CellVerdict, Verdict

FALSE_DISCOVERIES = 0.10
"""Of the regressions that survive, the share that may be chance on average."""

SHIFT = 0.02
"""A median delta above it is a shift of the environment; a logarithm, as tolerances are."""

LEAST_CELLS = 5
LEAST_CASES = 3
"""Fewer cells have no telling median; and all cells of one case move together when that case alone regressed, half of those of two."""

_JUDGED = {Outcome.UNCHANGED, Outcome.IMPROVED, Outcome.INCONCLUSIVE, Outcome.REGRESSED}


@dataclass(frozen=True, slots=True)
class _Judged:
    """A compared cell of a case."""

    case: str
    verdict: CellVerdict
    delta: float
    p_value: float


def annotate(results: Sequence[tuple[str, Verdict]]) -> Annotations:
    """``results``: name and verdict of each case of the session. Cells of invalid cases take no part.

    Survivors: Benjamini-Hochberg at q = .10 over all cells that were compared by logarithms or log odds, decisive or not. Shift: the
    median delta to the baseline over the cells compared by logarithms, of at least five cells in three cases, where it exceeds 2 %. The
    delta of a duet is not one to the baseline, so there the candidate is held against the history; and because a shift cancels in a duet
    (candidate and control share the machine), nothing is subtracted from what pairs decided, nor from rates and counts.
    """
    judged = [
        _Judged(name, cell, cell.delta, cell.p_value)
        for name, verdict in results
        if verdict.outcome is not Outcome.INVALID
        for cell in verdict.cells
        if cell.outcome in _JUDGED and cell.scale is not Scale.POINTS
        if cell.delta is not None and cell.p_value is not None and math.isfinite(cell.delta) and math.isfinite(cell.p_value)
    ]
    shift = _shift(judged)
    limit = _largest_significant([one.p_value for one in judged])
    return Annotations(
        judged=len(judged),
        shift=shift,
        beyond_shift=() if shift is None else _beyond(results, shift),
        survivors=tuple(
            (one.case, one.verdict.cell) for one in judged if one.verdict.outcome is Outcome.REGRESSED and one.p_value <= limit
        ),
    )


def _largest_significant(p_values: Sequence[float]) -> float:
    """The largest p that lies below its line q · rank / m, -1 without one. Everything below it counts too, above its own line or not."""
    lines = [(p, FALSE_DISCOVERIES * rank / len(p_values)) for rank, p in enumerate(sorted(p_values), start=1)]
    return max((p for p, line in lines if p <= line), default=-1.0)


def _shift(judged: Sequence[_Judged]) -> float | None:
    found = [(one.case, delta) for one in judged if (delta := _to_baseline(one)) is not None]
    if len(found) < LEAST_CELLS or len({case for case, _ in found}) < LEAST_CASES:
        return None
    middle = median(delta for _, delta in found)
    return middle if middle > SHIFT else None


def _to_baseline(one: _Judged) -> float | None:
    """Delta of the candidate to its baseline sessions, ``None`` for what a slower machine does not move in proportion."""
    cell = one.verdict
    if cell.scale is not Scale.LOG:
        return None
    if not cell.pairs:
        return one.delta
    meaning = MEANINGS.get(cell.cell.metric)
    if meaning is None or meaning.direction is Direction.NEITHER or not cell.history or not cell.candidate or not median(cell.history):
        return None
    return meaning.direction.sign * math.log(cell.candidate / median(cell.history))


def _beyond(results: Sequence[tuple[str, Verdict]], shift: float) -> tuple[tuple[str, Cell], ...]:
    return tuple(
        (name, cell.cell)
        for name, verdict in results
        for cell in verdict.cells
        if cell.outcome is Outcome.REGRESSED and not _explained(cell, shift)
    )


def _explained(cell: CellVerdict, shift: float) -> bool:
    if cell.scale is not Scale.LOG or cell.pairs or cell.delta is None:
        return False
    return cell.delta - shift <= cell.tolerance / 2
