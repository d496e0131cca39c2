"""Each turn's prompt is the whole history and a new message, exact to the token, and begins with the prompt before it."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.conversation import conversation_requests
from pytest_dynperf.workload.prompt_calibrated import CalibratedPrompts
from pytest_dynperf.workload.prompt_lengths import Lengths
from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
from pytest_dynperf.workload.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.workload.prompt import PromptSource
    from pytest_dynperf.workload.request import Request


def conversations(
    source: PromptSource, *, isl: int = 60, osl: int = 9, turns: int = 4, seed: int = 1, number: int = 3, spread: float = 0.0
) -> list[Request]:
    lengths = Lengths(isl=isl, osl=osl, isl_stddev=spread, osl_stddev=spread)
    return list(islice(conversation_requests(source, lengths, turns=turns, delay_s=1.5, seed=seed), number * turns))


@settings(max_examples=25, deadline=None)
@given(isl=st.integers(30, 120), osl=st.integers(2, 50), turns=st.integers(1, 5), seed=st.integers(0, 2**64))
def test_every_turn_is_exact(tokenized: TokenizedPrompts, isl: int, osl: int, turns: int, seed: int) -> None:
    requests = conversations(tokenized, isl=isl, osl=osl, turns=turns, seed=seed, number=2)
    assert [request.isl for request in requests] == 2 * [isl + turn * (isl + osl) for turn in range(turns)]
    assert [len(tokenized.tokens(request)) for request in requests] == [request.isl for request in requests]


@pytest.mark.parametrize("spread", [0.0, 12.0])
def test_a_turn_begins_with_the_one_before(tokenized: TokenizedPrompts, spread: float) -> None:
    for before, after in pairwise(conversations(tokenized, spread=spread, turns=6, number=2)):
        assert len(tokenized.tokens(after)) == after.isl
        if not after.turn:
            continue
        (user, answer) = after.history[-1]
        assert (after.history[:-1], user) == (before.history, before.content)
        assert after.isl > before.isl + before.osl
        kept = tokenized.tokens(before)
        assert tokenized.tokens(after)[: len(kept)] == kept
        assert len(answer.split()) == before.osl, "the answer has as many words as tokens were asked for"


def test_turns_follow_each_other(source: PromptSource) -> None:
    requests = conversations(source)
    assert [request.index for request in requests] == list(range(12))
    assert [request.turn for request in requests] == [0, 1, 2, 3] * 3
    assert [request.delay_s for request in requests] == [0.0, 1.5, 1.5, 1.5] * 3
    names = [request.conversation for request in requests]
    assert names == [names[0]] * 4 + [names[4]] * 4 + [names[8]] * 4
    assert len(set(names)) == 3
    assert set(names).isdisjoint(request.conversation for request in conversations(source, seed=2))


def test_determinism(source: PromptSource) -> None:
    requests = conversations(source)
    assert requests == conversations(source, number=5)[:12]
    shorter = conversations(source, turns=2)
    by_name = {(request.conversation, request.turn): request.content for request in requests}
    assert all(by_name[request.conversation, request.turn] == request.content for request in shorter)


def test_no_two_conversations_share_their_words(tokenized: TokenizedPrompts) -> None:
    requests = conversations(tokenized, number=6)
    texts = [request.content for request in requests] + [answer for request in requests for _, answer in request.history[-1:]]
    assert len({tuple(text.split()[1:4]) for text in texts}) == len(texts) == 24 + 18


def test_a_turn_too_small_for_the_template(model: Path) -> None:
    tokenized = TokenizedPrompts(load_tokenizer(model))
    # A turn of this template takes four tokens, and the fixed letter one; the answer's own letter is one of the OSL.
    assert [request.isl for request in conversations(tokenized, isl=6, osl=4, number=1)] == [6, 16, 26, 36]
    with pytest.raises(WorkloadError, match="too short"):
        conversations(tokenized, isl=5, osl=4)
    assert min(request.isl for request in conversations(tokenized, isl=6, osl=4, spread=5.0, number=20)) == 6


def test_a_source_without_turns() -> None:
    with pytest.raises(WorkloadError, match="not been calibrated"):
        conversations(CalibratedPrompts(template_tokens=4))
