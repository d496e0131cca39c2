"""Tables of facts and questions about them: the same everywhere, answerable from the prompt alone."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest

from pytest_dynperf.workload.fact_table import (
    ASKED_PER_BLOCK,
    FACTS_PER_BLOCK,
    LETTERS,
    facts_text,
    prompt,
    question_text,
    questions,
    rows,
    table,
    words,
)


def test_there_are_320_keys_and_320_other_values_all_of_one_shape() -> None:
    keys, values = words()
    assert (len(keys), len(values)) == (320, 320)
    assert len({*keys, *values}) == 640
    assert all(re.fullmatch("[bdfghjklmnprstvz][aeiou][bdfghjklmnprstvz][aeiou][bdfghjklmnprstvz]", word) for word in (*keys, *values))


def test_the_words_and_the_set_are_the_same_on_every_machine() -> None:
    """A model is trained on these words, and its cache outlives a release: a changed word would change every answer."""
    text = "\n".join(f"{row['question']} {row['subject']} {row['choices']} {row['answer']}" for row in rows())
    assert hashlib.sha256(" ".join((*words()[0], *words()[1])).encode()).hexdigest()[:16] == "4bce074b11373fdf"
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "9b4e5ff633ce1a4c"


def test_a_table_names_each_key_and_each_value_once_and_differs_by_seed() -> None:
    facts = table(1, 256)
    assert len(dict(facts)) == len({value for _, value in facts}) == 256
    assert set(dict(facts)) <= set(words()[0])
    assert {value for _, value in facts} <= set(words()[1])
    shared = sum(pair in set(table(2, 256)) for pair in facts)
    assert shared <= 5, "tables of two seeds must not answer each other's questions"


@pytest.mark.parametrize("facts", [0, 3, 321])
def test_a_table_of_an_impossible_size_is_refused(facts: int) -> None:
    with pytest.raises(ValueError, match="4 to 320 facts"):
        table(1, facts)


def test_the_prompt_holds_the_fact_the_question_and_the_choices() -> None:
    facts = table(7, 8)
    question = questions(facts, 7, per_block=1)[0]
    lines = prompt(facts, question).split("\n")
    assert lines[0] == facts_text(facts) == "Facts:" + "".join(f" {key} is {value}." for key, value in facts)
    assert lines[1] == f"What is {question.key}?"
    assert lines[2:6] == [f"{letter}. {choice}" for letter, choice in zip("ABCD", question.choices, strict=True)]
    assert lines[6:] == ["Answer:"]
    assert prompt(facts, question).startswith(question_text(facts, question))


def test_the_right_choice_is_the_value_and_the_others_are_other_values_of_the_table() -> None:
    facts = table(3, 256)
    for question in questions(facts, 3):
        assert dict(facts)[question.key] == question.choices[question.answer]
        assert len(set(question.choices)) == 4
        assert set(question.choices) <= {value for _, value in facts}
        assert question.letter == LETTERS[question.answer]


def test_a_question_names_the_block_of_its_fact_and_no_fact_near_its_end_is_asked_for() -> None:
    facts = table(3, 256)
    asked = questions(facts, 3, per_block=ASKED_PER_BLOCK)
    assert Counter(question.subject for question in asked) == {f"block-{block}": ASKED_PER_BLOCK for block in range(8)}
    for question in asked:
        assert facts[question.fact][0] == question.key
        assert question.fact // FACTS_PER_BLOCK == question.block
        assert question.fact % FACTS_PER_BLOCK < ASKED_PER_BLOCK
    assert len({question.key for question in asked}) == len(asked)


def test_a_small_table_is_one_block() -> None:
    assert {question.block for question in questions(table(1, 8), 1, per_block=4)} == {0}
    assert len(questions(table(1, 8), 1, per_block=28)) == 8


@pytest.mark.parametrize("per_block", [0, 29])
def test_an_impossible_number_of_questions_is_refused(per_block: int) -> None:
    with pytest.raises(ValueError, match="1 to 28 times"):
        questions(table(1, 256), 1, per_block=per_block)


def test_the_local_set_has_512_different_items_spread_over_blocks_letters_and_tables() -> None:
    made = rows()
    assert len(made) == len({str(row) for row in made}) == 512
    assert set(made[0]) == {"question", "subject", "choices", "answer"}
    assert Counter(row["subject"] for row in made) == {f"block-{block}": 64 for block in range(8)}
    letters = Counter(row["answer"] for row in made)
    assert all(100 <= letters[index] <= 160 for index in range(4)), letters
    prefixes = [str(row["question"]).split("\n")[0] for row in made]
    assert len(set(prefixes)) == 8
    assert all(len(set(prefixes[start : start + 8])) == 8 for start in range(0, 512, 8)), "neighbours are of different tables"
