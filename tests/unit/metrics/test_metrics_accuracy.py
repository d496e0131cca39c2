"""Answers are read by one documented rule, and what cannot be read is neither right nor wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.metrics import accuracy
from pytest_dynperf.metrics.accuracy import by_subject, graded, letter_of, right_of_asked, unreadable_of_answered
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Kind, RunFacts
from pytest_dynperf.observation.recording import Certificate, Recording
from pytest_dynperf.observation.request_record import Failure, FailureKind, RequestRecord
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import MetricDefinition

FACTS = RunFacts(gpu_count=None)


def record(
    answer: str | None, *, item: str | None = "s/0", expected: str | None = "B", subject: str = "s", **more: object
) -> RequestRecord:
    values: dict[str, object] = {
        "request_id": "r", "run": "1", "index": 0, "measured": True, "isl_requested": 1, "osl_requested": 1, "scheduled_ns": 0,
        "item": item, "expected": expected, "subject": subject, "answer": answer,
    }  # fmt: skip
    return RequestRecord(**values | more)  # type: ignore[arg-type]


def recording(*records: RequestRecord) -> Recording:
    certificate = Certificate(send_lag_p99_s=0, receive_lag_p99_s=0, mean_in_flight=1, coalesced_share=0, clock_step_s=0)
    return Recording(run="1", records=records, window_start_ns=0, window_end_ns=1, concurrency=1, certificate=certificate)


@pytest.mark.parametrize(
    "text",
    ["B", " B", "B.", "(B)", "B)", "**B**", "b", "(b)", "B\nA", "B. Paris", "B: A", "B, not A", "The answer is B.", "Answer: B",
     "answer: (B)", "The correct answer is (B) Paris.", "Option B", "I would say choice B.", '"B"', "B  ", "- B"],
)  # fmt: skip
def test_a_letter_is_read(text: str) -> None:
    assert letter_of(text) == "B"


@pytest.mark.parametrize(
    "text", ["", "\nB", "Paris", "A dog", "E", "b is it", "Because B", "BB", "AB.", "the answer is", "Answer: Paris", "A-level", "A's"]
)
def test_what_is_no_letter_is_not_taken_for_one(text: str) -> None:
    assert letter_of(text) is None


def test_an_answer_is_right_wrong_or_unreadable() -> None:
    assert graded(record("B")) is True
    assert graded(record("C")) is False
    assert graded(record("hm")) is None
    assert graded(record("B", expected=None, item=None)) is None
    assert graded(replace(record("B"), error=Failure(kind=FailureKind.TRUNCATED, detail=""))) is None
    assert graded(record(None)) is None


FAILED = record(None, item="s/3", error=Failure(kind=FailureKind.CONNECTION, detail="gone"))
SEEN = recording(
    record("B", item="s/0"),
    record("A", item="s/1"),
    record("hm", item="t/0", subject="t"),
    FAILED,
    record("B", item=None, expected=None),  # warm-up and surrounding load ask something else
    record("B", item="s/0", measured=False),
)


def test_a_failed_request_and_an_unreadable_answer_are_asked_and_not_right() -> None:
    assert right_of_asked(SEEN, FACTS) == (1, 4)
    assert CATALOGUE["accuracy.v1"].value is not None
    assert accuracy.accuracy(SEEN, FACTS) == 0.25


def test_unreadable_is_a_share_of_what_was_answered() -> None:
    assert unreadable_of_answered(SEEN, FACTS) == (1, 3)
    assert accuracy.unreadable_answer_rate(SEEN, FACTS) == pytest.approx(1 / 3)


def test_accuracy_of_each_subject() -> None:
    assert by_subject(SEEN) == {"s": (1, 3), "t": (0, 1)}


def test_a_run_in_which_everything_failed_is_wrong_throughout_and_says_nothing_of_reading() -> None:
    assert right_of_asked(recording(FAILED), FACTS) == (0, 1)
    found = unreadable_of_answered(recording(FAILED), FACTS)
    assert isinstance(found, Absent)
    assert "every request failed" in found.reason


def test_a_set_without_items_has_no_accuracy() -> None:
    for found in (accuracy.accuracy(recording(), FACTS), accuracy.unreadable_answer_rate(recording(), FACTS), by_subject(recording())):
        assert isinstance(found, Absent)
        assert "no question was asked" in found.reason


def test_an_item_asked_twice_is_not_counted_twice() -> None:
    twice = recording(record("B"), record("B"))
    for found in (accuracy.accuracy(twice, FACTS), accuracy.unreadable_answer_rate(twice, FACTS), by_subject(twice)):
        assert isinstance(found, Absent)
        assert "s/0 was asked 2 times" in found.reason


@pytest.mark.parametrize("definition", accuracy.DEFINITIONS, ids=lambda definition: definition.name)
def test_direction_points_to_what_is_worse(definition: MetricDefinition) -> None:
    assert definition.value is not None
    good, bad = (definition.value(recording(*(record(text, item=f"s/{n}") for n in range(4))), FACTS) for text in ("B", "hm"))
    assert not isinstance(good, Absent)
    assert not isinstance(bad, Absent)
    assert (bad - good) * definition.direction.sign == 1


def test_both_are_rates_with_parts() -> None:
    for definition in accuracy.DEFINITIONS:
        assert CATALOGUE[definition.id] is definition
        assert definition.kind is Kind.RATE
        assert definition.parts is not None
