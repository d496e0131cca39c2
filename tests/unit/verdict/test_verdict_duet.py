"""What pairs decide, and what a duet that went wrong reads as."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.baseline.found import Found
from pytest_dynperf.measurement.measurement import Duet, Pair, Run
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.verdict import duet as duet_module
from pytest_dynperf.verdict import duet_noise
from pytest_dynperf.verdict.duet import confirm_by_duet
from pytest_dynperf.verdict.judge import judge
from pytest_dynperf.verdict.sequential import LOOKS, Ask, Possible, Step, next_step
from pytest_dynperf.verdict.terms import Terms
from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Scale, Verdict
from tests.fakes.observations import ITL, KEY, THROUGHPUT, document_of, measurement_of, run_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_dynperf.baseline.document import Baseline

EXPECTED = Expectation(gates=(Gate(cell=ITL, tolerance=0.03),))
STEP = math.exp(0.01)  # three runs that scatter by it have a variance of 1e-4, and a run has 1.442695e-4
DOCUMENTS = tuple(document_of({ITL: (0.010 / STEP, 0.010, 0.010 * STEP)}, number=number) for number in range(10))
FIVE = (0.04, 0.05, 0.06, 0.05, 0.20)
OPEN = (0.02, 0.03) * 15
"""With noisy documents, what no look decides."""


def suspect(cell: Cell = ITL, *, decisive: bool = True, **changes: object) -> CellVerdict:
    """As the screen leaves it: the runs of the first session scatter as those of the documents do."""
    values = (0.0105 / STEP, 0.0105, 0.0105 * STEP)
    found = CellVerdict(
        cell=cell,
        outcome=Outcome.INCONCLUSIVE,
        decisive=decisive,
        tolerance=0.03,
        candidate=0.0105,
        values=values,
        baseline=0.010,
        delta=math.log(1.05),
        sessions=10,
        history=(0.010,) * 10,
        suspect=True,
        reasons=("suspect",),
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def first(*cells: CellVerdict) -> Verdict:
    return Verdict(outcome=Outcome.INCONCLUSIVE, cells=cells or (suspect(),), reasons=("suspect",))


def pair(candidate: Run, control: Run, number: int = 0) -> Pair:
    return Pair(candidate=candidate, control=control, candidate_first=number % 2 == 0)


def duet(differences: Sequence[float], cell: Cell = ITL, *, sign: int = 1, level: float = 0.010, layout: str = "side by side") -> Duet:
    """Pairs whose candidate is worse by these logarithms."""
    pairs = (
        pair(run_of({cell: level * math.exp(sign * difference)}, f"candidate-{number}"), run_of({cell: level}, f"control-{number}"), number)
        for number, difference in enumerate(differences, 1)
    )
    return Duet(pairs=tuple(pairs), control="vLLM 0.1", layout=layout)


def noisy(factor: float = 5.0) -> tuple[Baseline, ...]:
    step = STEP**factor
    return tuple(document_of({ITL: (0.010 / step, 0.010, 0.010 * step)}, number=number) for number in range(10))


def decided(measured: Duet, *, documents: Sequence[Baseline] = DOCUMENTS, final: bool = True, of: Verdict | None = None) -> Verdict:
    return confirm_by_duet(of or first(), measured, EXPECTED, documents=documents, final=final)


def test_a_duet_by_hand() -> None:
    """The numbers are those of ``test_verdict_duet_noise``; the cell holds all of them."""
    verdict = decided(duet(FIVE), final=False)
    assert verdict.outcome is Outcome.REGRESSED
    assert verdict.means is Means.DUET
    (cell,) = verdict.cells
    assert cell.delta == pytest.approx(0.057413)
    assert cell.interval == pytest.approx((0.0437952446, 0.0710307554))
    assert cell.limit == pytest.approx(0.0292826100)
    assert cell.p_value == pytest.approx(1.6116484e-6)
    assert cell.mde is not None
    # At the cap se = sqrt(2.9888868e-4 / 30) = .0031564: .015 + .850935 se = .0176859, and more for what an early look would let pass.
    assert 0.0176859 < cell.mde < 0.0265
    assert (cell.pairs, cell.sessions, cell.history) == (5, 10, (0.010,) * 10)
    assert cell.baseline == pytest.approx(0.010)
    assert cell.control_values == pytest.approx((0.010,) * 5)
    assert cell.values == pytest.approx([0.010 * math.exp(value) for value in FIVE])
    assert cell.candidate == pytest.approx(0.010 * math.exp(0.05))
    assert cell.scale is Scale.LOG
    assert cell.suspect
    assert not cell.underpowered
    assert "worse than the control in 5 pairs" in verdict.reasons[0]
    assert next_step(verdict, Possible(pairs=LOOKS[-1]), measured_pairs=5).step is Step.ENOUGH


def test_a_swapped_sign_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    forwards = duet_module._difference
    monkeypatch.setattr(duet_module, "_difference", lambda *arguments: -forwards(*arguments))  # type: ignore[operator]
    with pytest.raises(AssertionError):
        test_a_duet_by_hand()


def test_higher_is_better_where_the_metric_says_so() -> None:
    of = first(suspect(THROUGHPUT, values=(99.0, 100.0, 101.0), baseline=105.0))
    assert decided(duet((0.1,) * 5, THROUGHPUT, sign=-1, level=100.0), of=of).outcome is Outcome.REGRESSED
    assert decided(duet((0.1,) * 5, THROUGHPUT, sign=1, level=100.0), of=of).outcome is Outcome.UNCHANGED


def test_not_worse_is_unchanged() -> None:
    verdict = decided(duet((0.0, 0.001, -0.001, 0.002, 0.0)), final=False)
    assert verdict.outcome is Outcome.UNCHANGED
    assert verdict.cells[0].suspect
    assert "5 pairs show that it is not worse" in verdict.reasons[0]
    assert next_step(verdict, Possible(pairs=LOOKS[-1]), measured_pairs=5).step is Step.ENOUGH


def test_what_no_look_decides_stays_suspect_and_ends_inconclusive() -> None:
    for count, looks_at, following in ((5, 5, 7), (6, 5, 7), (7, 7, 10), (9, 7, 10), (10, 10, 15), (20, 20, 30), (30, 30, None)):
        measured = duet(OPEN[:count])
        going_on, over = (decided(measured, documents=noisy(), final=final) for final in (False, True))
        for verdict in (going_on, over):
            assert verdict.outcome is Outcome.INCONCLUSIVE
            assert verdict.cells[0].suspect
            assert verdict.cells[0].pairs == looks_at
        asked = next_step(going_on, Possible(pairs=LOOKS[-1]), measured_pairs=count)
        assert asked == (Ask(step=Step.ENOUGH) if following is None else Ask(step=Step.PAIRS, pairs=following))
        assert "yet" in going_on.reasons[0]
        assert "do not decide" in over.reasons[0]


def test_what_an_ended_duet_could_detect_is_that_of_its_own_pairs() -> None:
    going_on, over = (decided(duet(OPEN[:5]), documents=noisy(), final=final).cells[0].mde for final in (False, True))
    assert going_on is not None
    assert over is not None
    assert over > 1.5 * going_on


@pytest.mark.parametrize(("count", "words"), [(0, "no pair was measured"), (1, "1 pair was measured"), (4, "4 pairs were measured")])
def test_before_the_first_look_nothing_is_decided(count: int, words: str) -> None:
    measured = duet((0.2,) * count)
    verdict = decided(measured)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert words in verdict.reasons[0]
    assert (verdict.cells[0].pairs, verdict.cells[0].values) == (0, suspect().values)
    going_on = decided(measured, final=False)
    assert next_step(going_on, Possible(pairs=LOOKS[-1]), measured_pairs=count) == Ask(step=Step.PAIRS, pairs=5)


def test_a_duet_with_a_problem_is_invalid() -> None:
    good = duet((0.0,) * 5)
    broken = tuple(replace(each, control=replace(each.control, problems=("the worker went away",))) for each in good.pairs)
    for measured, words in (
        (replace(good, problems=("the control was gone",)), "duet: the control was gone"),
        (replace(good, pairs=broken), "control: the worker went away"),
    ):
        for final in (False, True):
            verdict = decided(measured, final=final)
            assert verdict.outcome is Outcome.INVALID
            assert words in verdict.reasons[0]
            assert verdict.cells[0].delta is None
            assert next_step(verdict, Possible(pairs=LOOKS[-1]), measured_pairs=5).step is Step.ENOUGH


def test_a_pair_with_a_problem_takes_no_part() -> None:
    good = duet((0.1,) * 6)
    broken = replace(good.pairs[2], candidate=replace(good.pairs[2].candidate, values={}, problems=("a request failed",)))
    verdict = decided(replace(good, pairs=(*good.pairs[:2], broken, *good.pairs[3:])))
    assert (verdict.outcome, verdict.cells[0].pairs) == (Outcome.REGRESSED, 5)
    few = decided(replace(good, pairs=(*good.pairs[:2], broken, *good.pairs[3:5])))
    assert few.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, None])
@pytest.mark.parametrize("arm", ["candidate", "control"])
@pytest.mark.parametrize("final", [False, True])
def test_a_pair_without_a_usable_value_is_invalid(value: float | None, arm: str, final: bool) -> None:
    good = duet((0.0,) * 5)
    bad = run_of({} if value is None else {ITL: value}, f"{arm}-5")
    last = replace(good.pairs[4], candidate=bad) if arm == "candidate" else replace(good.pairs[4], control=bad)
    verdict = decided(replace(good, pairs=(*good.pairs[:4], last)), final=final)
    assert verdict.outcome is Outcome.INVALID
    assert f"{arm} {arm}-5" in verdict.reasons[0]


def test_only_suspects_are_decided() -> None:
    fine = replace(suspect(THROUGHPUT), outcome=Outcome.UNCHANGED, suspect=False)
    verdict = decided(duet((0.1,) * 5), of=first(suspect(), fine))
    assert verdict.outcome is Outcome.REGRESSED
    assert verdict.cells[1] is fine
    nothing = replace(first(fine), outcome=Outcome.UNCHANGED)
    assert decided(duet((0.1,) * 5), of=nothing) is nothing


def test_gates_that_are_not_decisive_are_decided_and_do_not_count() -> None:
    shown = Cell("request_latency.v1", "p50")
    of = first(suspect(), suspect(shown, decisive=False))
    pairs = tuple(pair(run_of({ITL: 0.010, shown: 0.012}), run_of({ITL: 0.010, shown: 0.010}), number) for number in range(5))
    verdict = decided(Duet(pairs=pairs, control="other"), of=of)
    assert [cell.outcome for cell in verdict.cells] == [Outcome.UNCHANGED, Outcome.REGRESSED]
    assert verdict.outcome is Outcome.UNCHANGED
    assert "does not count" in decided(duet((0.0,) * 5), of=of).cells[1].reasons[0]


def test_without_documents_the_first_session_tells_the_noise() -> None:
    assert decided(duet(FIVE), documents=()).cells[0].limit == pytest.approx(0.0292826100)
    verdict = decided(duet(FIVE), documents=(), of=first(suspect(values=())))
    assert verdict.outcome is Outcome.INVALID
    assert "no session tells how its runs scatter" in verdict.reasons[0]


@pytest.mark.parametrize("metric", ["server_preemptions.v1", "kvbm_matched_tokens.v1", "nothing.v1"])
def test_what_pairs_cannot_decide_is_invalid(metric: str) -> None:
    verdict = decided(duet(FIVE), of=first(suspect(Cell(metric, "value"))))
    assert verdict.outcome is Outcome.INVALID
    assert "nothing that pairs can decide" in verdict.reasons[0]


def test_a_crash_is_invalid() -> None:
    verdict = decided(duet(FIVE), documents=(object(),))  # type: ignore[arg-type]
    assert verdict.outcome is Outcome.INVALID
    assert "AttributeError" in verdict.reasons[0]
    assert confirm_by_duet(first(), duet(FIVE), EXPECTED, terms=Terms(meanings={}), final=True).outcome is Outcome.INVALID


def test_the_looks_are_replayed_from_the_first_session_never_from_a_decided_verdict() -> None:
    again = decided(duet(FIVE), of=decided(duet(FIVE)))
    assert again.outcome is Outcome.INVALID
    assert "decided by a duet already" in again.reasons[0]


def test_blocks_need_more_because_their_pairs_share_deployments() -> None:
    """Sessions that scatter by 2 %: what five pairs of one block show may be the deployment."""
    sessions = tuple(
        document_of({ITL: tuple(level * factor for factor in (1 / STEP, 1.0, STEP))}, number=number)
        for number, level in enumerate((0.0098, 0.0100, 0.0102, 0.0100, 0.0098, 0.0102))
    )
    measured = (0.04, 0.05, 0.045, 0.05, 0.04)
    assert decided(duet(measured), documents=sessions).outcome is Outcome.REGRESSED
    assert decided(duet(measured, layout="blocks"), documents=sessions).outcome is Outcome.INCONCLUSIVE
    assert decided(duet(measured * 4, layout="blocks"), documents=sessions).outcome is Outcome.REGRESSED


def test_blocks_are_looked_at_when_they_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run has w = 4 · 1.442695e-4 and a deployment w / 13. After five pairs v = 20 w / 14 + 10 w / 13, and .055 lies below
    3.787390 sqrt(v / 5) = .0603; seven would decide it: above 3.686155 sqrt((20 w / 16 + 10 w / 13) / 7) = .0476.
    """
    measured = (0.055,) * 10

    def in_blocks(count: int) -> tuple[Outcome, int]:
        verdict = decided(duet(measured[:count], layout="blocks"), documents=noisy(2))
        return verdict.outcome, verdict.cells[0].pairs

    assert in_blocks(7) == in_blocks(9) == (Outcome.INCONCLUSIVE, 5)
    assert in_blocks(10) == (Outcome.REGRESSED, 10)
    monkeypatch.setattr(duet_noise, "looks_of", lambda *, blocks: LOOKS)
    assert in_blocks(7) == (Outcome.REGRESSED, 7)


# ---- rates

HIT_RATE = Cell("prefix_cache_hit_rate.v1", "value")


def rated(rate: float, name: str = "run") -> Run:
    return replace(run_of({HIT_RATE: rate}, name), parts={HIT_RATE.metric: (rate * 10_000, 10_000.0)})


def rates(candidate: Sequence[float], control: Sequence[float]) -> Duet:
    pairs = tuple(pair(rated(ours), rated(theirs), number) for number, (ours, theirs) in enumerate(zip(candidate, control, strict=True)))
    return Duet(pairs=pairs, control="other")


def test_a_rate_is_compared_by_log_odds() -> None:
    of = first(suspect(HIT_RATE, scale=Scale.LOG_ODDS, values=(0.55, 0.56, 0.57), baseline=0.60))
    verdict = decided(rates((0.50,) * 5, (0.60,) * 5), of=of)
    assert verdict.outcome is Outcome.REGRESSED
    (cell,) = verdict.cells
    assert cell.scale is Scale.LOG_ODDS
    assert cell.delta == pytest.approx(math.log(6000.5 / 4000.5) - math.log(5000.5 / 5000.5))
    assert (cell.baseline, cell.candidate) == (0.60, 0.50)
    assert decided(rates((0.60,) * 5, (0.60,) * 5), of=of).outcome is Outcome.UNCHANGED
    # Three points at .60 are .1230 of log odds: half of it is .0615. One point (.0415) is less.
    near = decided(rates((0.59,) * 5, (0.60,) * 5), of=first(replace(of.cells[0], values=(0.56, 0.56, 0.56))))
    assert near.outcome is Outcome.UNCHANGED
    assert near.cells[0].limit == pytest.approx(0.5 * (math.log(0.6 / 0.4) - math.log(0.57 / 0.43)))


def test_a_rate_near_one_is_compared_in_points() -> None:
    of = first(suspect(HIT_RATE, scale=Scale.POINTS, values=(0.95, 0.96, 0.97), baseline=0.99))
    verdict = decided(rates((0.93,) * 5, (0.99,) * 5), of=of)
    assert verdict.outcome is Outcome.REGRESSED
    assert verdict.cells[0].delta == pytest.approx(0.06)
    assert decided(rates((1.0,) * 5, (1.0,) * 5), of=of).outcome is Outcome.UNCHANGED
    assert decided(rates((0.0,) * 5, (0.0,) * 5), of=of).cells[0].run_cv is None


def test_a_rate_without_its_parts_is_invalid() -> None:
    of = first(suspect(HIT_RATE, scale=Scale.LOG_ODDS, values=(0.55, 0.56, 0.57), baseline=0.60))
    measured = rates((0.5,) * 5, (0.6,) * 5)
    bare = replace(measured.pairs[0].candidate, parts={})
    verdict = decided(replace(measured, pairs=(replace(measured.pairs[0], candidate=bare), *measured.pairs[1:])), of=of)
    assert verdict.outcome is Outcome.INVALID
    assert "numerator and denominator" in verdict.reasons[0]


# ---- what must hold for all duets

differences = st.lists(st.floats(-0.2, 0.2), min_size=5, max_size=LOOKS[-1])


def turned(measured: Duet) -> Duet:
    return replace(measured, pairs=tuple(replace(each, candidate=each.control, control=each.candidate) for each in measured.pairs))


@settings(max_examples=40, deadline=None)
@given(differences)
def test_swapping_the_arms_flips_the_sign(values: list[float]) -> None:
    there, back = (decided(measured).cells[0] for measured in (duet(values[:5]), turned(duet(values[:5]))))
    assert there.delta is not None
    assert back.delta == pytest.approx(-there.delta, abs=1e-12)
    assert not (there.outcome is Outcome.REGRESSED and back.outcome is Outcome.REGRESSED)


@settings(max_examples=40, deadline=None)
@given(differences, st.floats(0.1, 10.0))
def test_a_factor_on_both_arms_changes_nothing(values: list[float], factor: float) -> None:
    here, there = (decided(duet(values, level=level)).cells[0] for level in (0.010, 0.010 * factor))
    assert there.delta == pytest.approx(here.delta, abs=1e-9)
    assert there.interval == pytest.approx(here.interval, abs=1e-9)
    assert there.pairs == here.pairs
    assert there.outcome is here.outcome


@settings(max_examples=40, deadline=None)
@given(differences, st.booleans())
def test_more_pairs_never_change_a_decided_cell(values: list[float], final: bool) -> None:
    whole = duet(values)
    early = decided(replace(whole, pairs=whole.pairs[:5]), final=False)
    if early.outcome is not Outcome.INCONCLUSIVE:
        assert decided(whole, final=final).cells == early.cells


# ---- how often it is right


def simulated(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Logarithms of runs with a CV of 2 %: Student's t with five degrees of freedom, and 3 % outliers, slower by 15 % on average."""
    noise = rng.standard_t(5, count) * 0.02 / math.sqrt(5 / 3)
    slow = rng.random(count) < 0.03
    noise[slow] += rng.exponential(0.15, int(slow.sum()))
    return noise


def screened(rng: np.random.Generator) -> tuple[Verdict, tuple[Baseline, ...]]:
    """A suspect of the real screen, by five sessions that scatter by 1 %."""
    while True:
        sessions = [np.exp(simulated(rng, 3) + rng.normal(0.0, 0.01)) * 0.010 for _ in range(5)]
        documents = tuple(document_of({ITL: runs.tolist()}, number=number) for number, runs in enumerate(sessions))
        measured = measurement_of({ITL: (np.exp(simulated(rng, 3) + 0.04) * 0.010).tolist()})
        verdict = judge(measured, Found(documents=documents), EXPECTED, key=KEY, terms=Terms(duet=True))
        if verdict.cells[0].suspect:
            return verdict, documents


def one_simulated(rng: np.random.Generator, change: float) -> Outcome:
    screen, documents = screened(rng)
    measured = duet((change + simulated(rng, LOOKS[-1]) - simulated(rng, LOOKS[-1])).tolist())
    return decided(measured, documents=documents, of=screen).outcome


def shares(rng: np.random.Generator, change: float, repetitions: int) -> dict[Outcome, float]:
    found = [one_simulated(rng, change) for _ in range(repetitions)]
    return {outcome: found.count(outcome) / repetitions for outcome in Outcome}


def test_an_unchanged_suspect_is_rarely_called_worse() -> None:
    found = shares(np.random.default_rng(20261121), 0.0, 2_000)
    assert found[Outcome.REGRESSED] < 0.01
    assert found[Outcome.UNCHANGED] > 0.90
    assert found[Outcome.INVALID] == 0


def test_a_regression_of_ten_per_cent_is_found() -> None:
    found = shares(np.random.default_rng(20261122), math.log(1.10), 300)
    assert found[Outcome.REGRESSED] > 0.95


def test_the_simulation_sees_looks_without_their_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duet_noise, "LOOK_ALPHA", 0.03)
    assert shares(np.random.default_rng(20261121), 0.0, 500)[Outcome.REGRESSED] > 0.01
