"""Questions with known answers: what is read, what is refused, what is asked."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.fact_table import SEED as TABLE_SEED
from pytest_dynperf.workload.fact_table import prompt, questions, table
from pytest_dynperf.workload.mmlu import QuestionSet, chosen, dealt, item_requests, local_set, numbered, prompt_of
from pytest_dynperf.workload.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.workload.prompt import PromptSource

ROW = {"question": " What is 1 + 1? ", "subject": "elementary_mathematics", "choices": ["1", "2", "3", "4"], "answer": 1}


def rows(subject: str, number: int) -> list[dict[str, object]]:
    return [{**ROW, "subject": subject, "question": f"{subject} {place}?"} for place in range(number)]


def a_set(*found: dict[str, object], header: bool = True) -> QuestionSet:
    return QuestionSet(items=numbered(found), examples={}, header=header)


def warmup() -> Iterator[Request]:
    return (Request(index=index, content="x", isl=1, osl=3) for index in count())


def test_items_are_numbered_within_their_subject() -> None:
    found = numbered([*rows("b", 2), *rows("a", 1)])
    assert [(item.id, item.subject, item.letter) for item in found] == [("b/0", "b", "B"), ("b/1", "b", "B"), ("a/0", "a", "B")]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"answer": 4}, "answer is 4"),
        ({"answer": -1}, "answer is -1"),
        ({"answer": True}, "answer is True"),
        ({"answer": "B"}, "answer is 'B'"),
        ({"choices": ["1", "2", "3"]}, "must be four texts"),
        ({"choices": "1234"}, "must be four texts"),
        ({"question": "  "}, "question is"),
        ({"subject": "a/b"}, "without a slash"),
        ({"subject": ""}, "subject is ''"),
    ],
)
def test_a_row_that_is_none_is_named(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match="row 2: ") as caught:
        numbered([ROW, {**ROW, **wrong}])
    assert said in str(caught.value)


def test_the_prompt_is_that_of_generative_mmlu() -> None:
    found = replace(a_set(ROW), examples={"elementary_mathematics": numbered([{**ROW, "question": "0 + 1?", "answer": 0}])})
    assert prompt_of(found.items[0], found, shots=1) == (
        "The following are multiple choice questions (with answers) about elementary mathematics.\n\n"
        "0 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: A\n\n"
        "What is 1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:"
    )


def test_too_few_examples_are_said_with_the_first_request(source: PromptSource) -> None:
    requests = item_requests(a_set(ROW), warmup(), source, warmup_count=1, shots=5, osl=3)
    with pytest.raises(WorkloadError, match=r"has 0 examples.*traffic\.workload\.shots = 0"):
        next(requests)


def test_the_local_set_asks_what_its_generator_says() -> None:
    found = local_set()
    first = table(TABLE_SEED, 256)
    question = questions(first, TABLE_SEED)[0]
    assert prompt_of(found.items[0], found, shots=0) == prompt(first, question)
    assert found.items[0].letter == question.letter
    assert found.items[0].id == "block-0/0"
    assert len({item.id for item in found.items}) == 512


def test_each_item_is_asked_once_after_a_warm_up_that_asks_none(source: PromptSource) -> None:
    asked = list(item_requests(a_set(*rows("a", 3)), warmup(), source, warmup_count=2, shots=0, osl=3))
    assert [request.item for request in asked] == [None, None, "a/0", "a/1", "a/2"]
    assert [request.index for request in asked] == [0, 1, 2, 3, 4]
    assert {(request.subject, request.expected, request.stop) for request in asked[2:]} == {("a", "B", ("</s>", "\n"))}
    assert all(request.isl == len(source.tokens(request)) for request in asked[2:])


def test_subjects_and_limit_choose_and_keep_ids() -> None:
    found = a_set(*rows("b", 3), *rows("a", 3))
    assert [item.id for item in chosen(found, subjects=("b",), limit=2, where="x").items] == ["b/0", "b/1"]
    assert [item.id for item in chosen(found, limit=1, where="x").items] == ["b/0", "a/0"]


def test_runs_that_are_dealt_a_set_ask_no_question_twice() -> None:
    found = local_set()
    parts = [dealt(found, part=part, size=170).items for part in range(3)]
    assert [len(part) for part in parts] == [170] * 3
    assert tuple(item for part in parts for item in part) == found.items[:510]
    with pytest.raises(WorkloadError, match=r"run 4 is to ask 170 questions .* 2 are left of 512"):
        dealt(found, part=3, size=170)


def test_an_empty_set_and_an_unknown_subject_are_refused() -> None:
    with pytest.raises(WorkloadError, match="x holds no question"):
        chosen(a_set(), where="x")
    with pytest.raises(WorkloadError, match="x has no subject 'astrology'; it has a"):
        chosen(a_set(*rows("a", 1)), subjects=("astrology",), where="x")


def test_items_that_stand_there_twice_are_refused_but_for_a_few_of_many() -> None:
    once = rows("a", 200)
    assert len(chosen(a_set(*once, once[0]), where="x").items) == 201
    with pytest.raises(WorkloadError, match="3 of 203 questions of x stand there more than once") as caught:
        chosen(a_set(*once, *once[:3]), where="x")
    assert "'a 0?'" in str(caught.value)
