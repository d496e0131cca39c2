"""The hit rate of a cache that forgets nothing, in full blocks from the beginning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.workload.prompt_reuse import expected_hit_rate


@pytest.mark.parametrize(
    ("prompts", "block_size", "rate"),
    [
        (["abcd", "abcd"], 2, 0.5),
        (["abcd", "abce"], 2, 0.25),
        (["abcd", "abce"], 1, 3 / 8),
        (["abcd", "xbcd"], 1, 0.0),
        (["abcd", "xxcd", "abcd"], 2, 4 / 12),
        (["abc", "abc"], 2, 2 / 6),  # the last block is not full
        (["a", "a"], 2, 0.0),
        (["abab"], 2, 0.0),  # a prompt finds nothing of itself
        (["aaaa", "aa"], 2, 2 / 6),
        (["abcd", "ab", "abcdef"], 2, 6 / 12),
    ],
)
def test_by_hand(prompts: list[str], block_size: int, rate: float) -> None:
    assert expected_hit_rate(prompts, block_size=block_size) == pytest.approx(rate)


def test_nothing_has_no_rate() -> None:
    assert expected_hit_rate([], block_size=1) is None
    assert expected_hit_rate([""], block_size=1) is None


@given(prompts=st.lists(st.text("ab", min_size=1, max_size=12), min_size=1, max_size=12), block_size=st.integers(1, 4))
def test_against_the_definition(prompts: list[str], block_size: int) -> None:
    hits = 0
    for number, prompt in enumerate(prompts):
        lengths = range(block_size, len(prompt) + 1, block_size)
        hits += max((n for n in lengths if any(earlier[:n] == prompt[:n] for earlier in prompts[:number])), default=0)
    assert expected_hit_rate(prompts, block_size=block_size) == pytest.approx(hits / sum(map(len, prompts)))
