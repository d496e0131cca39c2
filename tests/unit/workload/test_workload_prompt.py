"""Prompts of exactly the length asked for, from parts that stay as they are; by the model's tokenizer, or by a server's counts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.prompt import text_of
from pytest_dynperf.workload.prompt_calibrated import CALIBRATION_HISTORY, CalibratedPrompts, calibrate, calibration_prompt
from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.tokenizer import PromptTokenizer, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_dynperf.workload.prompt import History, PromptSource

HISTORY: History = (("x baba", "x dodo keke"), ("x", "anything at all, ünï 😀"))


def test_exact_lengths(tokenizer: PromptTokenizer, tokenized: TokenizedPrompts) -> None:
    for isl in [*range(tokenized.overhead() + 1, 40), 180, 1024, 3000]:
        assert tokenizer.count(tokenized.assemble((), isl, random.Random(isl))) == isl


@settings(max_examples=40, deadline=None)
@given(own=st.integers(0, 200), given_words=st.integers(1, 200), turns=st.integers(0, 2), seed=st.integers(0, 2**64))
def test_lengths_are_exact_and_what_is_given_stays(
    *, tokenizer: PromptTokenizer, tokenized: TokenizedPrompts, own: int, given_words: int, turns: int, seed: int
) -> None:
    rng, history = random.Random(seed), HISTORY[:turns]
    leading = tokenized.words(rng, given_words)
    isl = tokenized.overhead(history) + given_words + own
    content = tokenized.assemble(leading, isl, rng, history=history)
    assert tokenizer.count(content, history) == isl
    assert content.startswith(text_of(leading))
    # Token for token: the tokens before the own words do not depend on them.
    other = tokenized.assemble(leading, isl + 7, random.Random(seed + 1), history=history)
    shared = tokenized.lead(history) + given_words
    assert tokenizer.ids(content, history)[:shared] == tokenizer.ids(other, history)[:shared]


def test_the_lead_ends_where_the_first_word_begins(tokenizer: PromptTokenizer, tokenized: TokenizedPrompts) -> None:
    for history in ((), HISTORY):
        lead = tokenized.lead(history)
        one, other, same = tokenized.words(random.Random(1), 3)
        first, second = (tokenizer.ids(text_of([word, same]), history) for word in (one, other))
        assert first[:lead] == second[:lead]
        assert first[lead] != second[lead]
        assert first[lead + 1 :] == second[lead + 1 :]
        assert tokenized.overhead(history) == len(first) - 2
        assert lead < tokenized.overhead(history)


def test_a_longer_list_of_words_begins_as_a_shorter_one(source: PromptSource) -> None:
    assert source.words(random.Random(3), 50)[:20] == source.words(random.Random(3), 20)
    assert len(set(source.words(random.Random(3), 500))) > 20


def test_lengths_without_a_tokenizer() -> None:
    source = CalibratedPrompts(template_tokens=11, turn_tokens=6)
    history = (("x a b", "x c"),)
    assert source.overhead() == 12
    assert source.overhead(history) == 12 + 6 + 3 + 2
    content = source.assemble(["q", "r"], 100, random.Random(0), history=history)
    assert content.startswith("x q r ")
    assert len(content.split()) == 100 - 11 - 6 - 5
    assert all(len(letter) == 1 for letter in content.split())


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_tokens_are_as_many_as_asked(source: PromptSource, turns: int) -> None:
    history = tuple((text_of(source.words(random.Random(n), n + 2)), text_of(source.words(random.Random(n), 3))) for n in range(turns))
    content = source.assemble((), 90, random.Random(0), history=history)
    other = source.assemble((), 90, random.Random(1), history=history)
    tokens, others = (source.tokens(Request(index=0, content=text, isl=90, osl=1, history=history)) for text in (content, other))
    assert len(tokens) == len(others) == 90
    lead = source.lead(history)
    assert tokens[:lead] == others[:lead]
    assert tokens[lead : lead + 5] != others[lead : lead + 5]


# ---- what cannot be had


@pytest.mark.parametrize(("leading", "least"), [((), "6"), (("baba", "baba"), "7")])
def test_too_short_says_the_minimum(model: Path, leading: Sequence[str], least: str) -> None:
    source = TokenizedPrompts(load_tokenizer(model))
    with pytest.raises(WorkloadError, match=rf"ISL 5 is too short: .* takes 5 tokens\. The minimum is {least}\."):
        source.assemble(leading, 5, random.Random(0))
    with pytest.raises(WorkloadError, match="That is with 2 turns before it and 0 given words"):
        source.assemble((), 5, random.Random(0), history=HISTORY)
    with pytest.raises(WorkloadError, match=rf"The minimum is {least}\."):
        CalibratedPrompts(template_tokens=4).assemble(leading, 5, random.Random(0))


def test_given_words_alone_may_be_the_whole_prompt(source: PromptSource) -> None:
    leading = source.words(random.Random(0), 10)
    assert source.assemble(leading, source.overhead() + 10, random.Random(0)) == text_of(leading)


class Counting:
    """A tokenizer that counts words in its own way."""

    directory = "somewhere"

    def __init__(self, tokens_per_word: int) -> None:
        self._tokens_per_word = tokens_per_word

    def words(self) -> tuple[str, ...]:
        return ("one", "two")

    def ids(self, content: str, history: History = ()) -> list[int]:
        return [ord(word[0]) for word in content.split() for _ in range(self._tokens_per_word)]

    def count(self, content: str, history: History = ()) -> int:
        return len(self.ids(content))


def test_a_tokenizer_that_never_comes_out_exact() -> None:
    source = TokenizedPrompts(Counting(tokens_per_word=2))  # type: ignore[arg-type]
    with pytest.raises(WorkloadError, match="no prompt of exactly 11 tokens"):
        source.assemble((), 11, random.Random(0))
    with pytest.raises(WorkloadError, match=r"no prompt of exactly 5 tokens .* 3 words are given"):
        source.assemble(["one", "one", "two"], 5, random.Random(0))
    assert TokenizedPrompts(Counting(tokens_per_word=1)).assemble((), 11, random.Random(0)).count(" ") == 10  # type: ignore[arg-type]


def test_words_that_cost_more_than_they_promise_are_exchanged() -> None:
    class Uneven(Counting):
        def ids(self, content: str, history: History = ()) -> list[int]:
            return [0 for word in content.split() for _ in range(2 if word == "two" else 1)]

    source = TokenizedPrompts(Uneven(tokens_per_word=1))  # type: ignore[arg-type]
    for seed in range(20):
        assert source.assemble((), 2, random.Random(seed)) == "x one"
        assert len(Uneven(1).ids(source.assemble(["one"], 13, random.Random(seed)))) == 13


def test_a_vocabulary_without_words(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromptTokenizer, "words", lambda _: ())
    with pytest.raises(WorkloadError, match="no words"):
        TokenizedPrompts(load_tokenizer(model))


# ---- calibration


def served(letters: int, turns: int = 0, *, around: Sequence[int] = (6, 6)) -> int:
    """What a server counts whose template takes 11 tokens, and each turn of a history ``around`` besides its letters."""
    history = CALIBRATION_HISTORY[:turns]
    in_history = sum(len(text.split()) for turn in history for text in turn)
    return len(calibration_prompt(letters).split()) + in_history + sum(around[:turns]) + 11


def test_calibration() -> None:
    assert calibrate((16, served(16)), (64, served(64))) == CalibratedPrompts(template_tokens=11)
    assert set(calibration_prompt(26).split()) == set("abcdefghijklmnopqrstuvwxyz")


def test_calibration_of_turns() -> None:
    source = calibrate((16, served(16)), (64, served(64)), turns=(served(16, 1), served(16, 2)))
    assert source == CalibratedPrompts(template_tokens=11, turn_tokens=6)
    assert source.overhead(CALIBRATION_HISTORY) + 15 == served(16, 2)


def test_a_history_that_nobody_calibrated() -> None:
    with pytest.raises(WorkloadError, match=r"not been calibrated.*--dynperf-tokenizer DIR"):
        CalibratedPrompts(template_tokens=11).overhead(HISTORY)


@pytest.mark.parametrize(("short", "long"), [((16, 40), (64, 136)), ((16, 27), (64, 74)), ((16, 27), (16, 27))])
def test_calibration_that_cannot_work(short: tuple[int, int], long: tuple[int, int]) -> None:
    with pytest.raises(WorkloadError, match="--dynperf-tokenizer DIR"):
        calibrate(short, long)


@pytest.mark.parametrize("around", [(6, 7), (7, 6), (-1, -1)])
def test_turns_that_do_not_add_up(around: Sequence[int]) -> None:
    turns = (served(16, 1, around=around), served(16, 2, around=around))
    with pytest.raises(WorkloadError, match=rf"{around[0]} tokens around a first turn of a conversation and {around[1]} around a second"):
        calibrate((16, served(16)), (64, served(64)), turns=turns)


def test_answers_that_a_template_leaves_out_are_found() -> None:
    without_answers = [served(16, turns) - sum(len(answer.split()) for _, answer in CALIBRATION_HISTORY[:turns]) for turns in (1, 2)]
    with pytest.raises(WorkloadError, match="around a first turn"):
        calibrate((16, served(16)), (64, served(64)), turns=(without_answers[0], without_answers[1]))
