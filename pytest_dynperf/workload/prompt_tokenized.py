"""Prompts of random words of the model's own vocabulary, counted by its own tokenizer."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.prompt import ANCHOR, text_of

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from pytest_dynperf.workload.prompt import History
    from pytest_dynperf.workload.request import Request
    from pytest_dynperf.workload.tokenizer import PromptTokenizer

_TRIES = 30


class TokenizedPrompts:
    """A :class:`~pytest_dynperf.workload.prompt.PromptSource` that knows every token."""

    def __init__(self, tokenizer: PromptTokenizer) -> None:
        """Searches the vocabulary once (a second for a large one).

        :raises WorkloadError: when the vocabulary has no such words, or the chat template refuses a user message.
        """
        self._tokenizer = tokenizer
        self._words = tokenizer.words()
        if len(self._words) < 2:
            msg = f"the tokenizer in {tokenizer.directory} has no words of ASCII letters that are one token; random prompts cannot be made"
            raise WorkloadError(msg)
        self._overhead = tokenizer.count(ANCHOR)
        self._lead = self._measured_lead(())

    def words(self, rng: random.Random, count: int) -> list[str]:
        """Of the whole vocabulary, each equally likely."""
        return rng.choices(self._words, k=count)

    def overhead(self, history: History = ()) -> int:
        """One tokenization of the history; none without."""
        return self._tokenizer.count(ANCHOR, history) if history else self._overhead

    def lead(self, history: History = ()) -> int:
        """Exact: where the tokens of two prompts with different words part. Two tokenizations of the history; none without."""
        return self._measured_lead(history) if history else self._lead

    def assemble(self, leading: Sequence[str], isl: int, rng: random.Random, *, history: History = ()) -> str:
        """About one tokenization of the prompt, seldom two."""
        room = isl - self.overhead(history) - len(leading)
        if room < 0 or not (room or leading):
            raise WorkloadError(self._too_short(leading, isl, history))
        own = self.words(rng, room)
        for _ in range(_TRIES):
            text = text_of([*leading, *own])
            missing = isl - self._tokenizer.count(text, history)
            if not missing:
                return text
            if not room:
                break
            if missing > 0:
                own += self.words(rng, missing)
            else:
                own = own[: max(1, len(own) + missing)]
            # Another last word breaks a cycle of too long and too short.
            own[-1] = self.words(rng, 1)[0]
        msg = (
            f"no prompt of exactly {isl} tokens found in {_TRIES} tries with the tokenizer in {self._tokenizer.directory} "
            f"(the template takes {self.overhead(history)}, {len(leading)} words are given). Choose a larger ISL."
        )
        raise WorkloadError(msg)

    def tokens(self, request: Request) -> Sequence[int]:
        """The token ids themselves."""
        return self._tokenizer.ids(request.content, request.history)

    def _measured_lead(self, history: History) -> int:
        first, second = (self._tokenizer.ids(text_of([word]), history) for word in self._words[:2])
        return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))))

    def _too_short(self, leading: Sequence[str], isl: int, history: History) -> str:
        overhead = self.overhead(history)
        beside = f" That is with {len(history)} turns before it and {len(leading)} given words." if history or leading else ""
        return (
            f"ISL {isl} is too short: the chat template in {self._tokenizer.directory} alone takes {overhead} tokens. "
            f"The minimum is {overhead + max(1, len(leading))}."
        ) + beside
