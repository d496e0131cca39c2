"""Every outcome of the first look, and every way in which a gate could pass without having compared anything."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.found import Found
from pytest_dynperf.measurement.measurement import Measurement
from pytest_dynperf.metrics.catalogue import CATALOGUE, MEANINGS, statistics
from pytest_dynperf.metrics.definition import Cell, Kind
from pytest_dynperf.quantity import Absent, Direction
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.verdict.combine import worst
from pytest_dynperf.verdict.judge import invalid, judge
from pytest_dynperf.verdict.sequential import Step, next_step
from pytest_dynperf.verdict.terms import Terms
from pytest_dynperf.verdict.verdict import Outcome, Verdict
from tests.fakes.observations import EXPECTATION, ITL, KEY, THROUGHPUT, TTFT, document_of, measurement_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.metrics.definition import MetricDefinition

GOOD = {THROUGHPUT: (100.0, 101.0, 99.0), ITL: (0.010, 0.0101, 0.0099), TTFT: (0.050, 0.051, 0.049)}
FOUND = Found(documents=tuple(document_of(GOOD, number=number) for number in range(10)))
SHOWN = Gate(cell=Cell("request_latency.v1", "p50"), tolerance=0.05, decisive=False)


def scaled(cell: Cell, factor: float) -> Measurement:
    return measurement_of({**GOOD, cell: tuple(value * factor for value in GOOD[cell])})


def judged(measurement: Measurement, found: Found = FOUND, expectation: Expectation = EXPECTATION) -> Verdict:
    return judge(measurement, found, expectation, key=KEY)


def test_unchanged() -> None:
    verdict = judged(measurement_of(GOOD))
    assert verdict.outcome is Outcome.UNCHANGED
    assert [cell.outcome for cell in verdict.cells] == [Outcome.UNCHANGED] * 3
    throughput = verdict.cells[0]
    assert throughput.delta == 0.0
    assert throughput.candidate == pytest.approx(100.0)
    assert throughput.baseline == pytest.approx(100.0)
    assert throughput.values == (100.0, 101.0, 99.0)
    assert throughput.history == pytest.approx([100.0] * 10)
    assert throughput.sessions == 10
    assert throughput.run_cv == pytest.approx(0.01)
    # K = 10 equal medians: s² = 4 · .0004 / 13 = .000123, se = .011094 · √1.1 = .0116352
    assert throughput.limit == pytest.approx(0.015)  # tolerance / 2 exceeds t(.80, 13) se = .870 · .0116352 = .0101
    assert throughput.interval == pytest.approx((-1.771 * 0.0116352, 1.771 * 0.0116352), abs=1e-5)
    assert throughput.mde == pytest.approx((3.012 + 0.86) * 0.0116352, abs=1e-5)
    assert throughput.p_value == 0.5
    assert not throughput.underpowered
    assert not throughput.suspect


def test_unchanged_and_underpowered_with_one_session() -> None:
    verdict = judged(measurement_of(GOOD), Found(documents=FOUND.documents[:1]))
    assert verdict.outcome is Outcome.UNCHANGED
    assert all(cell.underpowered for cell in verdict.cells)
    assert "noise is too large" in verdict.cells[0].reasons[0]


@pytest.mark.parametrize("cell", GOOD)
def test_suspect_is_inconclusive_and_asks_for_a_fresh_session(cell: Cell) -> None:
    verdict = judged(scaled(cell, 0.8 if cell is THROUGHPUT else 1.25))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert [item.cell for item in verdict.cells if item.suspect] == [cell]
    assert next_step(verdict).step is Step.FRESH_SESSION
    assert verdict.reasons[0].startswith(str(cell))
    assert not any(item.underpowered for item in verdict.cells if item.suspect)


def test_a_tolerance_of_zero_leaves_the_noise() -> None:
    strict = Expectation(gates=(Gate(cell=TTFT, tolerance=0.0),))
    assert judged(measurement_of(GOOD), expectation=strict).outcome is Outcome.UNCHANGED
    assert judged(scaled(TTFT, 1.2), expectation=strict).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("cell", GOOD)
def test_improved(cell: Cell) -> None:
    verdict = judged(scaled(cell, 1.25 if cell is THROUGHPUT else 0.8))
    assert verdict.outcome is Outcome.IMPROVED
    (item,) = (item for item in verdict.cells if item.cell == cell)
    assert item.delta is not None
    assert item.limit is not None
    assert item.delta < item.limit < 0
    assert next_step(verdict).step is Step.ENOUGH
    assert "--update-baselines" in verdict.reasons[0]


DISTANT = [d for d in CATALOGUE.values() if d.direction is not Direction.NEITHER and d.kind is not Kind.COUNT]
"""Metrics that are compared by distance; counts are in the tests of ``exact``."""


@pytest.mark.parametrize("definition", DISTANT, ids=lambda d: d.name)
@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_worsening_any_metric_is_suspect_and_never_improved(definition: MetricDefinition, factor: float) -> None:
    if definition.kind is Kind.MAGNITUDE and definition.prior_sd > 0.1:
        factor **= 3  # what scatters by a fifth by itself
    worse = factor > 1 if definition.name not in HIGHER else factor < 1
    cell = Cell(definition.id, statistics(definition)[0])
    expectation = Expectation(gates=(Gate(cell=cell, tolerance=0.03),))
    found = Found(documents=tuple(document_of({cell: (0.4,) * 3}, number=number) for number in range(3)))
    verdict = judged(measurement_of({cell: (0.4 * factor,) * 3}), found, expectation)
    assert verdict.outcome is (Outcome.INCONCLUSIVE if worse else Outcome.IMPROVED)
    assert verdict.cells[0].suspect is worse


# Written out by hand on purpose: it must not be derived from the directions under test.
HIGHER = {
    "output_token_throughput",
    "request_throughput",
    "output_token_throughput_per_user",
    "output_token_throughput_per_gpu",
    "goodput",
    "accuracy",
    "steady_output_token_throughput",
    "steady_request_throughput",
    "router_hit_rate",
    "server_input_token_throughput",
    "server_output_token_throughput",
    "prefix_cache_hit_rate",
    "external_cache_hit_rate",
    "lmcache_hit_rate",
    "speculation_acceptance_rate",
    "speculation_acceptance_length",
    "cached_token_rate",
    "lmcache_l1_hit_rate",
    "lmcache_l2_hit_rate",
    "speculation_acceptance_rate_at_1",
    "speculation_acceptance_rate_at_2",
    "speculation_acceptance_rate_at_3",
    "speculation_acceptance_rate_at_4",
    "speculation_acceptance_rate_at_5",
}


def test_no_baseline() -> None:
    verdict = judged(measurement_of(GOOD), Found())
    assert verdict.outcome is Outcome.NO_BASELINE
    assert [cell.outcome for cell in verdict.cells] == [Outcome.NO_BASELINE] * 3
    assert verdict.cells[0].candidate == 100.0
    assert verdict.cells[0].run_cv == pytest.approx(0.01)
    assert verdict.cells[0].delta is None
    assert "--update-baselines" in verdict.reasons[0]


def test_incomparable_names_what_differs() -> None:
    others = (document_of(GOOD, key={"cpu.model": "EPYC", "workload": "abc"}), document_of(GOOD, key={"a": "b"}))
    verdict = judged(measurement_of(GOOD), Found(others=others))
    assert verdict.outcome is Outcome.INCOMPARABLE
    assert "cpu.model is 'Xeon', there 'EPYC'" in verdict.reasons[0]
    assert "workload" not in verdict.reasons[0]


def test_a_metric_that_the_baseline_lacks_is_incomparable() -> None:
    documents = tuple(document_of({THROUGHPUT: GOOD[THROUGHPUT], ITL: GOOD[ITL]}, number=number) for number in range(3))
    verdict = judged(measurement_of(GOOD), Found(documents=documents))
    assert [cell.outcome for cell in verdict.cells] == [Outcome.UNCHANGED, Outcome.UNCHANGED, Outcome.INCOMPARABLE]
    assert verdict.outcome is Outcome.INCOMPARABLE


def test_another_unit_is_incomparable() -> None:
    ms = replace(FOUND.documents[0], units={**FOUND.documents[0].units, TTFT.metric: "ms"})
    verdict = judged(measurement_of(GOOD), Found(documents=(*FOUND.documents[1:], ms)))
    assert verdict.cells[2].outcome is Outcome.INCOMPARABLE
    assert "in ms, not in s" in verdict.cells[2].reasons[0]


def test_documents_that_lack_the_cell_take_no_part() -> None:
    old = document_of({THROUGHPUT: GOOD[THROUGHPUT], ITL: GOOD[ITL], TTFT: GOOD[TTFT][:2]})
    verdict = judged(measurement_of(GOOD), Found(documents=(old, *FOUND.documents[:4])))
    assert [cell.sessions for cell in verdict.cells] == [5, 5, 4]


# ---- invalid: nothing passes because nothing was compared


def without_samples() -> Measurement:
    measurement = measurement_of({THROUGHPUT: GOOD[THROUGHPUT], ITL: GOOD[ITL]})
    return replace(measurement, runs=tuple(replace(run, absent={TTFT: Absent("no request gave a value")}) for run in measurement.runs))


def gates(*cells: Cell) -> Expectation:
    return Expectation(gates=tuple(Gate(cell=cell, tolerance=0.03) for cell in cells))


INVALID: dict[str, tuple[Measurement, Found, Expectation, str]] = {
    "problems": (replace(measurement_of(GOOD), problems=("the worker went away",)), FOUND, EXPECTATION, "the worker went away"),
    "two runs": (Measurement(runs=measurement_of(GOOD).runs[:2]), FOUND, EXPECTATION, "2 valid runs"),
    "no runs": (Measurement(runs=()), FOUND, EXPECTATION, "0 valid runs"),
    "a bad run": (
        Measurement(runs=(*measurement_of(GOOD).runs, replace(measurement_of(GOOD).runs[0], problems=("late",)))),
        FOUND,
        EXPECTATION,
        "late",
    ),
    "gate without samples": (without_samples(), FOUND, EXPECTATION, "no request gave a value"),
    "gate without samples, no baseline": (without_samples(), Found(), EXPECTATION, "no request gave a value"),
    "one run lacks the cell": (measurement_of({**GOOD, TTFT: GOOD[TTFT][:2]}), FOUND, EXPECTATION, "run-3"),
    "zero": (measurement_of({**GOOD, TTFT: (0.0, 0.05, 0.05)}), FOUND, EXPECTATION, "not positive"),
    "negative": (measurement_of({**GOOD, TTFT: (-0.05, 0.05, 0.05)}), FOUND, EXPECTATION, "not positive"),
    "nan": (measurement_of({**GOOD, TTFT: (float("nan"), 0.05, 0.05)}), FOUND, EXPECTATION, "not positive"),
    "infinite": (measurement_of({**GOOD, TTFT: (float("inf"), 0.05, 0.05)}), FOUND, EXPECTATION, "not positive"),
    "zero baseline": (measurement_of(GOOD), Found(documents=(document_of({**GOOD, TTFT: (0.0, 0.05, 0.05)}),)), EXPECTATION, "baseline"),
    "no gate": (measurement_of(GOOD), FOUND, Expectation(gates=()), "no decisive gate"),
    "no decisive gate": (measurement_of(GOOD), FOUND, Expectation(gates=(replace(SHOWN, cell=TTFT),)), "no decisive gate"),
    "unknown metric": (measurement_of(GOOD), FOUND, gates(Cell("time_to_last_token.v1", "p50")), "there is no metric"),
    "unknown version": (measurement_of(GOOD), FOUND, gates(Cell("time_to_first_token.v2", "p50")), "there is no metric"),
    "unknown statistic": (measurement_of(GOOD), FOUND, gates(Cell(TTFT.metric, "p42")), "not computed"),
    "no direction": (measurement_of(GOOD), FOUND, gates(Cell("output_sequence_length.v1", "p50")), "no worse direction"),
    "tolerance": (measurement_of(GOOD), FOUND, Expectation(gates=(Gate(cell=TTFT, tolerance=float("nan")),)), "tolerance of nan"),
    "exact magnitude": (measurement_of(GOOD), FOUND, Expectation(gates=(Gate(cell=TTFT, tolerance=0.03, exact=True),)), "only a count"),
    "negative tolerance": (measurement_of(GOOD), FOUND, Expectation(gates=(Gate(cell=TTFT, tolerance=-0.03),)), "tolerance"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str) -> None:
    measurement, found, expectation, text = INVALID[name]
    verdict = judged(measurement, found, expectation)
    assert verdict.outcome is Outcome.INVALID
    assert text in verdict.reasons[0]
    assert next_step(verdict).step is Step.ENOUGH


def test_a_crash_is_invalid_and_says_so() -> None:
    broken = Found(documents=(object(),))  # type: ignore[arg-type]
    verdict = judged(measurement_of(GOOD), broken)
    assert verdict.outcome is Outcome.INVALID
    assert "AttributeError" in verdict.reasons[0]
    assert len(verdict.cells) == 3


def test_an_interrupt_is_not_a_verdict() -> None:
    class Interrupting(dict[str, str]):
        def __contains__(self, _key: object) -> bool:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(measurement_of(GOOD), Found(documents=(replace(FOUND.documents[0], units=Interrupting()),)))


def test_invalid_by_hand_keeps_its_reasons() -> None:
    verdict = invalid(("the deployment did not start",), EXPECTATION)
    assert verdict.reasons == ("the deployment did not start",)
    assert [cell.cell for cell in verdict.cells] == [THROUGHPUT, ITL, TTFT]
    assert {cell.outcome for cell in verdict.cells} == {Outcome.INVALID}


# ---- gates that are not decisive


def with_shown(values: Sequence[float]) -> Verdict:
    documents = tuple(document_of({**GOOD, SHOWN.cell: (1.0, 1.0, 1.0)}, number=number) for number in range(10))
    return judged(
        measurement_of({**GOOD, SHOWN.cell: values} if values else GOOD),
        Found(documents=documents),
        replace(EXPECTATION, gates=(*EXPECTATION.gates, SHOWN)),
    )


def test_a_gate_that_is_not_decisive_neither_triggers_nor_counts() -> None:
    verdict = with_shown((2.0, 2.0, 2.0))
    assert verdict.outcome is Outcome.UNCHANGED
    shown = verdict.cells[3]
    assert (shown.outcome, shown.suspect, shown.decisive) == (Outcome.INCONCLUSIVE, True, False)
    assert "not decisive" in shown.reasons[0]
    assert next_step(verdict).step is Step.ENOUGH
    assert not any("request_latency" in reason for reason in verdict.reasons)


def test_absent_and_not_decisive_is_left_out() -> None:
    verdict = with_shown(())
    assert verdict.outcome is Outcome.UNCHANGED
    assert verdict.cells[3].outcome is Outcome.INVALID
    assert "does not count" in verdict.cells[3].reasons[0]


# ---- terms


def test_meanings_come_from_the_terms() -> None:
    """A metric that the catalogue does not know, and one whose definition in a file is another."""
    foreign = Cell("cache_misses.v3", "value")
    meaning = replace(MEANINGS[THROUGHPUT.metric], id=foreign.metric, direction=Direction.LOWER_IS_BETTER, prior_sd=0.01)
    document = replace(document_of({THROUGHPUT: (1.0,) * 3}), units={foreign.metric: meaning.unit.value})
    documents = tuple(replace(document, runs=tuple(replace(run, values={foreign: 100.0}) for run in document.runs)) for _ in range(10))
    terms = Terms(meanings={foreign.metric: meaning})
    worse, better = (
        judge(measurement_of({foreign: (value,) * 3}), Found(documents=documents), gates(foreign), key=KEY, terms=terms)
        for value in (120.0, 80.0)
    )
    assert (worse.outcome, worse.cells[0].suspect, better.outcome) == (Outcome.INCONCLUSIVE, True, Outcome.IMPROVED)
    assert judged(measurement_of({foreign: (120.0,) * 3}), Found(documents=documents), gates(foreign)).outcome is Outcome.INVALID
    unknown = judge(measurement_of(GOOD), FOUND, EXPECTATION, key=KEY, terms=terms)
    assert "there is no metric" in unknown.reasons[0]


def test_the_platforms_own_history_stands_in_for_the_prior() -> None:
    quiet, loud = (
        judge(scaled(TTFT, 1.06), FOUND, EXPECTATION, key=KEY, terms=Terms(prior_sd={TTFT.metric: prior})).cells[2] for prior in (0.01, 0.2)
    )
    assert (quiet.suspect, loud.suspect) == (True, False)
    assert loud.mde is not None
    assert quiet.mde is not None
    assert loud.mde > quiet.mde


@pytest.mark.parametrize("prior", [0.0, -1.0, float("nan"), float("inf")])
def test_a_prior_that_says_nothing_is_invalid(prior: float) -> None:
    verdict = judge(measurement_of(GOOD), FOUND, EXPECTATION, key=KEY, terms=Terms(prior_sd={TTFT.metric: prior}))
    assert verdict.outcome is Outcome.INVALID
    assert "prior" in verdict.reasons[0]


def test_where_a_control_can_run_the_screen_is_stricter() -> None:
    # One session: se = .04 √2; t(.80, 4) = .941 and t(.75, 4) = .741, of which only the latter lies below log 1.05 = .0488
    found = Found(documents=FOUND.documents[:1])
    alone, duet = (judge(scaled(TTFT, 1.05), found, EXPECTATION, key=KEY, terms=Terms(duet=value)).cells[2] for value in (False, True))
    assert (alone.suspect, duet.suspect) == (False, True)
    assert alone.limit == pytest.approx(0.941 * 0.0565685, abs=3e-5)
    assert duet.limit == pytest.approx(0.741 * 0.0565685, abs=3e-5)


def duet_mde_of(values: tuple[float, float, float], sessions: int) -> float:
    documents = tuple(document_of({ITL: values}, number=number) for number in range(sessions))
    found = judge(measurement_of({ITL: values}), Found(documents=documents), gates(ITL), key=KEY, terms=Terms(duet=True)).cells[0]
    assert found.outcome is Outcome.UNCHANGED
    assert found.mde is not None
    return found.mde


def test_where_a_control_can_run_the_mde_is_that_of_screen_and_pairs() -> None:
    # One session: se = .02 √2, and the screen is the bottleneck: (t(.75, 4) + .86) se = (.741 + .86) · .0282843
    assert duet_mde_of((0.0100, 0.0101, 0.0099), 1) == pytest.approx(0.04528, abs=1e-4)
    # Ten sessions of runs that scatter by 4 % (median of ln² / .693): thirty pairs find 4.4 %, as the table in decision-rule.md says
    spread = 0.04 * math.sqrt(math.log(2))
    runs = (math.exp(-spread), 1.0, math.exp(spread))
    assert math.expm1(duet_mde_of(runs, 10)) == pytest.approx(0.044, abs=5e-4)


# ---- many to one


def test_the_worst_decisive_cell_wins_and_speaks_first() -> None:
    values = {**GOOD, THROUGHPUT: (150.0, 150.0, 150.0), ITL: (0.02, 0.02, 0.02)}
    verdict = judged(measurement_of(values))
    assert [cell.outcome for cell in verdict.cells] == [Outcome.IMPROVED, Outcome.INCONCLUSIVE, Outcome.UNCHANGED]
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reasons[0].startswith("inter_token_latency")


def test_worst() -> None:
    order = ["unchanged", "improved", "inconclusive", "incomparable", "no baseline", "invalid", "regressed"]
    assert [outcome.text for outcome in sorted(Outcome)] == order
    assert worst([Outcome.IMPROVED, Outcome.REGRESSED, Outcome.INVALID]) is Outcome.REGRESSED
    assert worst([]) is Outcome.INVALID


def test_values_are_plain_floats() -> None:
    for cell in judged(scaled(TTFT, 1.5)).cells:
        for value in (cell.candidate, cell.baseline, cell.delta, cell.limit, cell.mde, cell.p_value, cell.run_cv, *cell.history):
            assert type(value) is float
