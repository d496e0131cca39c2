"""Prompts share their prefix token for token, exactly as long as asked, and nothing else; other ratios ask with the same data."""

from __future__ import annotations

from itertools import combinations, islice, pairwise, takewhile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.prompt_lengths import Lengths
from pytest_dynperf.workload.prompt_reuse import expected_hit_rate
from pytest_dynperf.workload.shared_prefix import shared_prefix_requests
from pytest_dynperf.workload.synthetic import synthetic_requests

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from pytest_dynperf.workload.prompt import PromptSource
    from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
    from pytest_dynperf.workload.request import Request


def common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Tokens before the first difference."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


def requests_at(
    source: PromptSource, ratio: float, *, isl: int = 200, prefixes: int = 3, seed: int = 1, number: int = 24, spread: float = 0.0
) -> list[Request]:
    lengths = Lengths(isl=isl, osl=8, isl_stddev=spread)
    return list(islice(shared_prefix_requests(source, lengths, prefix_ratio=ratio, prefix_count=prefixes, seed=seed), number))


@settings(max_examples=40, deadline=None)
@given(isl=st.integers(60, 400), ratio=st.floats(0, 0.8), seed=st.integers(0, 2**64))
def test_the_first_difference_is_at_the_right_token(tokenized: TokenizedPrompts, isl: int, ratio: float, seed: int) -> None:
    requests = requests_at(tokenized, ratio, isl=isl, prefixes=1, seed=seed, number=5)
    prompts = [tokenized.tokens(request) for request in requests]
    assert {len(prompt) for prompt in prompts} == {isl} == {request.isl for request in requests}
    shared = [common(one, other) for one, other in combinations(prompts, 2)]
    # The first own words of a pair may be the same by chance; those of all ten pairs are not.
    assert min(shared) == max(round(isl * ratio), tokenized.lead())
    assert max(shared) <= min(shared) + 3


def test_other_prefixes_share_the_template_alone(tokenized: TokenizedPrompts) -> None:
    prompts = [tokenized.tokens(request) for request in requests_at(tokenized, 0.5, prefixes=3)]
    shared = [common(one, other) for one, other in combinations(prompts, 2)]
    few = [tokens for tokens in shared if tokens <= tokenized.lead() + 3]
    many = [tokens for tokens in shared if 100 <= tokens <= 103]
    assert len(few) + len(many) == len(shared)
    assert len(few) > len(many) > 20, "three prefixes, drawn with equal chances"


def test_the_same_data_at_every_ratio(source: PromptSource) -> None:
    ratios = (0.1, 0.3, 0.5, 0.9)
    prefix_words = [max(0, round(200 * ratio) - source.lead()) for ratio in ratios]
    for same_request in zip(*(requests_at(source, ratio) for ratio in ratios), strict=True):
        words = [request.content.split()[1:] for request in same_request]
        assert all(len(of_one) == 200 - source.overhead() for of_one in words)
        longest = words[-1][: prefix_words[-1]]
        own = words[0][prefix_words[0] :]
        for of_one, shared in zip(words, prefix_words, strict=True):
            assert of_one[:shared] == longest[:shared]
            assert of_one[shared:] == own[: len(of_one) - shared]


def test_without_a_prefix_it_is_the_synthetic_workload(source: PromptSource) -> None:
    synthetic = list(islice(synthetic_requests(source, isl=200, osl=8, seed=1), 24))
    assert requests_at(source, 0.0) == synthetic
    assert requests_at(source, 0.01) == synthetic, "two tokens are less than what the template begins with"


def test_each_request_draws_its_prefix_by_itself(source: PromptSource) -> None:
    beginnings = [request.content.split()[1:30] for request in requests_at(source, 0.5, prefixes=2, number=200)]
    # Half of 200 and of 199; seven is one standard deviation.
    assert 70 < beginnings.count(beginnings[0]) < 130
    assert 70 < sum(one == other for one, other in pairwise(beginnings)) < 130


def test_determinism(source: PromptSource) -> None:
    assert requests_at(source, 0.5) == requests_at(source, 0.5, number=40)[:24]
    ours = {request.content for request in requests_at(source, 0.5)}
    assert ours.isdisjoint(request.content for request in requests_at(source, 0.5, seed=2))


def test_the_spread_is_one_of_the_own_part(tokenized: TokenizedPrompts) -> None:
    requests = requests_at(tokenized, 0.8, prefixes=1, spread=40)
    prompts = [tokenized.tokens(request) for request in requests]
    assert [len(prompt) for prompt in prompts] == [request.isl for request in requests]
    assert len({len(prompt) for prompt in prompts}) > 10
    assert min(common(one, other) for one, other in combinations(prompts, 2)) == 160
    assert min(len(prompt) for prompt in prompts) > 160


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 0.75])
def test_what_an_endless_cache_would_have(tokenized: TokenizedPrompts, ratio: float) -> None:
    requests = requests_at(tokenized, ratio, prefixes=2, number=20)
    rate = expected_hit_rate(map(tokenized.tokens, requests), block_size=1)
    template, chance = tokenized.lead(), 3  # tokens
    assert rate is not None
    expected = (18 * max(200 * ratio, template) + 1 * template) / (20 * 200)
    assert expected <= rate <= expected + chance * 19 / (20 * 200)


def test_no_room_for_the_request_itself(source: PromptSource) -> None:
    with pytest.raises(WorkloadError, match=r"ISL 40 at prefix_ratio 0\.99 leaves no token to the request itself"):
        requests_at(source, 0.99, isl=40)
    with pytest.raises(WorkloadError, match="Lower the ratio, or raise the ISL"):
        requests_at(source, 0.5, isl=4)
