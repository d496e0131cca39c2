"""What can be detected is what is found: the promise is held against simulated duets."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.verdict import detectable
from pytest_dynperf.verdict.detectable import (
    detectable_by_duet,
    detectable_by_fresh_session,
    duet_mde,
    pairs_needed,
    power,
)
from pytest_dynperf.verdict.duet_noise import LOOK_ALPHA, Finding, Look, estimate, replay
from pytest_dynperf.verdict.sequential import LOOKS

CASES = [(0.01, 0.03, 30), (0.02, 0.03, 30), (0.02, 0.05, 20), (0.03, 0.03, 10), (0.05, 0.03, 30), (0.05, 0.03, 7)]


def found_share(change: float, run_sd: float, tolerance: float, pairs: int, *, repetitions: int = 600) -> float:
    """Of normal duets in which the noise of runs is known from the sessions."""
    rng = np.random.default_rng(20261121)
    found = 0
    for noise in rng.normal(change, run_sd * math.sqrt(2), (repetitions, pairs)):
        look = replay(noise.tolist(), run_sd**2, tolerance)
        assert isinstance(look, Look)
        found += look.finding is Finding.REGRESSED
    return found / repetitions


def of_size(run_sd: float, tolerance: float, pairs: int) -> float:
    size = detectable_by_duet(run_sd, pairs, tolerance)
    assert size is not None
    return size


def test_by_hand_where_noise_is_large() -> None:
    # se = .08 · sqrt(2 / 30) = .0206559; 39 degrees of freedom: (3.312788 + .850935) se
    assert of_size(0.08, 0.03, 30) == pytest.approx(0.086005, abs=1e-6)
    # se = .08 · sqrt(2 / 5) = .0505964; 14 degrees of freedom: (3.787390 + .868055) se
    assert of_size(0.08, 0.03, 5) == pytest.approx(0.235549, abs=1e-5)
    assert of_size(0.0, 0.03, LOOKS[-1]) == 0.015
    assert duet_mde(2 * 0.08**2, 0.03) == of_size(0.08, 0.03, LOOKS[-1])


@pytest.mark.parametrize(("run_sd", "tolerance", "pairs"), CASES)
def test_four_of_five_regressions_of_that_size_are_found(run_sd: float, tolerance: float, pairs: int) -> None:
    assert 0.75 < found_share(of_size(run_sd, tolerance, pairs), run_sd, tolerance, pairs) < 0.87


def test_without_what_an_early_look_lets_pass_the_promise_would_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The closed formula alone finds two of five where it promises four: .015 + .850935 · .01 · sqrt(2 / 30)."""
    monkeypatch.setattr(detectable, "_found_with_power", lambda _sd, _tolerance, _cap, least: least)
    size = of_size(0.01, 0.03, 30)
    assert size == pytest.approx(0.017197, abs=1e-5)
    assert found_share(size, 0.01, 0.03, 30) < 0.5


@pytest.mark.parametrize("change", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("pairs", [5, 7, 30])
def test_power_is_the_share_that_is_found(change: float, pairs: int) -> None:
    assert power(change, 2 * 0.02**2, 0.03, pairs=pairs) == pytest.approx(found_share(change, 0.02, 0.03, pairs), abs=0.05)


def test_power_of_a_false_alarm_is_bounded_by_the_looks() -> None:
    for run_sd in (0.005, 0.02, 0.08):
        assert 0 <= power(0.0, 2 * run_sd**2, 0.03) <= len(LOOKS) * LOOK_ALPHA


def test_nothing_is_detected_before_the_first_look() -> None:
    for pairs in (0, 4):
        assert detectable_by_duet(0.02, pairs, 0.03) is None
        assert power(0.5, 0.0008, 0.03, pairs=pairs) == 0.0
    assert of_size(0.02, 0.03, 6) == of_size(0.02, 0.03, 5)
    assert of_size(0.02, 0.03, 9) == of_size(0.02, 0.03, 7)
    assert of_size(0.02, 0.03, 99) == of_size(0.02, 0.03, LOOKS[-1])


def test_pairs_that_are_needed() -> None:
    assert pairs_needed(0.005, 0.05, 0.03) == 5
    assert pairs_needed(0.08, 0.05, 0.03) is None
    assert pairs_needed(0.08, 0.10, 0.03) == 30
    assert pairs_needed(0.08, 0.12, 0.03) == 20
    assert pairs_needed(0.02, 0.05, 0.03) == 7
    assert pairs_needed(0.02, 0.014, 0.03) is None  # below half of the tolerance nothing is ever red
    needed = pairs_needed(0.03, 0.05, 0.03)
    assert needed is not None
    assert of_size(0.03, 0.03, needed) <= math.log1p(0.05) < of_size(0.03, 0.03, needed - 1)


def test_blocks_detect_less() -> None:
    side, blocks = (detectable_by_duet(0.02, 20, 0.03, deployment_sd=sd) for sd in (0.0, 0.02))
    assert side is not None
    assert blocks is not None
    assert blocks > 1.5 * side
    # As the estimate has it: 2 · .02^2 a block, four blocks.
    measured = estimate([0.0] * 20, 0.02**2, deployment=0.02**2)
    assert measured.variance == pytest.approx(2 * 0.02**2 * 10 / 29 + 10 * 0.02**2)
    assert pairs_needed(0.02, 0.05, 0.03, deployment_sd=0.02) is None


def test_blocks_have_no_look_at_seven_pairs() -> None:
    noise = {"deployment_sd": 0.005}
    assert detectable_by_duet(0.02, 7, 0.03, **noise) == detectable_by_duet(0.02, 5, 0.03, **noise)
    assert detectable_by_duet(0.02, 7, 0.03) != detectable_by_duet(0.02, 5, 0.03)
    assert (pairs_needed(0.02, 0.05, 0.03), pairs_needed(0.02, 0.05, 0.03, **noise)) == (7, 10)
    of_blocks, of_pairs = (duet_mde(2 * 0.01**2, 0.03, blocks=blocks) for blocks in (True, False))
    assert of_blocks is not None
    assert of_pairs is not None
    assert of_blocks < of_pairs, "one look less that may let a regression pass"


@settings(max_examples=50, deadline=None)
@given(st.floats(0.001, 0.2), st.floats(0.01, 0.1), st.sampled_from(LOOKS))
def test_it_is_never_less_than_the_formula_nor_far_beyond_it(run_sd: float, tolerance: float, pairs: int) -> None:
    variance = 2 * run_sd**2
    size = duet_mde(variance, tolerance, pairs=pairs)
    assert size is not None
    assert size > tolerance / 2
    assert size < 1.6 * max(tolerance / 2, 4.5 * math.sqrt(variance / pairs)) + math.sqrt(variance / pairs)
    assert power(size, variance, tolerance, pairs=pairs) >= 0.799
    # Not for a little more noise: it makes an early *unchanged* harder as well.
    noisier = duet_mde(variance * 9, tolerance, pairs=pairs)
    assert noisier is not None
    assert noisier > size


@pytest.mark.parametrize(("sessions", "expected"), [(1, 0.155), (3, 0.100), (5, 0.0851), (10, 0.0722)])
def test_a_fresh_session_detects_what_the_rule_says(sessions: int, expected: float) -> None:
    """K = 1: max(log 1.03, 4.6041 · .02 sqrt 2) + .86 · .02 sqrt 2 = .1545."""
    found = detectable_by_fresh_session(prior_sd=0.02, sessions=sessions, runs=3, tolerance=0.03, session_sd=0.0167, run_sd=0.02)
    assert found == pytest.approx(expected, abs=5e-4)


def test_a_fresh_session_by_hand() -> None:
    # K = 3, all as the prior has it: s = .02, se = .02 sqrt(4 / 3) = .0230940, t(.995, 6) = 3.707428
    assert detectable_by_fresh_session(prior_sd=0.02, sessions=3, runs=3, tolerance=0.03) == pytest.approx(4.567428 * 0.0230940)
    # Runs that scatter by 20 % raise the floor: 1.08 · .04 / 3 = .0144, se = .12 sqrt(4 / 3)
    noisy = detectable_by_fresh_session(prior_sd=0.02, sessions=3, runs=3, tolerance=0.03, run_sd=0.2)
    assert noisy == pytest.approx(4.567428 * 0.12 * math.sqrt(4 / 3))
    # Quiet sessions: the tolerance is the limit.
    quiet = detectable_by_fresh_session(prior_sd=1e-4, sessions=10, runs=3, tolerance=0.03, session_sd=1e-4)
    assert quiet == pytest.approx(math.log(1.03) + 0.86 * 1e-4 * math.sqrt(1.1))


def test_a_fresh_session_decides_nothing_without_baselines_or_runs() -> None:
    assert detectable_by_fresh_session(prior_sd=0.02, sessions=0, runs=3, tolerance=0.03) is None
    assert detectable_by_fresh_session(prior_sd=0.02, sessions=5, runs=2, tolerance=0.03) is None


def test_the_table_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "decision-rule.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| tolerance (\d) %, runs that scatter by (\d) % \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) == 4
    for tolerance, scatter, shown in rows:
        run_sd = int(scatter) / 100
        sizes = [detectable_by_duet(run_sd, pairs, int(tolerance) / 100) for pairs in (5, 10, 20, 30)]
        sizes.append(detectable_by_duet(run_sd, 30, int(tolerance) / 100, deployment_sd=run_sd / 2))
        assert shown.split(" | ") == [f"{100 * math.expm1(size):.1f} %" for size in sizes if size is not None]
