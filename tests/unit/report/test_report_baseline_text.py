"""The words of a dry run: per case what would happen and why, per gate old and new."""

from __future__ import annotations

import re
from dataclasses import replace

from pytest_dynperf.report.baseline_text import acceptance_lines, difference_lines, update_lines
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.session_reports import a_report, a_result


def test_each_case_with_its_fate_and_each_gate_with_old_and_new() -> None:
    slower = a_result(16, Outcome.REGRESSED, factor=1.119)
    report = replace(a_report(a_result(4), slower), refused=(f"{slower.case.name}: regressed: accept it with a reason",))
    lines = update_lines(report)
    assert lines[0] == "concurrency_sweep/agg-isl256-osl32-c4: unchanged, would be accepted"
    place = lines.index(f"{slower.case.name}: regressed, would be refused: regressed: accept it with a reason")
    assert len(lines) == 2 + 2 * 4
    itl = next(line for line in lines[place:] if line.strip().startswith("ITL p50"))
    assert re.search(r"\d ms → [\d.]+ ms +\+[\d.]+ % \[\+[\d.]+, \+[\d.]+\]  MDE [\d.]+ %$", itl)


def test_without_a_baseline_there_is_no_old_value() -> None:
    lines = update_lines(a_report(a_result(4, Outcome.NO_BASELINE)))
    result = a_result(4, Outcome.NO_BASELINE)
    bare = replace(result, verdict=replace(result.verdict, cells=tuple(replace(c, baseline=None) for c in result.verdict.cells)))
    assert "no baseline, would be accepted" in lines[0]
    assert all("– → " in line and "MDE" not in line for line in update_lines(a_report(bare))[1:])


def test_an_incomplete_session_is_one_sentence() -> None:
    report = replace(a_report(a_result(4), interrupted="Ctrl-C"), refused=("nothing: the session is incomplete",))
    assert update_lines(report) == ["would be refused: nothing: the session is incomplete"]


def test_text_of_others_does_not_steer_the_terminal() -> None:
    assert "\x1b" not in "".join(acceptance_lines({}, {"a/b": "\x1b[2Jgone"}, dry_run=False))
    assert "\x1b" not in "".join(difference_lines("a", "b", (), {"host": ("\x1b[2J", None)}, {}))


def test_two_sides_without_a_common_cell_say_so() -> None:
    assert "no cell is in both" in difference_lines("a", "b", (), {}, {})
