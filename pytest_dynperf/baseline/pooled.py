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
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline, BaselineRun

LEAST_DEGREES = 20
"""Degrees of freedom from which a pooled standard deviation stands in for the guess: its relative error is then about 16 %."""


def pooled_prior(root: Path, environment_name: str) -> dict[str, float]:
    """By metric id, the standard deviation of session medians in an environment: on natural logarithms (so a fraction), for a rate on log
    odds, log((x + .5) / (n - x + .5)).

    Per case, key and epoch the sessions scatter about their mean (ddof 1); squares and degrees of freedom are added over them. A metric
    is in the result, and so replaces :attr:`~pytest_dynperf.metrics.definition.Meaning.prior_sd`, where at least 20 degrees of freedom
    exist; counts never are. The statistic is the one that gates use: ``p50``, or ``value``. All sessions that were accepted take part,
    not only the ten that a case is compared with.

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
    found = {metric: _pooled(metric, list(groups.values())) for metric in MEANINGS}
    return {metric: sd for metric, sd in found.items() if sd is not None}


def _pooled(metric: str, groups: list[list[Baseline]]) -> float | None:
    squares, degrees = 0.0, 0
    for documents in groups:
        medians = [value for document in documents if (value := _median(metric, document)) is not None]
        if len(medians) > 1:
            mean = fmean(medians)
            squares += math.fsum((value - mean) ** 2 for value in medians)
            degrees += len(medians) - 1
    return math.sqrt(squares / degrees) if degrees >= LEAST_DEGREES and squares > 0 else None


def _median(metric: str, document: Baseline) -> float | None:
    """On the scale of comparison; ``None`` where a run lacks the metric or has a value that cannot be brought there."""
    values = [_value(metric, run) for run in document.runs]
    known = [value for value in values if value is not None]
    return median(known) if len(known) == len(values) else None


def _value(metric: str, run: BaselineRun) -> float | None:
    kind = MEANINGS[metric].kind
    if kind is Kind.RATE:
        parts = run.parts.get(metric)
        if parts is None or parts[0] > parts[1]:
            return None
        return math.log((parts[0] + 0.5) / (parts[1] - parts[0] + 0.5))
    statistic = "value" if statistics(CATALOGUE[metric]) == ("value",) else "p50"
    value = run.values.get(Cell(metric, statistic))
    return math.log(value) if kind is Kind.MAGNITUDE and value is not None and value > 0 else None
