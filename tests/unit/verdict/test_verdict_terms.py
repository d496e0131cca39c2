"""Which scatter of sessions a gate is judged with: that of its own cell, else that of the median, widened for a tail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_dynperf.baseline.found import Found
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.verdict.judge import judge
from pytest_dynperf.verdict.terms import CATALOGUE_TERMS, Terms, tail_factor
from pytest_dynperf.verdict.verdict import CellVerdict
from pytest_dynperf.verdict.weigh import candidate_values
from tests.fakes.observations import KEY, TTFT, document_of, measurement_of

MEANING = MEANINGS[TTFT.metric]
P90 = Cell(TTFT.metric, "p90")


@pytest.mark.parametrize(
    ("statistic", "factor"),
    [("p50", 1.0), ("value", 1.0), ("mean", 1.0), ("max", 1.0), ("p90", 1.364), ("p10", 1.364), ("p95", 1.686), ("p99", 2.979)],
)
def test_the_factor_of_a_tail(statistic: str, factor: float) -> None:
    assert tail_factor(statistic) == pytest.approx(factor, abs=1e-3)


def test_lognormal_tails_scatter_by_that_factor() -> None:
    drawn = np.random.default_rng(20261121).normal(0.0, 0.3, (4000, 1000))
    middle, p90, p95 = np.percentile(drawn, (50, 90, 95), axis=1).std(axis=1)
    assert p90 / middle == pytest.approx(tail_factor("p90"), rel=0.05)
    assert p95 / middle == pytest.approx(tail_factor("p95"), rel=0.05)


def test_history_of_the_cell_before_that_of_the_median_before_the_guess() -> None:
    assert CATALOGUE_TERMS.prior_of(MEANING, "p50") == MEANING.prior_sd
    assert CATALOGUE_TERMS.prior_of(MEANING, "p90") == pytest.approx(1.364 * MEANING.prior_sd, rel=1e-3)
    pooled = Terms(prior_sd={MEANING.id: 0.01})
    assert pooled.prior_of(MEANING, "p50") == 0.01
    assert pooled.prior_of(MEANING, "p90") == pytest.approx(0.01364, rel=1e-3)
    own = Terms(prior_sd={MEANING.id: 0.01, f"{MEANING.id}/p90": 0.05})
    assert (own.prior_of(MEANING, "p50"), own.prior_of(MEANING, "p90")) == (0.01, 0.05)


def test_a_gate_on_p90_is_not_judged_by_the_scatter_of_the_median() -> None:
    values = {TTFT: (0.05, 0.05, 0.05), P90: (0.05, 0.05, 0.05)}
    seen = {cell: candidate_values(Gate(cell=cell, tolerance=0.08), measurement_of(values), CATALOGUE_TERMS) for cell in (TTFT, P90)}
    priors = [one.prior_sd for one in seen.values() if not isinstance(one, CellVerdict)]
    assert priors == [0.04, pytest.approx(0.05456, rel=1e-3)]
    gates = tuple(Gate(cell=cell, tolerance=0.08) for cell in (TTFT, P90))
    verdict = judge(measurement_of(values), Found(documents=(document_of(values),)), Expectation(gates=gates), key=KEY)
    median, tail = verdict.cells
    assert tail.interval is not None
    assert median.interval is not None
    assert tail.interval[1] == pytest.approx(1.364 * median.interval[1], rel=1e-3)
    assert math.isclose(median.interval[1], 2.131847 * 0.04 * math.sqrt(2), rel_tol=1e-4)
