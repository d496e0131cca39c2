from __future__ import annotations

from dataclasses import replace

from pytest_dynperf.report import duet_text
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.judged_reports import CONTROL, a_duet, by_duet
from tests.fakes.session_reports import a_result


def test_a_duet_says_with_what_in_how_many_pairs_and_in_which_layout() -> None:
    assert duet_text.decided_by(by_duet()) == f"10 pairs side by side against a control: {CONTROL} (1 more pair invalid and repeated)"
    blocks = by_duet(duet=replace(a_duet("", layout="blocks"), discarded=()))
    assert duet_text.decided_by(blocks) == "10 pairs in blocks (ABBA, one deployment at a time) against a control: (not named)"


def test_a_fresh_session_says_so_and_nothing_says_nothing() -> None:
    assert duet_text.decided_by(a_result(4, Outcome.REGRESSED)) == "a fresh session"
    assert duet_text.decided_by(a_result()) == ""
    assert duet_text.against(a_result()) == ""


def test_what_differs_between_the_arms_is_named_as_control_and_candidate() -> None:
    assert duet_text.arm_changes(by_duet()) == [("dynamo.version", "1.4.0", "1.4.2")]


def test_a_side_without_arguments_had_none_and_other_facts_were_not_recorded() -> None:
    control = {"dynamo.version": "1.4.2", "commit": "0a1b2c3", "worker.args": "--x"}
    changes = duet_text.arm_changes(by_duet(duet=replace(a_duet(), control_provenance=control)))
    assert changes == [("host", "(not recorded)", "perf-1"), ("worker.args", "--x", "(none)")]


def test_arms_without_a_record_differ_in_nothing_that_could_be_named() -> None:
    assert duet_text.arm_changes(by_duet(duet=replace(a_duet(), control_provenance={}))) == []
    assert duet_text.arm_changes(replace(by_duet(), environment=None)) == []
    assert duet_text.arm_changes(a_result()) == []
