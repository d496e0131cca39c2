"""Prompts of a trace share exactly the blocks whose hashes they share, in tokens as the model's own tokenizer counts them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, takewhile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.prompt_reuse import expected_hit_rate
from pytest_dynperf.workload.trace import TraceEntry, blocks_of
from pytest_dynperf.workload.trace_requests import trace_requests

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from pytest_dynperf.workload.prompt import PromptSource
    from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
    from pytest_dynperf.workload.request import Request

BLOCK = 32


def entry(isl: int, *hash_ids: int, at_s: float | None = None, session: str | None = None, delay_s: float | None = None) -> TraceEntry:
    assert len(hash_ids) == blocks_of(isl, BLOCK)
    return TraceEntry(line=1, at_s=at_s, isl=isl, osl=8, hash_ids=hash_ids, session_id=session, delay_s=delay_s)


def requests_of(source: PromptSource, *entries: TraceEntry, seed: int = 1) -> list[Request]:
    return list(trace_requests(entries, source, block_size=BLOCK, seed=seed))


def common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


@settings(max_examples=25, deadline=None)
@given(
    requests=st.lists(
        st.tuples(st.integers(24, 150), st.integers(0, 3), st.integers(0, 4)),  # ISL, which beginning, how much of it
        min_size=2,
        max_size=6,
    ),
    seed=st.integers(0, 2**32),
)
def test_prompts_part_where_their_hashes_part(tokenized: TokenizedPrompts, requests: list[tuple[int, int, int]], seed: int) -> None:
    entries = []
    for number, (isl, start, shared) in enumerate(requests):
        count = blocks_of(isl, BLOCK)
        ids = [start * 100 + place if place < shared else (number + 10) * 1000 + place for place in range(count)]
        entries.append(entry(isl, *ids))
    made = requests_of(tokenized, *entries, seed=seed)
    prompts = [tokenized.tokens(request) for request in made]
    assert [len(prompt) for prompt in prompts] == [max(isl, tokenized.overhead() + 1) for isl, _, _ in requests]
    behind = tokenized.overhead() - tokenized.lead()
    for one, other in combinations(range(len(made)), 2):
        found = common(prompts[one], prompts[other])
        blocks = common(entries[one].hash_ids, entries[other].hash_ids)
        # What the template puts behind ends the shorter prompt; random words may be the same by chance, seldom two of them.
        shortest = min(len(prompts[one]), len(prompts[other]))
        assert found >= min(max(blocks * BLOCK, tokenized.lead()), shortest - behind)
        assert found <= max(blocks * BLOCK, tokenized.lead()) + 3 or prompts[one] == prompts[other]


def test_equal_entries_are_equal_prompts(tokenized: TokenizedPrompts) -> None:
    first, again, other = requests_of(tokenized, entry(90, 1, 2, 3), entry(90, 1, 2, 3), entry(90, 1, 2, 4))
    assert first.content == again.content != other.content


def test_a_cache_of_their_blocks_finds_what_the_hashes_say(tokenized: TokenizedPrompts) -> None:
    # Blocks by entry: 4 new; 2 known + 2 new; 4 known.
    entries = (entry(128, 1, 2, 3, 4), entry(128, 1, 2, 5, 6), entry(128, 1, 2, 5, 6))
    rate = expected_hit_rate([tokenized.tokens(request) for request in requests_of(tokenized, *entries)], block_size=BLOCK)
    assert rate == (2 + 4) / 12


def test_a_prompt_that_the_template_leaves_no_room_for_is_the_shortest_there_is(source: PromptSource) -> None:
    (request,) = requests_of(source, entry(1, 9))
    assert request.isl == source.overhead() + 1
    assert len(source.tokens(request)) == request.isl


def test_no_tokens_cannot_be_asked_for(source: PromptSource) -> None:
    with pytest.raises(WorkloadError, match="line 7 of the trace has an output length of 0"):
        requests_of(source, entry(30, 1), replace(entry(30, 1), osl=0, line=7))


def test_a_template_longer_than_a_block(tokenized: TokenizedPrompts) -> None:
    entries = [TraceEntry(line=1, at_s=None, isl=isl, osl=1, hash_ids=tuple(range(blocks_of(isl, 2)))) for isl in (60, 61)]
    prompts = [tokenized.tokens(request) for request in trace_requests(entries, tokenized, block_size=2, seed=0)]
    assert [len(prompt) for prompt in prompts] == [60, 61]
    assert common(*prompts) >= 60 - (tokenized.overhead() - tokenized.lead())


def test_times_count_from_the_first_and_turns_follow_each_other(source: PromptSource) -> None:
    made = requests_of(
        source,
        entry(30, 1, at_s=5.0, session="a", delay_s=9.0),
        entry(30, 2, at_s=6.0),
        entry(40, 1, 3, session="a", delay_s=0.5),
        entry(30, 4, at_s=7.0, session="b"),
        entry(50, 1, 3, session="a"),
    )
    assert [request.index for request in made] == [0, 1, 2, 3, 4]
    assert [(request.conversation, request.turn, request.at_s, request.delay_s) for request in made] == [
        ("a", 0, 0.0, 0.0),
        ("a", 1, None, 0.5),
        ("a", 2, None, 0.0),
        (None, 0, 1.0, 0.0),
        ("b", 0, 2.0, 0.0),
    ]
    assert all(request.history == () for request in made)


def test_the_seed_decides_the_words_and_nothing_else(source: PromptSource) -> None:
    entries = (entry(70, 1, 2, 3, at_s=0.0), entry(70, 1, 2, 4, at_s=1.0))
    first, again, other = (requests_of(source, *entries, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert {request.content for request in first}.isdisjoint(request.content for request in other)
    assert [replace(request, content="") for request in first] == [replace(request, content="") for request in other]


def test_a_block_does_not_depend_on_what_stands_around_it(source: PromptSource) -> None:
    (alone,) = requests_of(source, entry(70, 1, 2, 3))
    among = requests_of(source, entry(40, 7, 8), entry(70, 1, 2, 3), entry(40, 1, 9))
    assert among[1].content == alone.content
