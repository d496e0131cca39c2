"""The arithmetic of the rule against numbers worked out with a printed t table, and the rule's promises by simulation."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pytest_dynperf.verdict import noise
from pytest_dynperf.verdict.noise import Comparison, compare, decision_limit, minimum_detectable, screen_limit, shows_not_worse

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray


def flat(value: float) -> tuple[float, float, float]:
    return (value, value, value)


def test_one_session_has_the_prior_alone() -> None:
    found = compare(flat(0.060), [flat(0.050)], sign=1, prior_sd=0.04)
    assert found.delta == pytest.approx(0.1823216)  # log 1.2
    assert found.degrees == 4
    assert found.standard_error == pytest.approx(0.0565685)  # .04 √2
    assert found.margin(0.80) == pytest.approx(0.941 * 0.0565685, abs=3e-5)
    assert found.margin(0.95) == pytest.approx(2.132 * 0.0565685, abs=3e-5)
    assert found.margin(0.995) == pytest.approx(4.604 * 0.0565685, abs=3e-5)
    assert found.p_value == pytest.approx(0.0161, abs=2e-4)  # P(t(4) > 3.223)
    assert minimum_detectable(found, 0.05) == pytest.approx(0.26044 + 0.04865, abs=1e-4)


def test_three_sessions_scatter_plainly() -> None:
    # Medians 98, 100, 102: standard deviation of the logarithms .020003 (ddof 1); nothing is clipped below four sessions.
    found = compare(flat(95.0), [flat(100.0), flat(102.0), flat(98.0)], sign=-1, prior_sd=0.02)
    assert found.delta == pytest.approx(0.0512933)  # log(100 / 95), worse because throughput fell
    assert found.standard_error == pytest.approx(0.0230952, abs=2e-7)  # √((.0016 + 2 · .00040012) / 6 · 4/3)
    assert screen_limit(found, 0.03) == pytest.approx(0.906 * 0.0230952, abs=2e-5)
    assert decision_limit(found, 0.03) == pytest.approx(3.707 * 0.0230952, abs=2e-5)


def test_an_outlying_session_is_clipped() -> None:
    # MAD 0 is taken as 1e-4: the outlier at log 1.5 counts as 3e-4. Variance 1.8e-8, s² = (4 · .0004 + 4 · 1.8e-8) / 8.
    found = compare(flat(100.0), [*(flat(100.0),) * 4, flat(150.0)], sign=1, prior_sd=0.02)
    assert found.standard_error == pytest.approx(0.0154923, abs=2e-7)
    assert found.baseline == pytest.approx(math.log(100))


def test_clipping_by_mad() -> None:
    # Logarithms 0 .01 .02 .03 .5: median .02, MAD .01, width 3 · .014826 = .044478, so .5 counts as .064478.
    values = [0.0, 0.01, 0.02, 0.03, 0.064478]
    variance = sum((value - sum(values) / 5) ** 2 for value in values) / 4
    expected = math.sqrt((4 * 0.02**2 + 4 * variance) / 8 * 1.2)
    sessions = [flat(math.exp(value)) for value in (0.0, 0.01, 0.02, 0.03, 0.5)]
    assert compare(flat(1.0), sessions, sign=1, prior_sd=0.02).standard_error == pytest.approx(expected, rel=1e-9)


def test_four_sessions_are_clipped_and_three_are_not() -> None:
    # Four: MAD 0, the outlier counts as 3e-4. Three: it counts whole.
    four = compare(flat(1.0), [*(flat(1.0),) * 3, flat(1.5)], sign=1, prior_sd=0.02)
    assert four.standard_error == pytest.approx(math.sqrt((4 * 0.0004 + 3 * 2.25e-8) / 7 * 1.25), rel=1e-6)
    three = compare(flat(1.0), [*(flat(1.0),) * 2, flat(1.5)], sign=1, prior_sd=0.02)
    assert three.standard_error == pytest.approx(math.sqrt((4 * 0.0004 + 2 * math.log(1.5) ** 2 / 3) / 6 * 4 / 3), rel=1e-6)


def test_the_smallest_session_sets_the_floor() -> None:
    wide, longer = (90.0, 100.0, 110.0), (90.0, 100.0, 110.0) * 2  # variances .0100756 and .0080605
    expected = math.sqrt(1.08 * (0.0100756 + 0.0080605) / 2 / 3 * 2)
    assert compare(wide, [longer], sign=1, prior_sd=0.02).standard_error == pytest.approx(expected, rel=1e-4)
    assert compare(longer, [wide], sign=1, prior_sd=0.02).standard_error == pytest.approx(expected, rel=1e-4)


def test_spread_within_a_session_is_a_floor() -> None:
    wide = (90.0, 100.0, 110.0)  # variance of the logarithms .0100756
    both = compare(wide, [wide], sign=1, prior_sd=0.02)
    assert both.standard_error == pytest.approx(math.sqrt(1.08 * 0.0100756 / 3 * 2), rel=1e-4)
    candidate_alone = compare(wide, [flat(100.0)], sign=1, prior_sd=0.02)
    assert candidate_alone.standard_error == pytest.approx(math.sqrt(1.08 * 0.0100756 / 2 / 3 * 2), rel=1e-4)
    assert compare(wide, [wide], sign=1, prior_sd=0.2).standard_error == pytest.approx(0.2 * math.sqrt(2))


WILD = [(90.0, 100.0, 500.0), (99.0, 100.0, 101.0), (98.0, 100.0, 102.0), (99.0, 100.0, 101.0)]
"""Variances of the logarithms .9236541, .0001000, .0004001, .0001000: one run carries the mean."""


def the_floor_without_a_control_is_the_mean() -> None:
    # The candidate's is .0100756: the mean of the five is .1868660.
    found = compare((90.0, 100.0, 110.0), WILD, sign=1, prior_sd=0.02)
    assert found.standard_error == pytest.approx(math.sqrt(1.08 * 0.1868660 / 3 * 1.25), rel=1e-5)


def the_floor_with_a_control_is_the_median() -> None:
    # .0001000 .0001000 .0004001 .0100756 .9236541: the median is .00040012, over log 2 = .000577251, and 1.08 / 3 of it lies below the
    # prior, 4 · .0004 / 7 = .00022857 (the medians of the sessions agree). Runs of three times that scatter: 9 · .000577251 counts.
    found = compare((90.0, 100.0, 110.0), WILD, sign=1, prior_sd=0.02, duet=True)
    assert found.standard_error == pytest.approx(math.sqrt(4 * 0.0004 / 7 * 1.25), rel=1e-6)
    wider = [tuple(100 * (value / 100) ** 3 for value in runs) for runs in WILD]
    found = compare((90.0, 100.0, 110.0), wider, sign=1, prior_sd=0.02, duet=True)
    assert found.standard_error == pytest.approx(math.sqrt(1.08 * 9 * 0.00040012 / math.log(2) / 3 * 1.25), rel=1e-4)


def the_screen_has_a_share_of_the_tolerance() -> None:
    quiet = compare(flat(1.0), [flat(1.0)] * 10, sign=1, prior_sd=0.001)
    assert screen_limit(quiet, 0.03) == pytest.approx(0.5 * 0.03)
    assert screen_limit(quiet, 0.03, duet=True) == pytest.approx(0.4 * 0.03)
    # One session: t(.80, 4) = .941 and t(.75, 4) = .741
    loud = compare(flat(1.0), [flat(1.0)], sign=1, prior_sd=0.04)
    assert screen_limit(loud, 0.03) == pytest.approx(0.941 * 0.0565685, abs=3e-5)
    assert screen_limit(loud, 0.03, duet=True) == pytest.approx(0.741 * 0.0565685, abs=3e-5)


def test_the_floor_and_the_screen_by_hand() -> None:
    the_floor_without_a_control_is_the_mean()
    the_floor_with_a_control_is_the_median()
    the_screen_has_a_share_of_the_tolerance()


def always(*, robust: bool) -> Callable[..., float]:
    right = noise._within
    return lambda sessions, **_: right(sessions, robust=robust)


@pytest.mark.parametrize(
    ("name", "defect", "check"),
    [
        ("_within", always(robust=True), the_floor_without_a_control_is_the_mean),
        ("_within", always(robust=False), the_floor_with_a_control_is_the_median),
        ("_median_share", lambda _degrees: 1.0, the_floor_with_a_control_is_the_median),
        ("WITHIN_FACTOR", 1.0, the_floor_with_a_control_is_the_median),
        ("SCREEN_SHARE", 0.4, the_screen_has_a_share_of_the_tolerance),
        ("DUET_SCREEN_SHARE", 0.5, the_screen_has_a_share_of_the_tolerance),
        ("SCREEN_QUANTILE", 0.75, the_screen_has_a_share_of_the_tolerance),
        ("DUET_SCREEN_QUANTILE", 0.80, the_screen_has_a_share_of_the_tolerance),
    ],
)
def test_a_planted_defect_is_seen(name: str, defect: object, check: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    check()
    monkeypatch.setattr(noise, name, defect)
    with pytest.raises(AssertionError):
        check()


def test_medians_withstand_one_bad_run_of_three() -> None:
    assert compare((100.0, 100.0, 500.0), [(100.0, 100.0, 20.0)], sign=1, prior_sd=0.02).delta == 0.0


def test_tolerance_is_the_least_limit() -> None:
    quiet = compare(flat(1.0), [flat(1.0)] * 10, sign=1, prior_sd=0.001)
    assert screen_limit(quiet, 0.03) == 0.015
    assert decision_limit(quiet, 0.03) == pytest.approx(0.0295588)  # log 1.03
    assert shows_not_worse(quiet, 0.03)
    loud = compare(flat(1.0), [flat(1.0)] * 10, sign=1, prior_sd=0.1)
    assert not shows_not_worse(loud, 0.03)


@pytest.mark.parametrize("factor", [0.5, 0.97, 1.03, 2.0])
def test_sign_flips_with_the_direction(factor: float) -> None:
    up = compare(flat(100.0 * factor), [flat(100.0)], sign=1, prior_sd=0.02)
    down = compare(flat(100.0 * factor), [flat(100.0)], sign=-1, prior_sd=0.02)
    assert up.delta == pytest.approx(-down.delta)
    assert (up.delta > 0) is (factor > 1)
    assert up.in_unit(up.candidate) == pytest.approx(down.in_unit(down.candidate)) == pytest.approx(100.0 * factor)


def test_scale_does_not_matter() -> None:
    small = compare((1.0, 1.1, 1.2), [(1.0, 1.05, 0.9)] * 4, sign=1, prior_sd=0.02)
    large = compare((1e6, 1.1e6, 1.2e6), [(1e6, 1.05e6, 0.9e6)] * 4, sign=1, prior_sd=0.02)
    assert small.delta == pytest.approx(large.delta)
    assert small.standard_error == pytest.approx(large.standard_error)


@pytest.mark.parametrize(
    ("candidate", "sessions"),
    [
        (flat(0.0), [flat(1.0)]),
        (flat(-1.0), [flat(1.0)]),
        (flat(1.0), [flat(float("nan"))]),
        (flat(float("inf")), [flat(1.0)]),
        (flat(1.0), []),
        ((1.0,), [flat(1.0)]),
        (flat(1.0), [(1.0,)]),
    ],
)
def test_what_cannot_be_compared_is_refused(candidate: tuple[float, ...], sessions: list[tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match=r"positive and finite|needs"):
        compare(candidate, sessions, sign=1, prior_sd=0.02)


# ---- simulation: run noise t(5), 3 % outlier runs 5 to 25 % slower, standard deviation between sessions half that of runs


def sessions_of(random: Generator, count: int, run_cv: float) -> NDArray[np.float64]:
    """``count`` sessions of three runs around 1, as values."""
    noise = random.standard_t(5, size=(count, 3)) * math.sqrt(3 / 5) * run_cv
    outliers = (random.random((count, 3)) < 0.03) * random.uniform(0.05, 0.25, (count, 3))
    return np.asarray(np.exp(noise + outliers + random.normal(0.0, 0.5 * run_cv, (count, 1))), dtype=np.float64)


def draw(random: Generator, history: list[list[float]], run_cv: float, shift: float) -> Comparison:
    return compare((sessions_of(random, 1, run_cv)[0] * shift).tolist(), history, sign=1, prior_sd=0.02)


@pytest.mark.parametrize(("count", "expected"), [(1, 0.155), (3, 0.100), (5, 0.086), (10, 0.078)])
def test_minimum_detectable_change_is_the_published_one(count: int, expected: float) -> None:
    random = np.random.default_rng(20261121)
    found = [minimum_detectable(draw(random, sessions_of(random, count, 0.02).tolist(), 0.02, 1.0), 0.03) for _ in range(2_000)]
    assert float(np.median(found)) == pytest.approx(expected, abs=0.003)


def share_regressed(run_cv: float, shift: float, draws: int = 1_500) -> float:
    """Suspect in a first session, and confirmed in a fresh one against the same ten documents; tolerance 3 %."""
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(draws):
        history = sessions_of(random, 10, run_cv).tolist()
        first, fresh = draw(random, history, run_cv, shift), draw(random, history, run_cv, shift)
        hits += first.delta > screen_limit(first, 0.03) and fresh.delta > decision_limit(fresh, 0.03)
    return hits / draws


@pytest.mark.parametrize(("run_cv", "most"), [(0.01, 0.005), (0.02, 0.006), (0.04, 0.015), (0.08, 0.02)])
def test_false_alarms_are_rare(run_cv: float, most: float) -> None:
    assert share_regressed(run_cv, 1.0) <= most


@pytest.mark.parametrize(("shift", "least", "most"), [(1.05, 0.15, 0.45), (1.10, 0.75, 1.0)])
def test_power(shift: float, least: float, most: float) -> None:
    assert least <= share_regressed(0.02, shift, 800) <= most


# ---- the constants of the rule


VERDICT = Path(noise.__file__).parent


def repeated(modules: dict[str, str]) -> dict[str, list[str]]:
    """Constants that stand with the same number in more than one module, by name without its underscore."""
    found: dict[tuple[str, float], list[str]] = {}
    for module, text in modules.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, int | float):
                for name in (target.id for target in node.targets if isinstance(target, ast.Name)):
                    found.setdefault((name.removeprefix("_"), node.value.value), []).append(module)
    return {name: modules for (name, _), modules in found.items() if len(modules) > 1}


def test_a_constant_of_the_rule_stands_in_one_place() -> None:
    modules = {str(path): path.read_text() for path in sorted(VERDICT.glob("*.py"))}
    assert len(modules) > 20
    assert repeated(modules) == {}


def test_a_constant_that_stands_twice_is_found() -> None:
    once, again = "WITHIN_FACTOR = 1.08\n", "_WITHIN_FACTOR = 1.08  # for deployments\n"
    assert repeated({"noise": once, "run_noise": "from noise import WITHIN_FACTOR\n"}) == {}
    assert repeated({"noise": once, "run_noise": again}) == {"WITHIN_FACTOR": ["noise", "run_noise"]}
