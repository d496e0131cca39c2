"""The arithmetic of a duet: one by hand, and what a wrong constant would change."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import pvariance
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.quantity import Absent
from pytest_dynperf.verdict import duet_noise
from pytest_dynperf.verdict.duet_noise import CLEAR_QUANTILE, LOOK_ALPHA, Estimate, Finding, Look, clipped, estimate, looks_of, replay
from pytest_dynperf.verdict.sequential import LOOKS

if TYPE_CHECKING:
    from collections.abc import Callable

TOLERANCE = 0.03
RUN = 1e-4 / math.log(2)  # the unbiased variance of a run where the median session has 1e-4
FIVE = (0.04, 0.05, 0.06, 0.05, 0.20)
NEVER = (0.02, 0.03) * (LOOKS[-1] // 2)
"""With 25 times the variance, what no look decides."""

differences = st.lists(st.floats(-0.3, 0.3), min_size=LOOKS[-1], max_size=LOOKS[-1])


def looked(values: tuple[float, ...] | list[float], run: float = RUN, tolerance: float = TOLERANCE, *, blocks: bool = False) -> Look:
    look = replay(values, run, tolerance, blocks=blocks)
    assert isinstance(look, Look)
    return look


def by_hand() -> None:
    """Five pairs. Median .05, MAD .01: the last is clipped at .05 + 2.5 · 1.4826 · .01 = .087065."""
    found = estimate(FIVE, RUN)
    assert found.pairs == 5
    assert found.effect == pytest.approx(0.057413)
    # (20 · 1.442695e-4 + 4 · 3.247628e-4) / 14, of the clipped ones
    assert found.variance == pytest.approx(2.9888868e-4)
    assert found.standard_error == pytest.approx(0.0077316062)
    assert found.limit(TOLERANCE) == pytest.approx(0.0292826100)  # t(.999, 14) = 3.787390
    assert found.effect - found.margin(0.95) == pytest.approx(0.0437952446)  # t(.95, 14) = 1.761310
    assert found.p_value == pytest.approx(1.6116484e-6)
    assert found.finding(TOLERANCE) is Finding.REGRESSED


def only_at_looks() -> None:
    """Six pairs would decide what five leave open: se = sqrt(80 · RUN / 14 / 5) = .0128405, and sqrt(80 · RUN / 15 / 6) = .0113242."""
    six = (0.045,) * 6
    assert estimate(six[:5], RUN * 4).limit(TOLERANCE) == pytest.approx(0.0486320, abs=1e-6)  # t(.999, 14) = 3.787390
    assert estimate(six, RUN * 4).limit(TOLERANCE) == pytest.approx(0.0422713, abs=1e-6)  # t(.999, 15) = 3.732834
    assert estimate(six, RUN * 4).finding(TOLERANCE) is Finding.REGRESSED
    found = looked(six, RUN * 4)
    assert (found.finding, found.estimate.pairs) == (Finding.OPEN, 5)


def not_within_a_block() -> None:
    """Seven pairs decide side by side what five leave open; in blocks the second is not whole then."""
    ten = (0.045,) * 10
    for count, blocks, finding, at in (
        (7, False, Finding.REGRESSED, 7),
        (7, True, Finding.OPEN, 5),
        (9, True, Finding.OPEN, 5),
        (10, True, Finding.REGRESSED, 10),
    ):
        found = looked(ten[:count], RUN * 4, blocks=blocks)
        assert (found.finding, found.estimate.pairs) == (finding, at)


def constants() -> None:
    """What docs/calibration.md asks for."""
    assert (LOOK_ALPHA, CLEAR_QUANTILE, LOOKS) == (0.001, 0.95, (5, 7, 10, 15, 20, 30))
    assert looks_of(blocks=False) == LOOKS
    assert looks_of(blocks=True) == (5, 10, 15, 20, 30)


def test_the_constants() -> None:
    constants()


def test_five_pairs_by_hand() -> None:
    by_hand()
    only_at_looks()
    not_within_a_block()


def test_unchanged_needs_more_than_a_small_effect() -> None:
    # se = sqrt((20 · RUN) / 14 / 5): .0064; 1.7613 se = .0113
    assert looked((0.0,) * 5).finding is Finding.UNCHANGED
    assert looked((0.018,) * 5).finding is Finding.UNCHANGED
    assert looked((0.0190,) * 5).finding is Finding.OPEN
    assert looked((-0.5,) * 5).finding is Finding.UNCHANGED


def test_a_change_below_half_of_the_tolerance_is_never_regressed() -> None:
    for count in (5, 20):
        assert looked((0.0149,) * count, 1e-9).finding is Finding.UNCHANGED
        assert looked((0.0151,) * count, 1e-9).finding is Finding.REGRESSED


def test_no_noise_at_all() -> None:
    for effect, p in ((0.02, 0.0), (0.0, 0.5), (-0.02, 1.0)):
        assert Estimate(effect=effect, variance=0.0, pairs=5).p_value == p
    assert looked((0.02,) * 5, 0.0).finding is Finding.REGRESSED
    assert looked((0.0,) * 5, 0.0).finding is Finding.UNCHANGED


def test_pairs_that_agree_do_not_clip_the_others_to_nothing() -> None:
    assert clipped([0.0, 0.0, 0.0, 0.005, 0.2]) == pytest.approx([0.0, 0.0, 0.0, 0.005, 0.0075])


def test_the_first_look_that_finds_something_counts() -> None:
    assert replay(FIVE[:4], RUN, TOLERANCE) is None
    assert looked(FIVE).estimate.pairs == 5
    # Runs scatter by .06: after 30 pairs se = .0079, so .025 is neither shown to lie below .03 (1.68 se) nor above 0 (3.31 se).
    assert [looked(NEVER[:count], RUN * 25).estimate.pairs for count in (5, 6, 7, 9, 10, 14, 15, 19, 20, 29, 30)] == [
        *(5, 5, 7, 7, 10, 10, 15, 15, 20, 20, 30)
    ]
    assert looked((*FIVE, *(-1.0,) * 15)).finding is Finding.REGRESSED
    assert looked((*(0.0,) * 5, *(1.0,) * 15)).finding is Finding.UNCHANGED
    assert looked((*NEVER, *(9.0,) * 30), RUN * 25) == looked(NEVER, RUN * 25)


def test_pairs_of_a_block_share_their_deployments() -> None:
    side, blocks = (estimate(FIVE * 4, RUN, deployment=deployment) for deployment in (0.0, 4e-4))
    # Four blocks: the variance of the mean grows by 2 · 4e-4 / 4.
    assert blocks.standard_error**2 - side.standard_error**2 == pytest.approx(2e-4)
    assert blocks.effect == side.effect


@pytest.mark.parametrize("at", [3, 6])
def test_a_pair_without_a_value_is_absent_unless_an_earlier_look_decided(at: int) -> None:
    hole = Absent("candidate pair-4: it has no number")
    values: list[float | Absent] = [0.019] * 7
    values[at] = hole
    assert replay(values, RUN, TOLERANCE) is hole
    decided: list[float | Absent] = [*FIVE, 0.0, hole]
    assert isinstance(replay(decided, RUN, TOLERANCE), Look)
    beyond: list[float | Absent] = [*NEVER, hole]
    assert isinstance(replay(beyond, RUN * 25, TOLERANCE), Look)


@given(differences)
def test_turning_the_arms_round_turns_the_sign(values: list[float]) -> None:
    there, back = estimate(values, RUN), estimate([-value for value in values], RUN)
    assert back.effect == -there.effect
    assert back.variance == pytest.approx(there.variance)


@given(differences, st.randoms(use_true_random=False))
def test_the_order_of_pairs_within_a_look_does_not_matter(values: list[float], random: object) -> None:
    other = []
    for start, end in pairwise((0, *LOOKS)):
        block = values[start:end]
        random.shuffle(block)  # type: ignore[attr-defined]
        other += block
    assert looked(values) == looked(other)


@given(differences, st.integers(5, LOOKS[-1]))
def test_more_pairs_never_change_what_a_look_has_decided(values: list[float], count: int) -> None:
    early, late = looked(values[:count]), looked(values)
    if early.finding is not Finding.OPEN:
        assert late == early
    assert late.estimate.pairs >= early.estimate.pairs


@given(differences, st.floats(0.0, 0.2))
def test_a_worse_candidate_is_never_judged_better(values: list[float], worse: float) -> None:
    """All pairs worse by the same: the scatter stays, the effect grows."""
    rank = {Finding.UNCHANGED: 0, Finding.OPEN: 1, Finding.REGRESSED: 2}
    for count in LOOKS:
        before, after = (estimate([value + by for value in values[:count]], RUN) for by in (0.0, worse))
        assert after.effect == pytest.approx(before.effect + worse, abs=1e-9)
        if worse > 1e-6:
            assert rank[after.finding(TOLERANCE)] >= rank[before.finding(TOLERANCE)]
            assert after.p_value <= before.p_value + 1e-12


@pytest.mark.parametrize(
    ("name", "defect", "check"),
    [
        ("LOOK_ALPHA", 0.003, by_hand),
        ("LOOK_ALPHA", 0.0015, by_hand),  # for four looks
        ("CLEAR_QUANTILE", 0.5, test_unchanged_needs_more_than_a_small_effect),
        ("variance", pvariance, by_hand),
        ("_CLIP_WIDTH", math.inf, by_hand),
        ("NORMAL_MAD", 1.0, by_hand),
        ("_LEAST_MAD", 0.0, test_pairs_that_agree_do_not_clip_the_others_to_nothing),
        ("_PRIOR_WEIGHT", 4, by_hand),
        ("LOOKS", tuple(range(5, 31)), only_at_looks),
        ("looks_of", lambda *, blocks: LOOKS, not_within_a_block),
        ("BLOCK", 1, test_pairs_of_a_block_share_their_deployments),
    ],
)
def test_a_planted_defect_is_seen(name: str, defect: object, check: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    check()
    monkeypatch.setattr(duet_noise, name, defect)
    with pytest.raises(AssertionError):
        check()
