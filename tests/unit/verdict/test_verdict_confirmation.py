"""The second look: what it decides, and what a lost confirmation reads as."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.baseline.found import Found
from pytest_dynperf.measurement.measurement import Distribution, Measurement
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.verdict.confirmation import confirm
from pytest_dynperf.verdict.judge import judge
from pytest_dynperf.verdict.sequential import Step, next_step
from pytest_dynperf.verdict.terms import Terms
from pytest_dynperf.verdict.verdict import Outcome, Scale, Verdict
from tests.fakes.observations import EXPECTATION, ITL, KEY, THROUGHPUT, TTFT, document_of, measurement_of

SHOWN = Cell("request_latency.v1", "p50")
GOOD = {THROUGHPUT: (100.0, 101.0, 99.0), ITL: (0.010, 0.0101, 0.0099), TTFT: (0.050, 0.051, 0.049), SHOWN: (1.0, 1.0, 1.0)}
DOCUMENTS = tuple(document_of(GOOD, number=number) for number in range(10))
EXPECTED = replace(EXPECTATION, gates=(*EXPECTATION.gates, Gate(cell=SHOWN, tolerance=0.05, decisive=False)))


def measured(**factors: float) -> Measurement:
    cells = {"throughput": THROUGHPUT, "itl": ITL, "ttft": TTFT, "shown": SHOWN}
    return measurement_of(
        {
            cell: tuple(value * next((factor for name, factor in factors.items() if cells[name] == cell), 1.0) for value in values)
            for cell, values in GOOD.items()
        }
    )


def first(**factors: float) -> Verdict:
    return judge(measured(**factors), Found(documents=DOCUMENTS), EXPECTED, key=KEY)


def both(suspect: Verdict, fresh: Measurement) -> Verdict:
    return confirm(suspect, fresh, DOCUMENTS, EXPECTED)


def outcomes(verdict: Verdict) -> dict[Cell, Outcome]:
    return {cell.cell: cell.outcome for cell in verdict.cells}


def test_twice_worse_is_regressed() -> None:
    verdict = both(first(itl=1.2), measured(itl=1.19))
    assert verdict.outcome is Outcome.REGRESSED
    assert outcomes(verdict) == {THROUGHPUT: Outcome.UNCHANGED, ITL: Outcome.REGRESSED, TTFT: Outcome.UNCHANGED, SHOWN: Outcome.UNCHANGED}
    itl = verdict.cells[1]
    assert itl.candidate == pytest.approx(0.0119)
    # log 1.19 against t(.995, 13) se = 3.012 · .0116352
    assert itl.delta == pytest.approx(0.1739533)
    assert itl.limit == pytest.approx(0.035045, abs=1e-5)
    assert verdict.confirmed
    assert itl.suspect
    assert next_step(verdict).step is Step.ENOUGH
    assert "fresh session" in verdict.reasons[0]


@pytest.mark.parametrize("fresh", [1.0, 1.034, 0.5])
def test_once_worse_is_inconclusive_and_never_unchanged_or_improved(fresh: float) -> None:
    verdict = both(first(itl=1.2), measured(itl=fresh))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.confirmed
    assert next_step(verdict).step is Step.ENOUGH
    assert "did not confirm" in verdict.reasons[0]


def test_the_fresh_limit_is_stricter_than_the_screen() -> None:
    suspect = first(itl=1.03)
    assert suspect.cells[1].suspect
    assert both(suspect, measured(itl=1.034)).outcome is Outcome.INCONCLUSIVE  # log 1.034 = .0334 < .0350
    assert both(suspect, measured(itl=1.037)).outcome is Outcome.REGRESSED  # log 1.037 = .0363


def test_only_suspects_are_decided() -> None:
    verdict = both(first(itl=1.2), measured(itl=1.2, ttft=3.0))
    assert outcomes(verdict)[TTFT] is Outcome.UNCHANGED


def test_a_lost_confirmation_is_inconclusive() -> None:
    assert first(itl=1.2).outcome is Outcome.INCONCLUSIVE
    assert not first(itl=1.2).confirmed


def test_an_invalid_fresh_session_is_invalid() -> None:
    for fresh in (
        replace(measured(itl=1.2), problems=("the worker went away",)),
        Measurement(runs=()),
        Measurement(runs=measured().runs[:2]),
    ):
        verdict = both(first(itl=1.2), fresh)
        assert verdict.outcome is Outcome.INVALID
        assert outcomes(verdict)[ITL] is Outcome.INVALID
        assert verdict.reasons[0].startswith("fresh session:")
        assert next_step(verdict).step is Step.ENOUGH


def test_a_fresh_session_without_the_cell_is_invalid() -> None:
    fresh = measurement_of({THROUGHPUT: GOOD[THROUGHPUT], TTFT: GOOD[TTFT], SHOWN: GOOD[SHOWN]})
    assert both(first(itl=1.2), fresh).outcome is Outcome.INVALID


def test_documents_that_went_away_are_invalid() -> None:
    verdict = confirm(first(itl=1.2), measured(itl=1.2), (), EXPECTED)
    assert verdict.outcome is Outcome.INVALID
    assert "cannot decide" in verdict.reasons[0]


def test_gates_that_are_not_decisive_are_decided_and_do_not_count() -> None:
    verdict = both(first(itl=1.2, shown=1.5), measured(shown=1.5))
    assert outcomes(verdict)[SHOWN] is Outcome.REGRESSED
    assert verdict.outcome is Outcome.INCONCLUSIVE
    broken = both(first(itl=1.2, shown=1.5), Measurement(runs=()))
    assert "does not count" in broken.cells[3].reasons[0]


def test_nothing_suspect_is_nothing_to_decide() -> None:
    verdict = first()
    assert both(verdict, measured(itl=9.0)) is verdict


def test_a_crash_is_invalid() -> None:
    verdict = confirm(first(itl=1.2), measured(itl=1.2), (object(),), EXPECTED)  # type: ignore[arg-type]
    assert verdict.outcome is Outcome.INVALID
    assert "AttributeError" in verdict.reasons[0]
    assert next_step(verdict).step is Step.ENOUGH


def test_invalid_beside_suspect_still_asks_and_the_worse_wins() -> None:
    broken = measurement_of({**GOOD, ITL: (0.012,) * 3, TTFT: (0.0, 0.0, 0.0)})
    suspect = judge(broken, Found(documents=DOCUMENTS), EXPECTED, key=KEY)
    assert suspect.outcome is Outcome.INVALID
    assert next_step(suspect).step is Step.FRESH_SESSION
    assert both(suspect, measured(itl=1.2)).outcome is Outcome.REGRESSED
    assert both(suspect, measured()).outcome is Outcome.INVALID


def test_terms_reach_the_second_look() -> None:
    suspect = first(itl=1.2)
    loud = Terms(prior_sd={ITL.metric: 0.5})
    assert confirm(suspect, measured(itl=1.2), DOCUMENTS, EXPECTED).outcome is Outcome.REGRESSED
    assert confirm(suspect, measured(itl=1.2), DOCUMENTS, EXPECTED, terms=loud).outcome is Outcome.INCONCLUSIVE
    nothing = confirm(suspect, measured(itl=1.2), DOCUMENTS, EXPECTED, terms=Terms(meanings={}))
    assert nothing.outcome is Outcome.INVALID
    assert "there is no metric" in nothing.reasons[0]


def test_a_suspect_rate_is_decided_in_its_scale() -> None:
    hits = Cell("prefix_cache_hit_rate.v1", "value")
    documents = tuple(document_of({hits: (0.6,) * 3}, number=number) for number in range(10))
    expectation = Expectation(gates=(Gate(cell=hits, tolerance=0.03),))
    suspect = judge(measurement_of({hits: (0.5,) * 3}), Found(documents=documents), expectation, key=KEY)
    fallen, back, gone = (
        confirm(suspect, measurement_of({hits: (value,) * 3}), documents, expectation).cells[0] for value in (0.5, 0.58, 0.02)
    )
    assert (fallen.outcome, fallen.scale) == (Outcome.REGRESSED, Scale.LOG_ODDS)
    assert (back.outcome, back.scale) == (Outcome.INCONCLUSIVE, Scale.LOG_ODDS)
    assert (gone.outcome, gone.scale) == (Outcome.REGRESSED, Scale.POINTS)


def test_a_suspect_tail_of_which_the_fresh_session_has_too_few_values_does_not_fall_out_of_the_case() -> None:
    tail = Cell(TTFT.metric, "p95")
    many = {TTFT.metric: Distribution(n=100, mean=1, sd_log=None, minimum=1, maximum=1, percentiles={})}
    few = {TTFT.metric: replace(many[TTFT.metric], n=99)}
    document = document_of({**GOOD, tail: (1.0,) * 3})
    documents = (replace(document, runs=tuple(replace(run, distributions=many) for run in document.runs)),) * 10
    expectation = replace(EXPECTATION, gates=(*EXPECTATION.gates, Gate(cell=tail, tolerance=0.05)))
    slow = measurement_of({**GOOD, tail: (2.0,) * 3})
    enough, short = (replace(slow, runs=tuple(replace(run, distributions=known) for run in slow.runs)) for known in (many, few))
    suspect = judge(enough, Found(documents=documents), expectation, key=KEY)
    assert confirm(suspect, enough, documents, expectation).outcome is Outcome.REGRESSED
    verdict = confirm(suspect, short, documents, expectation)
    assert verdict.outcome is Outcome.INVALID
    assert "cannot decide: p95 needs 100" in verdict.reasons[0]
