"""Arms in words: what the summary, a failure and the page say of them, and that files keep all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.errors import UsageError
from pytest_dynperf.report.html_page import render
from pytest_dynperf.report.json_file import decode_result, encode_result
from pytest_dynperf.report.parity_text import failure_lines, sentence, views
from pytest_dynperf.report.terminal import failure_text, summary
from pytest_dynperf.scenario.expectation import Parity
from pytest_dynperf.verdict.arm_parity import ArmParity, Reply, compare_arms, with_parity
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.arms import answers
from tests.fakes.session_reports import a_case, a_report, a_result

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import CaseResult

PROMISE = Parity(reference="off", noise="off-again")
TWO_SUBJECTS = answers(1000) + answers(1000, subject="law", prefix="law")
LOST = answers(1000, wrong=range(60)) + answers(1000, subject="law", prefix="law")


def result_of(parity: ArmParity) -> CaseResult:
    case = a_case()
    case = replace(case, case_id=f"{case.case_id}-warm", arm="warm", expectation=replace(case.expectation, parity=PROMISE))
    found = a_result(case=case)
    return replace(found, verdict=with_parity(found.verdict, parity), parity=parity)


def compared(reference: list[Reply], candidate: list[Reply], promise: Parity = PROMISE, **more: list[Reply]) -> CaseResult:
    return result_of(compare_arms(reference, candidate, promise, name="agg-off", **more))


def every_kind() -> list[CaseResult]:
    texts = replace(PROMISE, texts=True)
    other = [replace(reply, text="<script>alert(1)</script>") for reply in answers(60)]
    return [
        compared(TWO_SUBJECTS, LOST, noise=answers(1000, wrong=[7]) + TWO_SUBJECTS[1000:]),
        compared(answers(50), answers(50)),
        compared(TWO_SUBJECTS, LOST, replace(PROMISE, fixed=True)),
        compared(answers(60), other, texts, noise=answers(60)),
        compared([], [], texts),
        compared(answers(50, unread=range(50)), answers(50, unread=range(50))),
    ]


@pytest.mark.parametrize("number", range(6))
def test_what_is_written_is_read(number: int) -> None:
    result = every_kind()[number]
    encoded: dict[str, Any] = json.loads(json.dumps(encode_result(result), allow_nan=False))
    read = decode_result(encoded)
    assert read.parity == result.parity
    assert read.verdict.parity is result.verdict.parity
    assert (read.case.arm, read.case.expectation.parity) == ("warm", PROMISE)
    assert json.loads(json.dumps(encode_result(read))) == encoded


def test_a_file_of_before_there_were_arms_is_read() -> None:
    encoded = encode_result(a_result())
    for table, key in ((encoded, "arm"), (encoded, "parity"), (encoded["expectation"], "parity"), (encoded["verdict"], "parity")):
        assert isinstance(table, dict)
        del table[key]
    traffic = encoded["traffic"]
    assert isinstance(traffic, dict)
    del traffic["cache"]
    assert decode_result(encoded) == decode_result(encode_result(a_result()))


@pytest.mark.parametrize("key", ["outcome", "accuracy", "subjects", "discordant", "records"])
def test_a_parity_that_lacks_a_key_is_refused(key: str) -> None:
    encoded = encode_result(every_kind()[0])
    table = encoded["parity"]
    assert isinstance(table, dict)
    del table[key]
    with pytest.raises(UsageError, match=f"key '{key}' is missing"):
        decode_result(encoded)


def test_the_sentence_of_the_summary() -> None:
    lost, few, _fixed, texts, empty, unread = every_kind()
    start = "parity of agg-isl256-osl32-c4-warm with agg-off: "
    assert sentence(lost).startswith(start + "regressed, 60 lost and 0 gained of 2,000 items, loss 3.00 points, at most ")
    assert sentence(lost).endswith("(limit 1.00)")
    assert sentence(few).startswith(start + "inconclusive, 0 lost and 0 gained of 50 items, loss 0.00 points")
    assert sentence(texts).startswith(start + "regressed, 0 lost and 0 gained of 60 items")
    assert sentence(texts).endswith("0 of 60 texts the same")
    assert "invalid" in sentence(empty)
    assert sentence(unread) == start + "invalid, 50 of 50 answers of the reference could not be read (100.0%, allowed 1.0%)"
    assert sentence(a_result()) == ""
    report = a_report(every_kind()[0])
    assert any(line.text.startswith("parity of") for line in summary(report, width=100, verbose=False))


def test_a_failure_names_what_was_lost_and_what_to_compare_it_with() -> None:
    text = failure_text(every_kind()[0])
    assert "lost: q0 (facts): reference 'A', here 'B'" in text
    assert "55 more differ" in text
    assert "the reference measured once more differs from itself in 1 of 2000" in text
    assert "so suspect" not in text, "what another Dynamo may have done is no question between two arms"
    assert failure_lines(a_result()) == []


def test_the_page_has_a_section_with_subjects_and_items_and_nothing_without_arms() -> None:
    results = [replace(result, case=replace(result.case, case_id=f"c{number}-warm")) for number, result in enumerate(every_kind())]
    page = render(a_report(*results))
    assert "Parity: arms against their reference" in page
    assert '<td class="number">60</td>' in page
    assert "law" in page
    assert "q0" in page
    assert "<script>alert(1)</script>" not in page, "an answer is text"
    assert "nothing was compared" in page or "no text was compared" in page
    assert "Parity: arms" not in render(a_report(a_result()))


def test_the_worst_arm_stands_first() -> None:
    assert next(view.parity.outcome for view in views(every_kind())) is Outcome.REGRESSED


def test_an_open_parity_says_what_would_decide_it() -> None:
    result = every_kind()[1]
    assert result.verdict.outcome is Outcome.INCONCLUSIVE
    assert any("more items in every arm" in line.text for line in summary(a_report(result), width=100, verbose=False))
