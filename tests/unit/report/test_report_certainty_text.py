from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.report.certainty_text import underpowered_sentence, what_decides
from pytest_dynperf.verdict.sequential import LOOKS
from pytest_dynperf.verdict.verdict import Means, Outcome
from tests.fakes.judged_reports import by_duet, of_rates, underpowered
from tests.fakes.session_reports import a_result


def test_what_could_not_have_been_seen_is_counted_with_its_mde_and_what_helps() -> None:
    assert underpowered_sentence(underpowered().results) == (
        "2 of 6 cells could not have shown a regression of their tolerance: MDE 7.8 to 14.8 %. "
        "More baseline sessions or --dynperf-control would help."
    )


def test_rates_are_named_in_points_beside_per_cent() -> None:
    rates = of_rates()
    weak = replace(rates, verdict=replace(rates.verdict, cells=tuple(replace(cell, underpowered=True) for cell in rates.verdict.cells)))
    assert "MDE 7.8 to 14.8 %, 0.45 to 3.0 points." in underpowered_sentence((*underpowered().results, weak))


def test_a_control_is_not_recommended_where_there_is_one() -> None:
    results = tuple(replace(result, duet_possible=True) for result in underpowered().results)
    assert underpowered_sentence(results).endswith("More baseline sessions would help.")


def test_nothing_is_said_where_everything_could_be_seen() -> None:
    assert underpowered_sentence([a_result(), a_result(4, Outcome.NO_BASELINE)]) == ""


def test_gates_that_do_not_decide_are_not_counted() -> None:
    result = a_result()
    cells = tuple(replace(cell, underpowered=True, decisive=False) for cell in result.verdict.cells)
    assert underpowered_sentence([replace(result, verdict=replace(result.verdict, cells=cells))]) == ""


def test_undecided_pairs_ask_for_more_or_for_quieter_ones() -> None:
    assert f"10 of at most {LOOKS[-1]} were measured" in what_decides(by_duet(Outcome.INCONCLUSIVE, pairs=10))
    at_the_cap = by_duet(Outcome.INCONCLUSIVE)
    cells = tuple(replace(cell, pairs=LOOKS[-1]) if cell.pairs else cell for cell in at_the_cap.verdict.cells)
    text = what_decides(replace(at_the_cap, verdict=replace(at_the_cap.verdict, cells=cells)))
    assert "more pairs" not in text
    assert "scatter less" in text


@pytest.mark.parametrize(("means", "asked"), [(None, "--dynperf-budget"), (Means.FRESH_SESSION, "more baseline sessions (5 now)")])
def test_without_pairs_the_ways_are_a_control_and_history_or_budget(means: Means | None, asked: str) -> None:
    result = a_result(4, Outcome.INCONCLUSIVE)
    result = replace(result, verdict=replace(result.verdict, means=means))
    assert asked in what_decides(result)
    assert "--dynperf-control" in what_decides(result)
    assert "--dynperf-control" not in what_decides(replace(result, duet_possible=True))


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.INCONCLUSIVE])
def test_what_is_decided_asks_for_nothing(outcome: Outcome) -> None:
    assert what_decides(a_result(4, outcome)) == ""
