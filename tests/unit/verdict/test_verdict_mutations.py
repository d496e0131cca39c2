"""Every defect that would break a promise of the judge without a word: each is planted, and a promise turns red.

A defect replaces a piece of the source of one function of the judge while its promise runs; a piece that is not there any more fails, so
the list stays in step with the code.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass, replace

import pytest

from pytest_dynperf.measurement import cell_values
from pytest_dynperf.metrics import statistic
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.quantity import Direction
from pytest_dynperf.verdict import combine, confirmation, exact, judge, noise, scale, weigh
from pytest_dynperf.verdict.terms import Terms
from tests.fakes.judge_promises import (
    DIRECTED,
    PROMISES,
    a_fifth_better_is_improved_in_every_metric,
    a_fifth_worse_is_found_in_every_metric,
)


@pytest.mark.parametrize("name", PROMISES)
def test_the_judge_keeps_its_promise(name: str) -> None:
    PROMISES[name]()


# ---- defects


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """``old`` stands exactly once in the source of ``of``."""

    of: object
    old: str
    new: str
    promise: str


DEFECTS = {
    "a sign that is flipped": Defect(
        of=Direction.sign,
        old="1 if self is Direction.LOWER_IS_BETTER else -1",
        new="-1 if self is Direction.LOWER_IS_BETTER else 1",
        promise="a_fifth_worse_is_found_in_every_metric",
    ),
    "a sign that is always +": Defect(of=Direction.sign, old="else -1", new="else 1", promise="a_fifth_better_is_improved_in_every_metric"),
    "any change is suspect": Defect(
        of=judge._screened,
        old="comparison.delta > limit",
        new="abs(comparison.delta) > limit",
        promise="a_fifth_better_is_improved_in_every_metric",
    ),
    "nothing is suspect": Defect(
        of=judge._screened, old="comparison.delta > limit", new="False", promise="a_fifth_worse_is_found_in_every_metric"
    ),
    "the tolerance of the screen is ignored": Defect(
        of=noise.screen_limit,
        old="comparison.allowed(tolerance * share)",
        new="0.0",
        promise="half_of_the_tolerance_is_where_suspicion_begins",
    ),
    "the tolerance of the screen is doubled": Defect(
        of=noise.screen_limit,
        old="comparison.allowed(tolerance * share)",
        new="comparison.allowed(2 * tolerance * share)",
        promise="half_of_the_tolerance_is_where_suspicion_begins",
    ),
    "the screen of pairs holds without them": Defect(
        of=noise.screen_limit,
        old="if duet else (SCREEN_SHARE, SCREEN_QUANTILE)",
        new="",
        promise="half_of_the_tolerance_is_where_suspicion_begins",
    ),
    "the screen without pairs holds before them": Defect(
        of=noise.screen_limit, old="if duet else", new="if False else", promise="where_pairs_follow_suspicion_begins_at_four_tenths"
    ),
    "the floor of pairs holds without them": Defect(
        of=noise.compare_readings, old="robust=duet", new="robust=True", promise="without_a_control_the_whole_noise_counts"
    ),
    "the floor of pairs holds for a fresh session": Defect(
        of=confirmation.confirm, old="replace(terms, duet=False)", new="terms", promise="without_a_control_the_whole_noise_counts"
    ),
    "the floor without pairs holds before them": Defect(
        of=noise.compare_readings, old="robust=duet", new="robust=False", promise="where_pairs_follow_one_wild_run_hides_nothing"
    ),
    "that pairs follow is forgotten": Defect(
        of=weigh.candidate_values, old="duet=terms.duet", new="duet=False", promise="where_pairs_follow_one_wild_run_hides_nothing"
    ),
    "the mean is taken for the median of variances": Defect(
        of=noise.run_variance,
        old="median(_variance(runs) / _median_share(len(runs) - 1) for runs in sessions)",
        new="math.fsum(_variance(runs) for runs in sessions) / len(sessions)",
        promise="where_pairs_follow_one_wild_run_hides_nothing",
    ),
    "the tolerance of the decision is ignored": Defect(
        of=noise.decision_limit,
        old="whole_tolerance(comparison, tolerance)",
        new="0.0",
        promise="the_whole_tolerance_is_where_a_regression_begins",
    ),
    "the tolerance of the decision is doubled": Defect(
        of=noise.decision_limit,
        old="whole_tolerance(comparison, tolerance)",
        new="2 * whole_tolerance(comparison, tolerance)",
        promise="the_whole_tolerance_is_where_a_regression_begins",
    ),
    "the tolerance of a rate is taken for log odds": Defect(
        of=scale.Ruler.allowed,
        old="if self.scale is not Scale.LOG_ODDS",
        new="if True",
        promise="half_of_the_tolerance_of_a_rate_is_in_points",
    ),
    "the tolerance of a rate lies on the better side": Defect(
        of=scale.Ruler.allowed,
        old="+ self.sign * tolerance",
        new="- self.sign * tolerance",
        promise="half_of_the_tolerance_of_a_rate_is_in_points",
    ),
    "the noise between sessions is forgotten": Defect(
        of=noise.compare_readings,
        old="max(_between(history, ruler.prior_sd), _within([*theirs, ours], robust=duet))",
        new="1e-12",
        promise="noise_beyond_the_tolerance_holds_back",
    ),
    "the noise within sessions is forgotten": Defect(
        of=noise._within, old="return WITHIN_FACTOR", new="return 0 * WITHIN_FACTOR", promise="noise_beyond_the_tolerance_holds_back"
    ),
    "the prior is forgotten": Defect(
        of=noise._between, old="PRIOR_WEIGHT * prior_sd**2", new="1e-12", promise="noise_beyond_the_tolerance_holds_back"
    ),
    "the history is forgotten": Defect(
        of=noise._between, old="(count - 1) * spread", new="0.0", promise="noise_beyond_the_tolerance_holds_back"
    ),
    "never underpowered": Defect(
        of=noise.shows_not_worse,
        old="comparison.delta + comparison.margin(0.95)",
        new="comparison.delta",
        promise="noise_beyond_the_tolerance_holds_back",
    ),
    "always underpowered": Defect(
        of=noise.shows_not_worse,
        old="< comparison.allowed",
        new="< 0 * comparison.allowed",
        promise="noise_beyond_the_tolerance_holds_back",
    ),
    "a mean instead of the median": Defect(
        of=noise.compare_readings,
        old="candidate=median(ours)",
        new="candidate=math.fsum(ours) / len(ours)",
        promise="one_bad_run_of_three_is_never_red",
    ),
    "the fresh session is not asked": Defect(
        of=confirmation._decided, old="weighed.comparison.delta > limit", new="True", promise="one_bad_session_is_never_red"
    ),
    "the first look is red": Defect(
        of=judge._screened, old="outcome=Outcome.INCONCLUSIVE", new="outcome=Outcome.REGRESSED", promise="one_bad_session_is_never_red"
    ),
    "what is not confirmed is unchanged": Defect(
        of=confirmation._decided, old="else Outcome.INCONCLUSIVE", new="else Outcome.UNCHANGED", promise="one_bad_session_is_never_red"
    ),
    "runs that lack the cell are left out": Defect(
        of=cell_values.values,
        old='            return Absent(f"run {run.name}: {reason}")',
        new="            continue",
        promise="what_was_not_measured_never_passes",
    ),
    "two runs are enough": Defect(
        of=weigh.flaws,
        old="len(measurement.runs) < MINIMUM_RUNS",
        new="len(measurement.runs) < 2",
        promise="what_was_not_measured_never_passes",
    ),
    "problems of the measurement are overlooked": Defect(
        of=weigh.flaws, old="*measurement.problems, ", new="", promise="what_was_not_measured_never_passes"
    ),
    "problems of a run are overlooked": Defect(
        of=weigh.flaws, old="for problem in run.problems", new="for problem in ()", promise="what_was_not_measured_never_passes"
    ),
    "a broken fresh session decides nothing": Defect(
        of=confirmation._unusable,
        old="outcome=Outcome.INVALID",
        new="outcome=Outcome.UNCHANGED",
        promise="what_was_not_measured_never_passes",
    ),
    "no decisive gate is no flaw": Defect(
        of=weigh.flaws,
        old="if not any(gate.decisive for gate in expectation.gates)",
        new="if False",
        promise="without_a_decisive_gate_nothing_passes",
    ),
    "nothing compared is unchanged": Defect(
        of=combine.worst,
        old="default=Outcome.INVALID",
        new="default=Outcome.UNCHANGED",
        promise="a_tail_of_too_few_values_neither_passes_nor_fails",
    ),
    "no baseline is unchanged": Defect(
        of=judge._without_documents,
        old="Outcome.NO_BASELINE,",
        new="Outcome.UNCHANGED,",
        promise="what_was_not_compared_is_never_unchanged",
    ),
    "other circumstances are no baseline": Defect(
        of=judge._without_documents, old="if found.others", new="if False", promise="what_was_not_compared_is_never_unchanged"
    ),
    "a cell that no document holds is invalid": Defect(
        of=weigh.baseline_readings, old="if sessions:", new="if True:", promise="what_was_not_compared_is_never_unchanged"
    ),
    "documents of two runs count": Defect(
        of=weigh.baseline_readings,
        old=" and len(document.runs) >= MINIMUM_RUNS",
        new="",
        promise="what_was_not_compared_is_never_unchanged",
    ),
    "units are not looked at": Defect(of=weigh.baseline_readings, old="if units:", new="if False:", promise="another_unit_is_incomparable"),
    "one unit that fits is enough": Defect(
        of=weigh.baseline_readings,
        old="if units:",
        new="if units and len(documents) == len(units):",
        promise="another_unit_is_incomparable",
    ),
    "zero is a value": Defect(of=scale.Reading.flaw, old="and self.value > 0", new="", promise="what_has_no_logarithm_is_invalid"),
    "infinity is a value": Defect(
        of=scale.Reading.flaw, old="math.isfinite(self.value) and", new="", promise="what_has_no_logarithm_is_invalid"
    ),
    "more than the whole is a part": Defect(
        of=scale.Reading.flaw, old="0 <= part <= whole", new="0 <= part", promise="what_is_no_part_of_a_whole_is_invalid"
    ),
    "a rate without parts is compared by what there is": Defect(
        of=weigh.reading_of,
        old="if meaning.id in run.parts else None",
        new="if meaning.id in run.parts else Reading(run.values[cell])",
        promise="what_is_no_part_of_a_whole_is_invalid",
    ),
    "a fact is a metric like any other": Defect(
        of=weigh._refusal,
        old="if meaning.direction is Direction.NEITHER and not gate.exact",
        new="if False",
        promise="what_has_no_direction_is_invalid",
    ),
    "a crash is unchanged": Defect(
        of=judge.invalid, old="outcome=Outcome.INVALID", new="outcome=Outcome.UNCHANGED", promise="a_crash_is_invalid"
    ),
    "a crash is a regression": Defect(
        of=judge.invalid, old="outcome=Outcome.INVALID", new="outcome=Outcome.REGRESSED", promise="a_crash_is_invalid"
    ),
    "the mildest cell is the case": Defect(of=combine.worst, old="max(", new="min(", promise="the_worst_decisive_cell_is_the_case"),
    "cells that are not decisive count": Defect(
        of=combine.of_case,
        old="for cell in cells if cell.decisive)",
        new="for cell in cells)",
        promise="the_worst_decisive_cell_is_the_case",
    ),
    "what is only shown decides": Defect(
        of=combine.only_shown, old="decisive=False", new="decisive=True", promise="a_tail_of_too_few_values_neither_passes_nor_fails"
    ),
    "required is ignored": Defect(
        of=combine.only_shown, old="if gate.required", new="if False", promise="a_tail_of_too_few_values_neither_passes_nor_fails"
    ),
    "a tail needs nothing": Defect(
        of=statistic.least_samples,
        old="_MINIMUM_SAMPLES.get(name, 1)",
        new="1",
        promise="a_tail_of_too_few_values_neither_passes_nor_fails",
    ),
    "the largest run tells of a tail": Defect(
        of=weigh._too_few,
        old="min(known) >= needed",
        new="max(known) >= needed",
        promise="a_tail_of_too_few_values_neither_passes_nor_fails",
    ),
    "a baseline's tail is not asked": Defect(
        of=weigh.baseline_readings,
        old='(few := _too_few(gate.cell, document.runs, "the baseline"))',
        new="(few := None)",
        promise="a_tail_of_too_few_values_neither_passes_nor_fails",
    ),
    "a count is judged without exact": Defect(
        of=weigh.candidate_values, old="if gate.exact else only_shown(gate, _INEXACT, found)", new="", promise="counts_are_equal_or_not"
    ),
    "more of a count is better": Defect(
        of=exact.judge_count, old="sign * (found - best)", new="sign * (best - found)", promise="counts_are_equal_or_not"
    ),
    "runs of a count may differ": Defect(
        of=exact.contradiction, old="len(set(seen.values)) == 1", new="True", promise="counts_are_equal_or_not"
    ),
    "runs of a count may differ in the baseline": Defect(of=exact.judge_count, old="> 1:", new="> 9:", promise="counts_are_equal_or_not"),
    "a count without direction may fall": Defect(
        of=exact.judge_count, old="abs(found - best) if neither", new="(found - best) if neither", promise="counts_are_equal_or_not"
    ),
    "log odds everywhere": Defect(
        of=scale.ruler,
        old="if all(low <= rate <= high for rate in (ours, theirs, theirs + sign * tolerance))",
        new="if True",
        promise="a_rate_near_one_is_found_in_points",
    ),
    "a rate of 1 has no noise": Defect(
        of=scale.ruler, old="max(_LEAST_RATE,", new="max(1e-12,", promise="a_rate_near_one_is_found_in_points"
    ),
    "a rate is judged as if its runs were one": Defect(
        of=noise.compare_readings,
        old="max(_between(history, ruler.prior_sd), _within([*theirs, ours], robust=duet))",
        new="4 / math.fsum(reading.parts[1] for reading in candidate)",
        promise="requests_are_never_pooled",
    ),
}


def plant(monkeypatch: pytest.MonkeyPatch, defect: Defect) -> None:
    """Gives a function, however it was imported elsewhere, the code of its source with the defect in it."""
    function = defect.of.fget if isinstance(defect.of, property) else defect.of
    assert inspect.isfunction(function)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(defect.old) == 1, "the planted defect must be planted"
    tree = ast.parse(f"from __future__ import annotations\n{source.replace(defect.old, defect.new)}")
    (definition,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    definition.decorator_list = []
    namespace: dict[str, object] = {}
    exec(compile(tree, "<defect>", "exec"), function.__globals__, namespace)
    broken = namespace[definition.name]
    assert inspect.isfunction(broken)
    monkeypatch.setattr(function, "__code__", broken.__code__)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_turns_its_promise_red(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    defect = DEFECTS[name]
    plant(monkeypatch, defect)
    with pytest.raises(AssertionError):
        PROMISES[defect.promise]()


@pytest.mark.parametrize("name", DIRECTED)
def test_the_direction_of_every_metric_is_one_that_a_promise_would_miss(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each one turned around, alone: a wrong direction switches a gate off without a word."""
    meaning = MEANINGS[f"{name}.v1"]
    other = Direction.LOWER_IS_BETTER if meaning.direction is Direction.HIGHER_IS_BETTER else Direction.HIGHER_IS_BETTER
    for wrong in (other, Direction.NEITHER):
        turned = Terms(meanings={**MEANINGS, meaning.id: replace(meaning, direction=wrong)})
        monkeypatch.setattr(judge.judge, "__kwdefaults__", {"terms": turned})
        monkeypatch.setattr(confirmation.confirm, "__kwdefaults__", {"terms": turned})
        if not (meaning.kind is Kind.COUNT and wrong is Direction.NEITHER):  # any difference of such a count is worse
            with pytest.raises(AssertionError, match=name):
                a_fifth_worse_is_found_in_every_metric()
        with pytest.raises(AssertionError, match=name):
            a_fifth_better_is_improved_in_every_metric()


def test_every_promise_can_be_broken() -> None:
    assert {defect.promise for defect in DEFECTS.values()} | {"the_same_is_unchanged_in_every_metric"} >= set(PROMISES)
