"""Prompts of an exact length from seeded random words: no two share more than the chat template, so no prefix cache helps by accident.

In: a tokenizer, or what a server counted for two prompts. Out: an endless stream of :class:`~pytest_dynperf.workload.request.Request`.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.seed import stream_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.workload.tokenizer import ChatTokenizer

_TRIES = 30


class PromptSource(Protocol):
    """Makes prompts of a given length."""

    def prompt(self, rng: random.Random, isl: int) -> str:
        """Content of a user message that a server counts as exactly ``isl`` tokens, chat template included.

        :raises WorkloadError: when there is none.
        """


def synthetic_requests(source: PromptSource, *, isl: int, osl: int, seed: int) -> Iterator[Request]:
    """Endless, with ``index`` from 0. Request *i* depends on ``seed`` and *i* alone; prompts are made as they are taken.

    :raises WorkloadError: at the first request, when ``isl`` cannot be had.
    """
    index = 0
    while True:
        rng = random.Random(stream_seed(seed, "prompt", str(index)))
        yield Request(index=index, content=source.prompt(rng, isl), isl=isl, osl=osl)
        index += 1


class TokenizedPrompts:
    """Prompts of random words of the model's own vocabulary, counted by its own tokenizer."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        """Searches the vocabulary once (a second for a large one).

        :raises WorkloadError: when the vocabulary has no such words.
        """
        self._tokenizer = tokenizer
        self._words = tokenizer.words()
        self._template_tokens = tokenizer.count("")
        if len(self._words) < 2:
            msg = f"the tokenizer in {tokenizer.directory} has no words of ASCII letters that are one token; random prompts cannot be made"
            raise WorkloadError(msg)

    def prompt(self, rng: random.Random, isl: int) -> str:
        """About one tokenization of the prompt, seldom two.

        :raises WorkloadError: when ``isl`` leaves no room beside the chat template, or no try came out exact.
        """
        shortest = self._template_tokens + 1
        if isl < shortest:
            msg = (
                f"ISL {isl} is too short: the chat template in {self._tokenizer.directory} alone takes {self._template_tokens} tokens. "
                f"The minimum is {shortest}."
            )
            raise WorkloadError(msg)
        words = rng.choices(self._words, k=isl - self._template_tokens)
        for _ in range(_TRIES):
            text = " ".join(words)
            missing = isl - self._tokenizer.count(text)
            if not missing:
                return text
            if missing > 0:
                words += rng.choices(self._words, k=missing)
            else:
                words = words[: max(1, len(words) + missing)]
            # The first word has no space before it and may be several tokens: another one breaks a cycle of too long and too short.
            words[0] = rng.choice(self._words)
        msg = (
            f"no prompt of exactly {isl} tokens found in {_TRIES} tries with the tokenizer in {self._tokenizer.directory} "
            f"(the template takes {self._template_tokens}). Choose a larger ISL."
        )
        raise WorkloadError(msg)


@dataclass(frozen=True, slots=True)
class CalibratedPrompts:
    """Prompts for a server whose tokenizer we lack: single letters with spaces between, ``slope_tokens`` for each letter and
    ``intercept_tokens`` for the chat template, as :func:`calibrate` found from what the server counted.
    """

    slope_tokens: int
    intercept_tokens: int

    def prompt(self, rng: random.Random, isl: int) -> str:
        """Constant time per token.

        :raises WorkloadError: when ``isl`` leaves no room beside the chat template.
        """
        letters, rest = divmod(isl - self.intercept_tokens, self.slope_tokens)
        if letters < 1 or rest:
            msg = (
                f"ISL {isl} cannot be had: the server's chat template alone takes {self.intercept_tokens} tokens. "
                f"The minimum is {self.intercept_tokens + self.slope_tokens}."
            )
            raise WorkloadError(msg)
        return " ".join(rng.choices(string.ascii_lowercase, k=letters))


def calibration_prompt(count: int) -> str:
    """``count`` single letters with spaces between: the alphabet over and over, so that 26 and more try each letter."""
    return " ".join(string.ascii_lowercase[position % 26] for position in range(count))


def calibrate(short: tuple[int, int], long: tuple[int, int]) -> CalibratedPrompts:
    """From (letters, tokens) of two calibration prompts, as the server counted them.

    :raises WorkloadError: unless each further letter is exactly one token.
    """
    letters, tokens = long[0] - short[0], long[1] - short[1]
    if letters <= 0 or tokens != letters:
        msg = (
            f"the server counts {tokens} tokens for {letters} further letters ({short[0]} letters: {short[1]} tokens, {long[0]}: "
            f"{long[1]}), so prompts of an exact length cannot be made without its tokenizer. Give --dynperf-tokenizer DIR, the directory "
            f"of the served model."
        )
        raise WorkloadError(msg)
    return CalibratedPrompts(slope_tokens=1, intercept_tokens=short[1] - short[0])
