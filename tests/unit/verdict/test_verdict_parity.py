"""Tango's bound against published intervals, an inversion of the likelihood by brute force, and parity's outcomes."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.quantity import Absent
from pytest_dynperf.verdict.answers import Answer, PairedCounts, pair_answers, pairs_by_subject
from pytest_dynperf.verdict.parity import Nondeterminism, fixed_limits, judge_parity, mcnemar, noise_of_nondeterminism
from pytest_dynperf.verdict.tango import pairs_needed, passing_power, score, upper_bound
from pytest_dynperf.verdict.verdict import Outcome


def counts(n: int, losses: int = 0, gains: int = 0, *, unreadable_reference: int = 0, unreadable_candidate: int = 0) -> PairedCounts:
    return PairedCounts(
        n=n, losses=losses, gains=gains, unreadable_reference=unreadable_reference, unreadable_candidate=unreadable_candidate
    )


# ---- the bound


@pytest.mark.parametrize(
    ("losses", "gains", "n", "low", "high"),
    [
        # Newcombe 1998, N = 50, b = 12, c = 2; Bentur 2009 and Cavo 2012 in Fagerland, Lydersen and Laake, chapter 8 (signs turned there)
        (12, 2, 50, 0.0611, 0.3447),
        (7, 1, 21, 0.0260, 0.5172),
        (16, 6, 161, 0.0054, 0.1240),
    ],
)
def test_published_intervals(losses: int, gains: int, n: int, low: float, high: float) -> None:
    assert upper_bound(losses, gains, n, level=0.975) == pytest.approx(high, abs=5e-5)
    assert -upper_bound(gains, losses, n, level=0.975) == pytest.approx(low, abs=5e-5)


def test_published_statistic() -> None:
    """Tango 1998: contact lenses, 44 pairs, one discordant, to the disadvantage of the new one; margin .1, Z = 1.709."""
    assert float(score(1, 0, 44, 0.1)) == pytest.approx(-1.709, abs=5e-4)


def by_brute_force(losses: int, gains: int, n: int, loss: float) -> float:
    """The same statistic with the likelihood maximised by looking: no formula shared with the code."""
    low, high = 0.0, (1 - loss) / 2
    for _ in range(12):
        grid = np.linspace(low, high, 401)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = [
                count * np.log(share) if count else np.zeros_like(grid)
                for count, share in ((losses, grid + loss), (gains, grid), (n - losses - gains, 1 - 2 * grid - loss))
            ]
        best = int(np.argmax(np.nan_to_num(sum(terms), nan=-np.inf)))
        step = grid[1] - grid[0]
        low, high = max(0.0, grid[best] - step), min((1 - loss) / 2, grid[best] + step)
        found = float(grid[best])
    return (losses - gains - n * loss) / math.sqrt(n * (2 * found + loss - loss * loss))


@pytest.mark.parametrize(("losses", "gains", "n"), [(0, 0, 268), (3, 0, 100), (0, 4, 100), (6, 4, 500), (30, 5, 500), (12, 2, 50)])
def test_bound_by_brute_force(losses: int, gains: int, n: int) -> None:
    bound = upper_bound(losses, gains, n)
    for shift, side in ((-1e-4, 1), (1e-4, -1)):
        if bound + shift > 0:
            assert (by_brute_force(losses, gains, n, bound + shift) + 1.6448536) * side > 0


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.data())
def test_bound_lies_above_the_loss_and_rises_with_it(n: int, data: st.DataObject) -> None:
    losses = data.draw(st.integers(0, n))
    gains = data.draw(st.integers(0, n - losses))
    bound = upper_bound(losses, gains, n)
    assert (losses - gains) / n < bound <= 1 or losses == n
    if losses + gains < n:
        assert upper_bound(losses + 1, gains, n) > bound
    if gains:
        assert upper_bound(losses, gains - 1, n) > bound


def test_without_discordance_268_items_are_needed() -> None:
    assert upper_bound(0, 0, 267) > 0.01 > upper_bound(0, 0, 268)
    assert judge_parity(counts(268)).outcome is Outcome.UNCHANGED
    short = judge_parity(counts(267))
    assert (short.outcome, short.n_needed) == (Outcome.INCONCLUSIVE, 268)


# ---- power


@pytest.mark.parametrize(("n", "discordance", "limit"), [(40, 0.2, 0.15), (300, 0.004, 0.01), (60, 1.0, 0.2)])
def test_power_by_summing_all_tables(n: int, discordance: float, limit: float) -> None:
    total = 0.0
    for losses, gains in product(range(n + 1), repeat=2):
        rest = n - losses - gains
        if rest >= 0 and (rest == 0 or discordance < 1):
            ways = math.lgamma(n + 1) - math.lgamma(losses + 1) - math.lgamma(gains + 1) - math.lgamma(rest + 1)
            log_share = ways + (losses + gains) * math.log(discordance / 2) + (rest * math.log1p(-discordance) if rest else 0.0)
            if log_share > -40:
                total += math.exp(log_share) * (upper_bound(losses, gains, n) < limit)
    assert passing_power(n, discordance, limit) == pytest.approx(total, abs=1e-9)


def test_power_at_the_sizes_of_the_usual_formula() -> None:
    """6.18 · discordance / limit² promises 80 %, and Tango's bound keeps two thirds and three quarters of it."""
    assert passing_power(618, 0.01, 0.01) == pytest.approx(0.673, abs=0.001)
    assert passing_power(1236, 0.02, 0.01) == pytest.approx(0.775, abs=0.001)
    assert passing_power(14_042, 0.02, 0.01) > 0.999


@pytest.mark.parametrize("discordance", [0.0, 0.01, 0.02, 0.1, 1.0])
def test_pairs_needed_reach_their_power(discordance: float) -> None:
    needed = pairs_needed(discordance, 0.01)
    assert passing_power(needed, discordance, 0.01) >= 0.8 > passing_power(needed - 1, discordance, 0.01)


def test_the_documented_numbers() -> None:
    assert [pairs_needed(discordance, 0.01) for discordance in (0.0, 0.01, 0.02, 0.1)] == [268, 804, 1354, 6203]


def test_pairs_needed_have_an_end() -> None:
    with pytest.raises(ValueError, match="more than 100000000 pairs"):
        pairs_needed(0.5, 1e-6)
    with pytest.raises(ValueError, match="no shares"):
        pairs_needed(0.5, 0.0)


# ---- outcomes


def test_mcnemar() -> None:
    assert 2 * mcnemar(16, 6) == pytest.approx(0.052479, abs=1e-6)  # Cavo 2012, exact and two-sided
    assert mcnemar(5, 0) == pytest.approx(1 / 32)
    assert mcnemar(0, 5) == mcnemar(0, 0) == 1.0


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (counts(1000, 2, 2), Outcome.UNCHANGED),
        (counts(1000, 0, 60), Outcome.UNCHANGED),  # a gain is no loss
        (counts(1000, 30, 5), Outcome.REGRESSED),
        (counts(1000, 11, 0), Outcome.REGRESSED),
        (counts(1000, 10, 0), Outcome.INCONCLUSIVE),  # significant, and not above the limit
        (counts(1000, 40, 28), Outcome.INCONCLUSIVE),  # above the limit, and chance does as much
        (counts(100, 0, 0), Outcome.INCONCLUSIVE),  # nothing found is nothing shown
        (counts(1000, 9, 9), Outcome.UNCHANGED),
    ],
)
def test_outcomes(found: PairedCounts, outcome: Outcome) -> None:
    verdict = judge_parity(found)
    assert verdict.outcome is outcome
    assert verdict.reasons
    assert verdict.loss == (found.losses - found.gains) / found.n
    assert verdict.upper_bound is not None
    assert (verdict.upper_bound < 0.01) is (outcome is Outcome.UNCHANGED)


def test_swapped_arms_are_not_the_same() -> None:
    """A judge that took losses for gains would let every regression pass."""
    assert judge_parity(counts(1000, 30, 5)).outcome is Outcome.REGRESSED
    assert judge_parity(counts(1000, 5, 30)).outcome is Outcome.UNCHANGED


def test_inconclusive_says_how_many_items_would_do() -> None:
    verdict = judge_parity(counts(300, 2, 2))
    assert verdict.n_needed == pairs_needed(4 / 300, 0.01)
    assert str(verdict.n_needed) in verdict.reasons[0]
    assert verdict.agreement == pytest.approx(296 / 300)
    assert "as many" in judge_parity(counts(1000, 6, 0)).reasons[0]


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.1, math.nan])
def test_a_limit_that_is_no_share(limit: float) -> None:
    with pytest.raises(ValueError, match=r"one point is 0\.01"):
        judge_parity(counts(1000), limit=limit)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (counts(0), "nothing was compared"),
        (counts(10, 6, 6), "no counts out of 10"),
        (counts(10, -1), "no counts"),
        (counts(1000, unreadable_candidate=11), "11 of 1000 answers of the candidate could not be read (1.1%, allowed 1.0%)"),
        (counts(1000, unreadable_reference=11), "of the reference"),
    ],
)
def test_invalid(found: PairedCounts, reason: str) -> None:
    verdict = judge_parity(found)
    assert verdict.outcome is Outcome.INVALID
    assert reason in verdict.reasons[0]
    assert verdict.loss is verdict.upper_bound is verdict.p_value is verdict.n_needed is None


def test_a_few_unreadable_answers_are_counted_apart() -> None:
    verdict = judge_parity(counts(1000, 3, 3, unreadable_candidate=10))
    assert (verdict.outcome, verdict.unreadable_candidate) == (Outcome.UNCHANGED, 10)


# ---- pairing


def answers(text: str, prefix: str = "q") -> tuple[Answer, ...]:
    """``+`` right, ``-`` wrong, ``?`` unreadable."""
    return tuple(Answer(item=f"{prefix}{index}", correct={"+": True, "-": False, "?": None}[sign]) for index, sign in enumerate(text))


def test_pairs_by_item_and_not_by_order() -> None:
    found = pair_answers(answers("++--+?"), tuple(reversed(answers("+-+-?+"))))
    assert found == replace(counts(6, losses=2, gains=2, unreadable_reference=1, unreadable_candidate=1), right_reference=3)


@pytest.mark.parametrize("right", [0, 100, 110])
def test_a_reference_that_guesses_has_nothing_to_lose(right: int) -> None:
    same = answers("+" * right + "-" * (400 - right))
    found = judge_parity(pair_answers(same, same))
    assert found.outcome is Outcome.INVALID
    assert "no more than a guess" in found.reasons[0]
    plain = fixed_limits({"all": pair_answers(same, same)})
    assert plain.outcome is Outcome.INVALID
    able = answers("+" * 130 + "-" * 270)
    assert judge_parity(pair_answers(able, able)).outcome is Outcome.UNCHANGED


def test_an_unreadable_answer_is_a_wrong_one() -> None:
    found = pair_answers(answers("+" * 300), answers("+" * 297 + "???"))
    assert (found.losses, found.unreadable_candidate) == (3, 3)


@pytest.mark.parametrize(
    ("reference", "candidate", "reason"),
    [
        ((), (), "neither arm answered an item"),
        (answers("+"), (), "the candidate answered no item"),
        ((), answers("+"), "the reference answered no item"),
        (answers("+++++"), answers("+"), "the candidate did not answer 4 items (q1, q2, q3, …)"),
        (answers("+"), answers("++"), "the reference did not answer 1 item (q1)"),
        (answers("+") * 2, answers("+"), "the reference holds 1 item (q0) more than once"),
        (answers("+"), answers("+", "other"), "must be asked the same items"),
    ],
)
def test_arms_that_do_not_pair(reference: tuple[Answer, ...], candidate: tuple[Answer, ...], reason: str) -> None:
    verdict = judge_parity(pair_answers(reference, candidate))
    assert verdict.outcome is Outcome.INVALID
    assert reason in verdict.reasons[0]
    assert isinstance(noise_of_nondeterminism(reference, candidate), Absent)


def test_noise_of_nondeterminism() -> None:
    noise = noise_of_nondeterminism(answers("++--" * 100), answers("++--" * 99 + "+-+-"))
    assert noise == Nondeterminism(n=400, discordant=2)
    assert noise.discordance == 0.005
    assert judge_parity(counts(400), noise=noise).noise == noise


# ---- plain limits


def test_fixed_limits() -> None:
    passing = fixed_limits({"law": counts(100, 5), "art": counts(400)})
    assert (passing.outcome, passing.overall) == (Outcome.UNCHANGED, 0.01)
    assert passing.subjects == (("law", 0.05), ("art", 0.0))
    subject = fixed_limits({"law": counts(100, 6), "art": counts(1000)})
    assert subject.outcome is Outcome.REGRESSED
    assert subject.reasons == ("law: lost 6.00% of the items, allowed 5.00%",)
    overall = fixed_limits({"law": counts(100, 3), "art": counts(100, 2)})
    assert overall.reasons == ("all subjects together: lost 2.50% of the items, allowed 1.00%",)
    gained = fixed_limits({"law": counts(1000, 0, 20)})
    assert gained.outcome is Outcome.REGRESSED
    assert "gained 2.00%" in gained.reasons[0]


def test_fixed_limits_weigh_subjects_by_their_items() -> None:
    assert fixed_limits({"law": counts(10, 0), "art": counts(990, 9)}).overall == 0.009


@pytest.mark.parametrize(
    ("found", "reason"), [({}, "no subject"), ({"law": counts(0)}, "law: no item"), ({"a": counts(1, 2)}, "no counts")]
)
def test_fixed_limits_of_nothing(found: dict[str, PairedCounts], reason: str) -> None:
    verdict = fixed_limits(found)
    assert verdict.outcome is Outcome.INVALID
    assert reason in verdict.reasons[0]


def test_pairs_by_subject() -> None:
    reference = [Answer(item="1", correct=True, subject="law"), Answer(item="2", correct=True, subject="art")]
    candidate = [Answer(item="1", correct=False, subject="law"), Answer(item="2", correct=True, subject="art")]
    assert pairs_by_subject(reference, candidate) == {
        "art": replace(counts(1), right_reference=1),
        "law": replace(counts(1, 1), right_reference=1),
    }
    assert pairs_by_subject(reference, candidate[:1])["art"].flaws
