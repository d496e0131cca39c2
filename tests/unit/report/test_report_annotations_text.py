from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.report import annotations_text
from pytest_dynperf.report.annotations_text import shift, survivors_note
from pytest_dynperf.report.rows import rows
from pytest_dynperf.verdict.annotations import Annotations
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.judged_reports import shifted
from tests.fakes.session_reports import ITL, a_regressed_sweep, a_report, a_result

if TYPE_CHECKING:
    import pytest


def test_a_shift_says_how_much_and_how_many_cells() -> None:
    found = shift(shifted())
    assert found is not None
    assert found.sentence == "The whole session is 4.1 % slower than its baselines: 8 of 16 cells are worse by more than 2 %."


def test_the_cells_that_are_counted_are_those_beyond_the_shift_of_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotations_text, "SHIFT", 0.5)
    found = shift(shifted())
    assert found is not None
    assert found.sentence.endswith("0 of 16 cells are worse by more than 50 %.")


def test_failures_are_grouped_by_whether_the_shift_explains_them() -> None:
    found = shift(shifted())
    assert found is not None
    assert found.beyond == ("agg-isl256-osl32-c4 throughput", "agg-isl256-osl32-c4 ITL p50")
    assert found.with_it == ("agg-isl256-osl32-c16 throughput", "agg-isl256-osl32-c16 ITL p50")


def test_a_shift_lowers_nothing_and_says_so() -> None:
    found = shift(shifted())
    assert found is not None
    assert "lowers no outcome" in found.note
    assert sum(row.cell.outcome is Outcome.REGRESSED for row in rows(shifted().results, shifted().annotations)) == 4


def test_without_a_shift_there_is_nothing_to_say() -> None:
    assert shift(a_regressed_sweep()) is None
    assert shift(replace(shifted(), annotations=Annotations(judged=16))) is None


def test_survivors_are_marked_and_explained_once() -> None:
    report = shifted()
    marked = [row for row in rows(report.results, report.annotations) if row.verdict.endswith("†")]
    assert [(row.result.case.case_id, row.cell.cell) for row in marked] == [("agg-isl256-osl32-c4", ITL)]
    assert survivors_note(report) == (
        "† stands out among all 16 compared cells (Benjamini-Hochberg, q = .10). A regression without the mark is one all the same."
    )


def test_where_none_survives_that_is_said_and_where_none_regressed_nothing_is() -> None:
    assert survivors_note(replace(a_regressed_sweep(), annotations=Annotations(judged=16))).startswith(
        "No regression stands out among all 16"
    )
    assert survivors_note(replace(a_report(a_result()), annotations=Annotations(judged=4))) == ""
    assert survivors_note(a_regressed_sweep()) == ""
