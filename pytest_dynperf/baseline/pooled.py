"""How far sessions of one environment lie apart by chance: the platform's own history in place of a guess.

In: every readable document of an environment. Out: a standard deviation per metric. Pure but for reading.
"""

from __future__ import annotations

import math
from statistics import fmean, median
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.location import ALL_DOCUMENTS
from pytest_dynperf.baseline.ring import key_of
from pytest_dynperf.baseline.store import load
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.metrics.catalogue import CATALOGUE, MEANINGS, statistics
from pytest_dynperf.metrics.definition import Cell, Kind
from pytest_dynperf.run_directory import safe_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline, BaselineRun

LEAST_DEGREES = 20
"""Degrees of freedom from which a pooled standard deviation stands in for the guess: its relative error is then about 16 %."""


def pooled_prior(root: Path, environment_name: str) -> dict[str, float]:
    """The standard deviation of session medians in an environment: on natural logarithms (so a fraction), for a rate on log odds,
    log((x + .5) / (n - x + .5)). By metric id for the statistic that most gates use, ``p50`` or ``value``, and by ``id/statistic`` for
    every other percentile, whose sessions scatter further.

    Per case, key and epoch the sessions scatter about their mean (ddof 1); squares and degrees of freedom are added over them. A cell
    is in the result, and so replaces :attr:`~pytest_dynperf.metrics.definition.Meaning.prior_sd`, where at least 20 degrees of freedom
    exist; counts never are. All sessions that were accepted take part, not only the ten that a case is compared with.

    A file that cannot be read is left out: the case that it belongs to says so. Costs one read per document, about 1 ms each.
    """
    groups: dict[tuple[object, ...], list[Baseline]] = {}
    environment = safe_name(environment_name)
    for path in sorted(root.glob(f"{environment}/{ALL_DOCUMENTS.partition('/')[2]}")):
        try:
            document = load(root, path)
        except BaselineError:
            continue
        groups.setdefault((document.suite, document.case_id, key_of(document), document.epoch), []).append(document)
    cells = {metric: Cell(metric, _usual(metric)) for metric in MEANINGS} | _tails(groups.values())
    found = {name: _pooled(cell, list(groups.values())) for name, cell in cells.items()}
    return {name: sd for name, sd in found.items() if sd is not None}


def _usual(metric: str) -> str:
    return "value" if statistics(CATALOGUE[metric]) == ("value",) else "p50"


def _tails(groups: Iterable[Sequence[Baseline]]) -> dict[str, Cell]:
    """The percentiles beside the median that the newest document of some case holds, by ``id/statistic``."""
    newest = [documents[-1] for documents in groups]
    cells = {cell for document in newest for cell in document.runs[0].values if cell.metric in MEANINGS and cell.statistic != "p50"}
    return {f"{cell.metric}/{cell.statistic}": cell for cell in sorted(cells) if cell.statistic.startswith("p")}


def _pooled(cell: Cell, groups: list[list[Baseline]]) -> float | None:
    squares, degrees = 0.0, 0
    for documents in groups:
        medians = [value for document in documents if (value := _median(cell, document)) is not None]
        if len(medians) > 1:
            mean = fmean(medians)
            squares += math.fsum((value - mean) ** 2 for value in medians)
            degrees += len(medians) - 1
    return math.sqrt(squares / degrees) if degrees >= LEAST_DEGREES and squares > 0 else None


def _median(cell: Cell, document: Baseline) -> float | None:
    """On the scale of comparison; ``None`` where a run lacks the metric or has a value that cannot be brought there."""
    values = [_value(cell, run) for run in document.runs]
    known = [value for value in values if value is not None]
    return median(known) if len(known) == len(values) else None


def _value(cell: Cell, run: BaselineRun) -> float | None:
    kind = MEANINGS[cell.metric].kind
    if kind is Kind.RATE:
        parts = run.parts.get(cell.metric)
        if parts is None or parts[0] > parts[1]:
            return None
        return math.log((parts[0] + 0.5) / (parts[1] - parts[0] + 0.5))
    value = run.values.get(cell)
    return math.log(value) if kind is Kind.MAGNITUDE and value is not None and value > 0 else None
