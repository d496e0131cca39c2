"""What sessions show of the noise of runs and of deployments, and what cannot be read."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.quantity import Absent
from pytest_dynperf.verdict.noise import run_variance
from pytest_dynperf.verdict.run_noise import noise_of, planned_noise, read, read_value, sessions_of
from pytest_dynperf.verdict.scale import Ruler
from pytest_dynperf.verdict.verdict import Scale
from tests.fakes.observations import ITL, TTFT, document_of, run_of

HIT_RATE = Cell("prefix_cache_hit_rate.v1", "value")
LOG = Ruler(scale=Scale.LOG, sign=1, prior_sd=0.02)
ODDS = Ruler(scale=Scale.LOG_ODDS, sign=-1, prior_sd=0.08)
POINTS = Ruler(scale=Scale.POINTS, sign=-1, prior_sd=0.08)


def test_three_runs_are_divided_by_the_log_of_two() -> None:
    assert run_variance([(-0.01, 0.0, 0.01)]) == pytest.approx(1e-4 / 0.6931472)
    # chi2.ppf(.5, 4) / 4 = .8391734
    assert run_variance([(-0.01, -0.01, 0.0, 0.01, 0.01)]) == pytest.approx(1e-4 / 0.8391734)


def test_the_median_session_counts() -> None:
    assert run_variance([(0.0, 0.0, 0.0), (-0.01, 0.0, 0.01), (-9.0, 0.0, 9.0)]) == pytest.approx(1e-4 / math.log(2))


@pytest.mark.parametrize("runs", [3, 5])
def test_the_factor_makes_a_median_of_variances_unbiased(runs: int) -> None:
    rng = np.random.default_rng(20261121)
    found = [run_variance(session.tolist()) for session in rng.normal(0.0, 0.02, (200, 21, runs))]
    assert np.mean(found) == pytest.approx(4e-4, rel=0.08)
    assert np.mean([np.median(session.var(axis=1, ddof=1)) for session in rng.normal(0.0, 0.02, (200, 21, 3))]) < 3.2e-4  # without it


def test_too_little_to_say_how_runs_scatter() -> None:
    assert noise_of([]) is None
    for sessions in ([], [(0.0,)]):
        with pytest.raises(ValueError, match="two runs in every session"):
            run_variance(sessions)


def test_how_deployments_scatter() -> None:
    one = noise_of([(-0.01, 0.0, 0.01)])
    assert one is not None
    assert one.deployment == pytest.approx(one.run / 4)
    # Medians 0, .02, .04: s^2 = 4e-4; beyond their runs 4e-4 - 1.08 · 1.442695e-4 / 3; (run + 2 · that) / 6
    three = noise_of([(middle - 0.01, middle, middle + 0.01) for middle in (0.0, 0.02, 0.04)])
    assert three is not None
    assert three.deployment == pytest.approx((1.442695e-4 + 2 * (4e-4 - 1.08 * 1.442695e-4 / 3)) / 6)
    assert three.deployment_sd == pytest.approx(math.sqrt(three.deployment))
    quiet = noise_of([(-0.01, 0.0, 0.01)] * 5)
    assert quiet is not None
    assert quiet.deployment == pytest.approx(quiet.run / 8)  # four parts prior, four of history that shows none


def test_the_judged_session_shows_runs_but_not_sessions() -> None:
    alone = noise_of([], own=(0.5, 0.51, 0.52))
    assert alone is not None
    assert alone.run_sd == pytest.approx(0.01 / math.sqrt(math.log(2)))
    history = [(-0.01, 0.0, 0.01)] * 3
    assert noise_of(history, own=(0.99, 1.0, 1.01)) == noise_of(history)


def test_documents_that_do_not_hold_the_cell_take_no_part() -> None:
    good = document_of({ITL: (0.010, 0.011, 0.012)})
    bad = (
        document_of({TTFT: (0.1, 0.1, 0.1)}),
        document_of({ITL: (0.010, 0.011)}),
        document_of({ITL: (0.010, 0.011, 0.0)}),
        document_of({ITL: (0.010, 0.011, math.nan)}),
        replace(good, units={ITL.metric: "ms"}),
    )
    found = sessions_of(ITL, (good, *bad), MEANINGS[ITL.metric], LOG)
    assert found == [pytest.approx([math.log(0.010), math.log(0.011), math.log(0.012)])]
    planned = planned_noise(ITL, (good, *bad))
    assert planned is not None
    assert planned.run == run_variance(found)
    assert planned_noise(ITL, bad) is None
    assert planned_noise(HIT_RATE, (good,)) is None
    assert planned_noise(Cell("nothing.v1", "value"), (good,)) is None


def test_rates_are_read_by_their_parts() -> None:
    meaning = MEANINGS[HIT_RATE.metric]
    run = replace(run_of({HIT_RATE: 0.9}), parts={meaning.id: (90.0, 100.0)})
    assert read(HIT_RATE, run, meaning, ODDS) == pytest.approx(-math.log(90.5 / 10.5))
    assert read(HIT_RATE, run, meaning, POINTS) == -0.9
    for broken in (replace(run, parts={}), run_of({}), replace(run, parts={meaning.id: (9.0, 0.0)})):
        assert isinstance(read(HIT_RATE, broken, meaning, ODDS), Absent)


def test_values_that_come_without_parts() -> None:
    assert read_value(0.9, ODDS) == pytest.approx(-math.log(9))
    assert read_value(0.0, POINTS) == 0.0
    assert read_value(2.0, LOG) == pytest.approx(math.log(2))
    for value, ruler in ((0.0, ODDS), (1.0, ODDS), (0.0, LOG), (math.nan, LOG)):
        assert isinstance(read_value(value, ruler), Absent)
