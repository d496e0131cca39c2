"""What the judge promises: functions that assert, for the judge as it is and for the judge with a defect in it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.found import Found
from pytest_dynperf.measurement.measurement import Distribution, Measurement
from pytest_dynperf.metrics.catalogue import CATALOGUE, statistics
from pytest_dynperf.metrics.definition import Cell, Kind
from pytest_dynperf.quantity import Absent, Direction
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.verdict import confirmation, judge, sequential
from pytest_dynperf.verdict.terms import Terms
from pytest_dynperf.verdict.verdict import Outcome, Verdict
from tests.fakes.observations import EXPECTATION, ITL, KEY, THROUGHPUT, TTFT, document_of, measurement_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_dynperf.baseline.document import Baseline


HIGHER_IS_BETTER = {
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
"""By hand on purpose: what is derived from the directions cannot notice that one of them is wrong."""

DIRECTED = {definition.name: definition for definition in CATALOGUE.values() if definition.direction is not Direction.NEITHER}
FACTS = {definition.name: definition for definition in CATALOGUE.values() if definition.direction is Direction.NEITHER}
QUIET = 0.5
"""The baseline of every run: a fair value of a magnitude, a rate and a count alike."""


def cell_of(name: str) -> Cell:
    definition = CATALOGUE[f"{name}.v1"]
    return Cell(definition.id, "p50" if "p50" in statistics(definition) else "value")


def expecting(cell: Cell, *, tolerance: float = 0.03, **more: bool) -> Expectation:
    return Expectation(gates=(Gate(cell=cell, tolerance=tolerance, exact=CATALOGUE[cell.metric].kind is Kind.COUNT, **more),))


def quiet(cell: Cell, count: int = 10, value: float = QUIET) -> tuple[Baseline, ...]:
    return tuple(document_of({cell: (value,) * 3}, number=number) for number in range(count))


def looked_at(cell: Cell, value: float, *, tolerance: float = 0.03, documents: Sequence[Baseline] | None = None, **more: bool) -> Verdict:
    found = Found(documents=tuple(quiet(cell) if documents is None else documents))
    return judge.judge(measurement_of({cell: (value,) * 3}), found, expecting(cell, tolerance=tolerance, **more), key=KEY)


def decided(cell: Cell, first: float, fresh: float, *, tolerance: float = 0.03, documents: Sequence[Baseline] | None = None) -> Verdict:
    documents = tuple(quiet(cell) if documents is None else documents)
    suspect = looked_at(cell, first, tolerance=tolerance, documents=documents)
    return confirmation.confirm(suspect, measurement_of({cell: (fresh,) * 3}), documents, expecting(cell, tolerance=tolerance))


# ---- promises


def much(name: str) -> float:
    """A factor that ten quiet sessions must tell from noise: a fifth, and five times where a magnitude scatters by a fifth by itself."""
    definition = DIRECTED[name]
    return 5.0 if definition.kind is Kind.MAGNITUDE and definition.prior_sd > 0.1 else 1.2


def a_fifth_worse_is_found_in_every_metric() -> None:
    for name, definition in DIRECTED.items():
        cell, worse = cell_of(name), QUIET * (2 - much(name) if name in HIGHER_IS_BETTER else much(name))
        first, final = looked_at(cell, worse), decided(cell, worse, worse)
        if definition.kind is Kind.COUNT:
            assert first.outcome is Outcome.REGRESSED, name
        else:
            assert (first.outcome, first.cells[0].suspect) == (Outcome.INCONCLUSIVE, True), name
            assert sequential.next_step(first).step is sequential.Step.FRESH_SESSION, name
            assert (final.outcome, final.confirmed) == (Outcome.REGRESSED, True), name


def a_fifth_better_is_improved_in_every_metric() -> None:
    for name in DIRECTED:
        better = QUIET * (much(name) if name in HIGHER_IS_BETTER else max(2 - much(name), 0.2))
        verdict = looked_at(cell_of(name), better)
        # The error rate scatters the most of all: better by ten points, with ten sessions to tell.
        assert verdict.outcome is Outcome.IMPROVED, name
        assert not verdict.cells[0].suspect, name


def the_same_is_unchanged_in_every_metric() -> None:
    for name in DIRECTED:
        assert looked_at(cell_of(name), QUIET).outcome is Outcome.UNCHANGED, name


def half_of_the_tolerance_is_where_suspicion_begins() -> None:
    assert not looked_at(ITL, QUIET * math.exp(0.049), tolerance=0.10).cells[0].suspect
    assert looked_at(ITL, QUIET * math.exp(0.051), tolerance=0.10).cells[0].suspect


def half_of_the_tolerance_of_a_rate_is_in_points() -> None:
    hits = cell_of("prefix_cache_hit_rate")
    for baseline in (0.5, 0.8, 0.99):
        documents = quiet(hits, value=baseline)
        assert not looked_at(hits, baseline - 0.049, tolerance=0.10, documents=documents).cells[0].suspect
        assert looked_at(hits, baseline - 0.051, tolerance=0.10, documents=documents).cells[0].suspect


def the_whole_tolerance_is_where_a_regression_begins() -> None:
    assert decided(ITL, QUIET * 1.2, QUIET * 1.099, tolerance=0.10).outcome is Outcome.INCONCLUSIVE
    assert decided(ITL, QUIET * 1.2, QUIET * 1.101, tolerance=0.10).outcome is Outcome.REGRESSED
    assert looked_at(ITL, QUIET / 1.099, tolerance=0.10).outcome is Outcome.UNCHANGED
    assert looked_at(ITL, QUIET / 1.101, tolerance=0.10).outcome is Outcome.IMPROVED


def noise_beyond_the_tolerance_holds_back() -> None:
    """Sessions that lie apart by 20 % say nothing of 10 %; runs that do neither."""
    scattered = tuple(document_of({ITL: (value,) * 3}, number=number) for number, value in enumerate((0.4, 0.5, 0.6, 0.45, 0.55) * 2))
    assert decided(ITL, 0.8, 0.6, documents=scattered).outcome is Outcome.INCONCLUSIVE
    restless = tuple(document_of({ITL: (0.3, 0.5, 0.8)}, number=number) for number in range(10))
    verdict = judge.judge(measurement_of({ITL: (0.33, 0.55, 0.88)}), Found(documents=restless), expecting(ITL), key=KEY)
    assert (verdict.outcome, verdict.cells[0].underpowered) == (Outcome.UNCHANGED, True)
    alone = looked_at(TTFT, QUIET * 1.05, documents=quiet(TTFT, 1))
    assert alone.outcome is Outcome.UNCHANGED, "one session: the prior alone"
    assert looked_at(TTFT, QUIET, documents=quiet(TTFT, 1)).cells[0].underpowered
    assert not looked_at(ITL, QUIET).cells[0].underpowered


WILD = tuple(document_of({ITL: (QUIET, QUIET, QUIET * (2 if number < 3 else 1))}, number=number) for number in range(10))
"""One wild run in three of ten sessions: the mean variance within sessions is 3 / 11 · .1602, the median 0."""


def without_a_control_the_whole_noise_counts() -> None:
    """se = sqrt(1.08 · .0437 / 3 · 1.1) = .1315: t(.80, 13) se = .1144, t(.995, 13) se = .396; log 1.1 = .0953, log 1.2 = .182."""
    assert looked_at(ITL, QUIET * 1.1, documents=WILD).outcome is Outcome.UNCHANGED
    before_pairs = Terms(duet=True)
    worse = measurement_of({ITL: (QUIET * 1.2,) * 3})
    suspect = judge.judge(worse, Found(documents=WILD), expecting(ITL), key=KEY, terms=before_pairs)
    fresh = confirmation.confirm(suspect, worse, WILD, expecting(ITL), terms=before_pairs)
    assert (suspect.cells[0].suspect, fresh.outcome) == (True, Outcome.INCONCLUSIVE), "no pairs came, so a fresh session decides"


def where_pairs_follow_one_wild_run_hides_nothing() -> None:
    """The prior alone: se = .0116, t(.75, 13) se = .008."""
    verdict = judge.judge(
        measurement_of({ITL: (QUIET * 1.02,) * 3}), Found(documents=WILD), expecting(ITL), key=KEY, terms=Terms(duet=True)
    )
    assert verdict.cells[0].suspect


def where_pairs_follow_suspicion_begins_at_four_tenths() -> None:
    for change, suspect in ((0.039, False), (0.041, True)):
        measurement = measurement_of({ITL: (QUIET * math.exp(change),) * 3})
        expected = expecting(ITL, tolerance=0.10)
        verdict = judge.judge(measurement, Found(documents=quiet(ITL)), expected, key=KEY, terms=Terms(duet=True))
        assert verdict.cells[0].suspect is suspect


def one_bad_session_is_never_red() -> None:
    for fresh in (QUIET, QUIET * 1.02, QUIET * 0.5):
        verdict = decided(ITL, QUIET * 10, fresh)
        assert verdict.outcome is Outcome.INCONCLUSIVE
    assert looked_at(ITL, QUIET * 10).outcome is Outcome.INCONCLUSIVE


def one_bad_run_of_three_is_never_red() -> None:
    verdict = judge.judge(measurement_of({ITL: (QUIET, QUIET, 50.0)}), Found(documents=quiet(ITL)), expecting(ITL), key=KEY)
    assert verdict.outcome is Outcome.UNCHANGED


def what_was_not_measured_never_passes() -> None:
    whole = measurement_of({ITL: (QUIET,) * 3, TTFT: (QUIET,) * 3})
    found = Found(documents=quiet(ITL))
    absent = replace(whole, runs=tuple(replace(run, values={}, absent={ITL: Absent("no request gave a value")}) for run in whole.runs))
    partly = replace(whole, runs=(*whole.runs, replace(whole.runs[0], values={})))
    for measurement, why in (
        (Measurement(runs=()), "0 valid runs"),
        (Measurement(runs=whole.runs[:2]), "2 valid runs"),
        (Measurement(runs=whole.runs[:1], problems=("the worker went away",)), "the worker went away"),
        (replace(whole, runs=(*whole.runs, replace(whole.runs[0], problems=("late",)))), "run run-1: late"),
        (absent, "run run-1: no request gave a value"),
        (partly, "is not computed"),
    ):
        for documents in (found, Found()):
            verdict = judge.judge(measurement, documents, expecting(ITL), key=KEY)
            assert verdict.outcome is Outcome.INVALID
            assert why in verdict.reasons[0]
            assert "the judge failed" not in verdict.reasons[0]
        suspect = looked_at(ITL, QUIET * 2)
        assert confirmation.confirm(suspect, measurement, quiet(ITL), expecting(ITL)).outcome is Outcome.INVALID


def without_a_decisive_gate_nothing_passes() -> None:
    for expectation in (Expectation(gates=()), expecting(ITL, decisive=False)):
        verdict = judge.judge(measurement_of({ITL: (QUIET,) * 3}), Found(documents=quiet(ITL)), expectation, key=KEY)
        assert verdict.outcome is Outcome.INVALID
        assert "the expectation has no decisive gate" in verdict.reasons[0]


def what_was_not_compared_is_never_unchanged() -> None:
    measurement = measurement_of({ITL: (QUIET,) * 3})
    assert judge.judge(measurement, Found(), expecting(ITL), key=KEY).outcome is Outcome.NO_BASELINE
    others = Found(others=(document_of({ITL: (QUIET,) * 3}, key={"cpu.model": "EPYC"}),))
    assert judge.judge(measurement, others, expecting(ITL), key=KEY).outcome is Outcome.INCOMPARABLE
    elsewhere = Found(documents=quiet(TTFT))
    assert judge.judge(measurement, elsewhere, expecting(ITL), key=KEY).outcome is Outcome.INCOMPARABLE
    short = Found(documents=(document_of({ITL: (QUIET,) * 2}),))
    assert judge.judge(measurement, short, expecting(ITL), key=KEY).outcome is Outcome.INCOMPARABLE


def another_unit_is_incomparable() -> None:
    for definition in DIRECTED.values():
        cell = cell_of(definition.name)
        for documents in (quiet(cell, 1), quiet(cell, 10)):
            other = replace(documents[0], units={**documents[0].units, cell.metric: "ms"})
            assert looked_at(cell, QUIET, documents=(other, *documents[1:])).outcome is Outcome.INCOMPARABLE, definition.name


def what_has_no_logarithm_is_invalid() -> None:
    for bad in (0.0, -1.0, math.nan, math.inf, -math.inf):
        measurement = measurement_of({ITL: (QUIET, QUIET, bad)})
        document = document_of({ITL: (QUIET, QUIET, bad)})
        for verdict in (
            judge.judge(measurement, Found(documents=quiet(ITL)), expecting(ITL), key=KEY),
            looked_at(ITL, QUIET, documents=(document, *quiet(ITL))),
        ):
            assert verdict.outcome is Outcome.INVALID
            assert "not positive and finite" in verdict.reasons[0]
        assert decided(ITL, QUIET * 2, bad).outcome is Outcome.INVALID


def what_is_no_part_of_a_whole_is_invalid() -> None:
    hits = cell_of("prefix_cache_hit_rate")
    good, documents = measurement_of({hits: (QUIET,) * 3}), quiet(hits)
    for parts in ({}, {hits.metric: (2.0, 1.0)}, {hits.metric: (-1.0, 1.0)}, {hits.metric: (0.0, 0.0)}, {hits.metric: (math.nan, 1.0)}):
        broken = replace(good, runs=tuple(replace(run, parts=parts) for run in good.runs))
        assert judge.judge(broken, Found(documents=documents), expecting(hits), key=KEY).outcome is Outcome.INVALID
        held = replace(documents[0], runs=tuple(replace(run, parts=parts) for run in documents[0].runs))
        verdict = judge.judge(good, Found(documents=(held,)), expecting(hits), key=KEY)
        assert verdict.outcome is (Outcome.INVALID if parts else Outcome.INCOMPARABLE)


def what_has_no_direction_is_invalid() -> None:
    for definition in FACTS.values():
        cell = cell_of(definition.name)
        gate = Gate(cell=cell, tolerance=0.03)
        found = Found(documents=quiet(cell))
        verdict = judge.judge(measurement_of({cell: (QUIET,) * 3}), found, Expectation(gates=(gate,)), key=KEY)
        assert verdict.outcome is Outcome.INVALID, definition.name
        assert "no worse direction" in verdict.reasons[0], definition.name


def a_crash_is_invalid() -> None:
    for broken in (object(), None, 3):
        found = Found(documents=(broken,))  # type: ignore[arg-type]
        verdict = judge.judge(measurement_of({ITL: (QUIET,) * 3}), found, expecting(ITL), key=KEY)
        assert (verdict.outcome, [cell.outcome for cell in verdict.cells]) == (Outcome.INVALID, [Outcome.INVALID])
        lost = confirmation.confirm(looked_at(ITL, QUIET * 2), measurement_of({ITL: (QUIET,) * 3}), (broken,), expecting(ITL))  # type: ignore[arg-type]
        assert lost.outcome is Outcome.INVALID


def the_worst_decisive_cell_is_the_case() -> None:
    documents = tuple(document_of({ITL: (QUIET,) * 3, TTFT: (QUIET,) * 3, THROUGHPUT: (QUIET,) * 3}, number=n) for n in range(10))
    factors = {ITL: 1.0, TTFT: 1.5, THROUGHPUT: 1.5}
    measurement = measurement_of({cell: (QUIET * factor,) * 3 for cell, factor in factors.items()})
    verdict = judge.judge(measurement, Found(documents=documents), EXPECTATION, key=KEY)
    assert [cell.outcome for cell in verdict.cells] == [Outcome.IMPROVED, Outcome.UNCHANGED, Outcome.INCONCLUSIVE]
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert confirmation.confirm(verdict, measurement, documents, EXPECTATION).outcome is Outcome.REGRESSED
    shown = replace(EXPECTATION, gates=tuple(replace(gate, decisive=gate.cell != TTFT) for gate in EXPECTATION.gates))
    spared = judge.judge(measurement, Found(documents=documents), shown, key=KEY)
    assert (spared.outcome, sequential.next_step(spared).step) == (Outcome.IMPROVED, sequential.Step.ENOUGH)
    assert confirmation.confirm(spared, measurement, documents, shown).outcome is Outcome.IMPROVED


TAIL = Cell(TTFT.metric, "p95")


def a_tail_of_too_few_values_neither_passes_nor_fails() -> None:
    def with_values(count: int, value: float) -> Measurement:
        """One run has so many values, the others have 1,000."""
        found = measurement_of({TAIL: (value,) * 3})
        known = Distribution(n=1_000, mean=1, sd_log=None, minimum=1, maximum=1, percentiles={})
        short = {TAIL.metric: replace(known, n=count)}
        runs = tuple(replace(run, distributions={TAIL.metric: known}) for run in found.runs)
        return replace(found, runs=(runs[0], replace(runs[1], distributions=short), runs[2]))

    def documented(count: int) -> tuple[Baseline, ...]:
        document, runs = document_of({TAIL: (QUIET,) * 3}), with_values(count, QUIET).runs
        return (
            replace(document, runs=tuple(replace(a, distributions=b.distributions) for a, b in zip(document.runs, runs, strict=True))),
        ) * 10

    for count, history, judged in ((100, 100, True), (99, 100, False), (100, 99, False)):
        found = Found(documents=documented(history))
        verdict = judge.judge(with_values(count, QUIET * 2), found, expecting(TAIL), key=KEY)
        assert verdict.cells[0].suspect is judged
        assert verdict.outcome is (Outcome.INCONCLUSIVE if judged else Outcome.INVALID), "of nothing else there was anything to judge"
        beside = Expectation(gates=(*EXPECTATION.gates, Gate(cell=TAIL, tolerance=0.03)))
        others = {ITL: QUIET, TTFT: QUIET, THROUGHPUT: QUIET}
        measurement = with_values(count, QUIET * 2)
        measurement = replace(measurement, runs=tuple(replace(run, values={**run.values, **others}) for run in measurement.runs))
        documents = tuple(
            replace(
                document,
                units={**document.units, ITL.metric: "s", THROUGHPUT.metric: "tokens/s"},
                runs=tuple(replace(run, values={**run.values, **others}) for run in document.runs),
            )
            for document in documented(history)
        )
        verdict = judge.judge(measurement, Found(documents=documents), beside, key=KEY)
        assert verdict.outcome is (Outcome.INCONCLUSIVE if judged else Outcome.UNCHANGED)
        must = replace(beside, gates=tuple(replace(gate, required=True) for gate in beside.gates))
        verdict = judge.judge(measurement, Found(documents=documents), must, key=KEY)
        assert verdict.outcome is (Outcome.INCONCLUSIVE if judged else Outcome.INVALID)


def counts_are_equal_or_not() -> None:
    cell = cell_of("server_preemptions")
    documents = quiet(cell, value=7.0)
    for value, outcome in ((7.0, Outcome.UNCHANGED), (8.0, Outcome.REGRESSED), (6.0, Outcome.IMPROVED)):
        assert looked_at(cell, value, documents=documents).outcome is outcome
    uneven = measurement_of({cell: (7.0, 7.0, 8.0)})
    assert judge.judge(uneven, Found(documents=documents), expecting(cell), key=KEY).outcome is Outcome.INVALID
    mixed = (document_of({cell: (7.0, 8.0, 7.0)}), *documents)
    assert looked_at(cell, 7.0, documents=mixed).outcome is Outcome.INVALID
    inexact = Expectation(gates=(Gate(cell=cell, tolerance=0.03),))
    shown = judge.judge(measurement_of({cell: (70.0,) * 3}), Found(documents=documents), inexact, key=KEY)
    assert (shown.outcome, shown.cells[0].decisive) == (Outcome.INVALID, False)
    facts = cell_of("kvbm_matched_tokens")
    assert looked_at(facts, QUIET / 2).outcome is Outcome.REGRESSED
    assert looked_at(facts, QUIET * 2).outcome is Outcome.REGRESSED


def a_rate_near_one_is_found_in_points() -> None:
    """Runs with none or one miss of a hundred: their log odds scatter by more than 1, and would hide a loss of five points."""
    hits = cell_of("prefix_cache_hit_rate")
    documents = tuple(document_of({hits: (1.0, 0.99, 1.0)}, number=number) for number in range(10))
    assert decided(hits, 0.94, 0.94, documents=documents).outcome is Outcome.REGRESSED
    assert looked_at(hits, 0.99, documents=documents).outcome is Outcome.UNCHANGED
    never = quiet(hits, value=1.0)
    assert looked_at(hits, 0.995, tolerance=0.003, documents=never).cells[0].suspect is True
    assert decided(hits, 0.995, 0.9988, tolerance=0.001, documents=never).outcome is Outcome.INCONCLUSIVE, "a rate of 1 has noise as well"


def requests_are_never_pooled() -> None:
    hits = cell_of("prefix_cache_hit_rate")
    documents = tuple(document_of({hits: values}, number=number) for number, values in enumerate(((0.7, 0.5, 0.3), (0.6, 0.5, 0.4)) * 5))
    measurement = measurement_of({hits: (0.66, 0.46, 0.26)})
    verdict = judge.judge(measurement, Found(documents=documents), expecting(hits), key=KEY)
    assert verdict.outcome is Outcome.UNCHANGED, "four points of three runs of 10,000 tokens: a proportion test would be certain"


PROMISES: Mapping[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        a_fifth_worse_is_found_in_every_metric,
        a_fifth_better_is_improved_in_every_metric,
        the_same_is_unchanged_in_every_metric,
        half_of_the_tolerance_is_where_suspicion_begins,
        half_of_the_tolerance_of_a_rate_is_in_points,
        the_whole_tolerance_is_where_a_regression_begins,
        noise_beyond_the_tolerance_holds_back,
        without_a_control_the_whole_noise_counts,
        where_pairs_follow_one_wild_run_hides_nothing,
        where_pairs_follow_suspicion_begins_at_four_tenths,
        one_bad_session_is_never_red,
        one_bad_run_of_three_is_never_red,
        what_was_not_measured_never_passes,
        without_a_decisive_gate_nothing_passes,
        what_was_not_compared_is_never_unchanged,
        another_unit_is_incomparable,
        what_has_no_logarithm_is_invalid,
        what_is_no_part_of_a_whole_is_invalid,
        what_has_no_direction_is_invalid,
        a_crash_is_invalid,
        the_worst_decisive_cell_is_the_case,
        a_tail_of_too_few_values_neither_passes_nor_fails,
        counts_are_equal_or_not,
        a_rate_near_one_is_found_in_points,
        requests_are_never_pooled,
    )
}
