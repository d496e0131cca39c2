"""Prompts of exactly the length asked for, the same for the same seed, and alike in nothing but the template."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.synthetic import CalibratedPrompts, TokenizedPrompts, calibrate, calibration_prompt, synthetic_requests
from pytest_dynperf.workload.tokenizer import ChatTokenizer, load_tokenizer
from tests.fakes.model_directory import make_model_directory

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module", params=["byte level", "metaspace"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return load_tokenizer(make_model_directory(tmp_path_factory.mktemp("model"), spaces=request.param))


def test_streams_are_stable_and_independent() -> None:
    # The number itself is pinned: a baseline measured with other prompts would not be comparable.
    assert stream_seed(0) == 15041073954064335159
    assert stream_seed(1, "ab", "c") == stream_seed(1, "ab", "c")
    assert (
        len({stream_seed(1, "ab", "c"), stream_seed(1, "a", "bc"), stream_seed(1, "abc"), stream_seed(2, "ab", "c"), stream_seed(1)}) == 5
    )


def test_exact_lengths(tokenizer: ChatTokenizer) -> None:
    source = TokenizedPrompts(tokenizer)
    for isl in [*range(6, 40), 180, 1024, 3000]:
        assert tokenizer.count(source.prompt(random.Random(isl), isl)) == isl


@settings(max_examples=40, deadline=None)
@given(isl=st.integers(6, 400), seed=st.integers(0, 2**64))
def test_exact_lengths_for_any_seed(tokenizer: ChatTokenizer, isl: int, seed: int) -> None:
    assert tokenizer.count(TokenizedPrompts(tokenizer).prompt(random.Random(seed), isl)) == isl


def test_too_short_says_the_minimum(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(WorkloadError, match=r"ISL 4 is too short: .* takes 4 tokens\. The minimum is 5"):
        TokenizedPrompts(tokenizer).prompt(random.Random(0), 4)


def test_a_tokenizer_that_never_comes_out_exact() -> None:
    class Doubling:
        directory = "somewhere"

        def words(self) -> tuple[str, ...]:
            return ("one", "two")

        def count(self, content: str) -> int:
            return 2 * len(content.split())  # every word is two tokens, so an odd ISL does not exist

    source = TokenizedPrompts(Doubling())  # type: ignore[arg-type]
    with pytest.raises(WorkloadError, match="no prompt of exactly 11 tokens"):
        source.prompt(random.Random(0), 11)


def test_a_vocabulary_without_words(tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatTokenizer, "words", lambda _: ())
    with pytest.raises(WorkloadError, match="no words"):
        TokenizedPrompts(tokenizer)


@pytest.mark.parametrize("make", [TokenizedPrompts, lambda _: CalibratedPrompts(slope_tokens=1, intercept_tokens=4)])
def test_the_stream(tokenizer: ChatTokenizer, make: Callable[[ChatTokenizer], TokenizedPrompts | CalibratedPrompts]) -> None:
    source = make(tokenizer)
    first = list(islice(synthetic_requests(source, isl=64, osl=8, seed=5), 50))
    again = list(islice(synthetic_requests(source, isl=64, osl=8, seed=5), 50))
    other = list(islice(synthetic_requests(source, isl=64, osl=8, seed=6), 50))
    assert first == again
    assert [request.index for request in first] == list(range(50))
    assert {(request.isl, request.osl) for request in first} == {(64, 8)}
    assert len({request.content for request in first + other}) == 100
    # Not one pair shares a block of 16 tokens, the smallest that prefix caches keep.
    assert len({tuple(request.content.split()[:10]) for request in first + other}) == 100


def test_a_request_depends_on_its_index_alone(tokenizer: ChatTokenizer) -> None:
    source = TokenizedPrompts(tokenizer)
    (tenth,) = islice(synthetic_requests(source, isl=20, osl=1, seed=5), 10, 11)
    assert tenth == Request(index=10, content=source.prompt(random.Random(stream_seed(5, "prompt", "10")), 20), isl=20, osl=1)


def test_nothing_is_made_before_it_is_taken() -> None:
    class Counting:
        made = 0

        def prompt(self, rng: random.Random, isl: int) -> str:
            self.made += 1
            return str(rng.random())

    source = Counting()
    requests = synthetic_requests(source, isl=1, osl=1, seed=0)
    assert source.made == 0
    next(requests)
    assert source.made == 1


def test_calibration() -> None:
    def served(letters: int) -> tuple[int, int]:
        return letters, len(calibration_prompt(letters).split()) + 11

    source = calibrate(served(16), served(64))
    assert source == CalibratedPrompts(slope_tokens=1, intercept_tokens=11)
    prompt = source.prompt(random.Random(0), 100)
    assert len(prompt.split()) + 11 == 100
    assert all(len(letter) == 1 for letter in prompt.split())
    assert set(calibration_prompt(26).split()) == set("abcdefghijklmnopqrstuvwxyz")
    with pytest.raises(WorkloadError, match="minimum is 12"):
        source.prompt(random.Random(0), 11)


@pytest.mark.parametrize(("short", "long"), [((16, 40), (64, 136)), ((16, 27), (64, 74)), ((16, 27), (16, 27))])
def test_calibration_that_cannot_work(short: tuple[int, int], long: tuple[int, int]) -> None:
    with pytest.raises(WorkloadError, match="--dynperf-tokenizer DIR"):
        calibrate(short, long)
