"""Prompts of single letters for a server whose tokenizer we lack, from what it counted for prompts of known numbers of letters."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.prompt import text_of

if TYPE_CHECKING:
    import random
    from collections.abc import Hashable, Sequence

    from pytest_dynperf.workload.prompt import History
    from pytest_dynperf.workload.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedPrompts:
    """A :class:`~pytest_dynperf.workload.prompt.PromptSource` of letters with spaces between, one token each, as :func:`calibrate` found.

    ``template_tokens`` are the template's own; ``turn_tokens`` what it puts around one turn of a history, ``None`` where nobody asked.
    """

    template_tokens: int
    turn_tokens: int | None = None

    def words(self, rng: random.Random, count: int) -> list[str]:
        """Letters, each equally likely: 4.7 bits a word."""
        return rng.choices(string.ascii_lowercase, k=count)

    def overhead(self, history: History = ()) -> int:
        """Linear in the turns and their letters."""
        if not history:
            return self.template_tokens + 1
        if self.turn_tokens is None:
            msg = "how many tokens a turn of a conversation takes has not been calibrated. Give --dynperf-tokenizer DIR."
            raise WorkloadError(msg)
        return self.template_tokens + 1 + sum(self.turn_tokens + _letters(user) + _letters(answer) for user, answer in history)

    def lead(self, history: History = ()) -> int:
        """The whole overhead: counts do not tell what stands behind, so a shared beginning is shorter by that."""
        return self.overhead(history)

    def assemble(self, leading: Sequence[str], isl: int, rng: random.Random, *, history: History = ()) -> str:
        """Constant time per token."""
        overhead = self.overhead(history)
        room = isl - overhead - len(leading)
        if room < 0 or not (room or leading):
            msg = (
                f"ISL {isl} cannot be had: the server's chat template, its history and {len(leading)} given words alone take "
                f"{overhead + len(leading)} tokens. The minimum is {overhead + max(1, len(leading))}."
            )
            raise WorkloadError(msg)
        return text_of([*leading, *self.words(rng, room)])

    def tokens(self, request: Request) -> Sequence[Hashable]:
        """The letters, all tokens of the template before them, those of a turn behind it."""
        symbols: list[Hashable] = [0] * self.template_tokens
        for user, answer in request.history:
            symbols += [*user.split(), *answer.split(), *[0] * (self.turn_tokens or 0)]
        return [*symbols, *request.content.split()]


def _letters(text: str) -> int:
    return len(text.split())


def calibration_prompt(count: int) -> str:
    """``count`` single letters with spaces between: the alphabet over and over, so that 26 and more try each letter."""
    return " ".join(string.ascii_lowercase[position % 26] for position in range(count))


CALIBRATION_HISTORY: History = ((calibration_prompt(40), calibration_prompt(26)), (calibration_prompt(30), calibration_prompt(60)))
"""Two turns of different lengths: one that costs other than its letters and a constant is found."""


def calibrate(short: tuple[int, int], long: tuple[int, int], turns: tuple[int, int] | None = None) -> CalibratedPrompts:
    """From (letters, tokens) of two calibration prompts, as the server counted them; ``turns``: tokens of ``short`` after the first and
    after both turns of :data:`CALIBRATION_HISTORY`.

    :raises WorkloadError: unless each further letter is exactly one token, and each turn the same number besides its letters.
    """
    letters, tokens = long[0] - short[0], long[1] - short[1]
    if letters <= 0 or tokens != letters:
        msg = (
            f"the server counts {tokens} tokens for {letters} further letters ({short[0]} letters: {short[1]} tokens, {long[0]}: "
            f"{long[1]}), so prompts of an exact length cannot be made without its tokenizer. Give --dynperf-tokenizer DIR, the directory "
            f"of the served model."
        )
        raise WorkloadError(msg)
    template = short[1] - short[0]
    if turns is None:
        return CalibratedPrompts(template_tokens=template)
    letters_of = [_letters(user) + _letters(answer) for user, answer in CALIBRATION_HISTORY]
    first, second = turns[0] - short[1] - letters_of[0], turns[1] - turns[0] - letters_of[1]
    if first != second or first < 0:
        msg = (
            f"the server counts {first} tokens around a first turn of a conversation and {second} around a second one, so conversations of "
            f"an exact length cannot be made without its tokenizer. Give --dynperf-tokenizer DIR, the directory of the served model."
        )
        raise WorkloadError(msg)
    return CalibratedPrompts(template_tokens=template, turn_tokens=first)
