"""An endless stream of prompts, the same for the same seed, and alike in nothing but the template; lengths fixed or spread."""

from __future__ import annotations

import random
from itertools import combinations, islice
from statistics import correlation, fmean, stdev
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.prompt_lengths import Lengths, draw_lengths, truncated_normal
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.synthetic import synthetic_requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.workload.prompt import History, PromptSource
    from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts


def test_streams_are_stable_and_independent() -> None:
    # The number itself is pinned: a baseline measured with other prompts would not be comparable.
    assert stream_seed(0) == 15041073954064335159
    assert stream_seed(1, "ab", "c") == stream_seed(1, "ab", "c")
    assert (
        len({stream_seed(1, "ab", "c"), stream_seed(1, "a", "bc"), stream_seed(1, "abc"), stream_seed(2, "ab", "c"), stream_seed(1)}) == 5
    )


def test_the_stream(source: PromptSource) -> None:
    first = list(islice(synthetic_requests(source, isl=64, osl=8, seed=5), 50))
    again = list(islice(synthetic_requests(source, isl=64, osl=8, seed=5), 50))
    other = list(islice(synthetic_requests(source, isl=64, osl=8, seed=6), 50))
    assert first == again
    assert [request.index for request in first] == list(range(50))
    assert {(request.isl, request.osl) for request in first} == {(64, 8)}
    assert len({request.content for request in first + other}) == 100


def test_a_request_depends_on_its_index_alone(source: PromptSource) -> None:
    (tenth,) = islice(synthetic_requests(source, isl=20, osl=1, seed=5), 10, 11)
    assert tenth == Request(index=10, content=source.assemble((), 20, random.Random(stream_seed(5, "prompt", "10"))), isl=20, osl=1)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**64))
def test_no_two_prompts_share_more_than_the_template(tokenized: TokenizedPrompts, seed: int) -> None:
    prompts = [tokenized.tokens(request) for request in islice(synthetic_requests(tokenized, isl=48, osl=1, seed=seed), 20)]
    for one, other in combinations(prompts, 2):
        # Three random words in common is one chance in a hundred million.
        assert one[: tokenized.lead() + 3] != other[: tokenized.lead() + 3]


def test_nothing_is_made_before_it_is_taken() -> None:
    class Noting:
        made = 0

        def words(self, rng: random.Random, count: int) -> list[str]:
            return ["word"] * count

        def overhead(self, history: History = ()) -> int:
            return 0

        def lead(self, history: History = ()) -> int:
            return 0

        def assemble(self, leading: Sequence[str], isl: int, rng: random.Random, *, history: History = ()) -> str:
            self.made += 1
            return "word"

        def tokens(self, request: Request) -> list[str]:
            return ["word"]

    source = Noting()
    requests = synthetic_requests(source, isl=1, osl=1, seed=0)
    assert source.made == 0
    next(requests)
    assert source.made == 1


# ---- lengths


def test_spread_lengths_are_exact_and_each_request_has_its_own(tokenized: TokenizedPrompts) -> None:
    requests = list(islice(synthetic_requests(tokenized, isl=100, osl=20, seed=1, isl_stddev=30, osl_stddev=5), 50))
    assert [len(tokenized.tokens(request)) for request in requests] == [request.isl for request in requests]
    assert len({request.isl for request in requests}) > 20
    assert len({request.osl for request in requests}) > 8
    assert min(request.osl for request in requests) >= 2


def test_a_spread_leaves_the_words_as_they_are(source: PromptSource) -> None:
    fixed = islice(synthetic_requests(source, isl=100, osl=20, seed=1), 20)
    spread = islice(synthetic_requests(source, isl=100, osl=20, seed=1, isl_stddev=30), 20)
    for one, other in zip(fixed, spread, strict=True):
        shorter = min(len(one.content.split()), len(other.content.split()))
        assert one.content.split()[:shorter] == other.content.split()[:shorter]
        assert one.osl == other.osl


def test_moments_of_the_spread() -> None:
    lengths = Lengths(isl=1000, osl=200, isl_stddev=100, osl_stddev=40)
    drawn = [draw_lengths(lengths, random.Random(number), least_isl=1) for number in range(2000)]
    isl, osl = zip(*drawn, strict=True)
    # Four standard errors: 100/√2000 = 2.2, and 1.6 % of a standard deviation.
    assert fmean(isl) == pytest.approx(1000, abs=9)
    assert stdev(isl) == pytest.approx(100, rel=0.065)
    assert fmean(osl) == pytest.approx(200, abs=3.6)
    assert stdev(osl) == pytest.approx(40, rel=0.065)
    assert correlation(isl, osl) == pytest.approx(0, abs=0.09)


@settings(max_examples=200, deadline=None)
@given(
    uniform=st.floats(0, 1, exclude_max=True),
    mean=st.integers(1, 10_000),
    stddev=st.floats(1e-3, 1e6),
    least=st.integers(1, 20_000),
    width=st.none() | st.integers(0, 1000),
)
def test_the_spread_stays_within_its_bounds(uniform: float, mean: int, stddev: float, least: int, width: int | None) -> None:
    value = truncated_normal(uniform, mean, stddev, least=least, most=None if width is None else least + width)
    assert least <= value
    assert width is None or value <= least + width


def test_nothing_piles_up_at_the_bound() -> None:
    drawn = [truncated_normal(step / 1000, 100, 50, least=100) for step in range(1000)]
    assert drawn == sorted(drawn)
    assert drawn.count(100) < 20  # clipped, it would be half of them
    assert max(drawn) > 200


def test_the_model_bounds_what_is_drawn(source: PromptSource) -> None:
    requests = list(islice(synthetic_requests(source, isl=100, osl=2, seed=1, isl_stddev=50, max_isl=110), 40))
    assert 105 < max(request.isl for request in requests) <= 110
    with pytest.raises(WorkloadError, match="no ISL fits"):
        next(synthetic_requests(source, isl=100, osl=2, seed=1, isl_stddev=50, max_isl=4))
