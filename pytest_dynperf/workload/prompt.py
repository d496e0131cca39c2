"""Where prompts of an exact length come from: what every workload asks of a source of words.

A prompt is what a server feeds to the model: ``lead`` tokens (the beginning of the chat template, the history, one fixed letter), then
words of one token each, then what the template puts behind. ``overhead`` is all but the words, so a prompt of ISL tokens has exactly
``isl - overhead`` words, and prompts that begin with the same n words share exactly ``lead + n`` tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Hashable, Sequence

    from pytest_dynperf.workload.request import Request

History = tuple[tuple[str, str], ...]
"""Turns that went before: what the user said and what the assistant answered, oldest first."""

ANCHOR = "x"
"""Every content and every answer of a history begins with it: a word without a space before it may be several tokens."""


def text_of(words: Sequence[str]) -> str:
    """A content, or an answer of a history, that consists of ``words``: one token each, and the fixed letter before them."""
    return " ".join((ANCHOR, *words))


class PromptSource(Protocol):
    """Makes prompts whose tokens add up. All of it is a function of its arguments: equal ones give equal texts on every machine."""

    def words(self, rng: random.Random, count: int) -> list[str]:
        """``count`` random words that are exactly one token each where a space stands before them.

        Draws one number of ``rng`` per word: from equal generators a longer list begins as a shorter one.
        """

    def overhead(self, history: History = ()) -> int:
        """Tokens of a prompt with no word in its last message: template, history and the fixed letter.

        :raises WorkloadError: when the template, or the API, takes no such history.
        """

    def lead(self, history: History = ()) -> int:
        """Of :meth:`overhead`, the tokens that stand before the first word. Where it is not known what stands behind, all of them.

        :raises WorkloadError: as :meth:`overhead`.
        """

    def assemble(self, leading: Sequence[str], isl: int, rng: random.Random, *, history: History = ()) -> str:
        """Content of a user message that a server counts as exactly ``isl`` tokens, template and history included.

        It begins with ``leading``, which must come from :meth:`words`, unchanged; the rest, which may be nothing, are words drawn from
        ``rng``.

        :raises WorkloadError: when ``leading`` and :meth:`overhead` alone are more than ``isl`` tokens, when there is no word at all, or
            when no try came out exact.
        """

    def tokens(self, request: Request) -> Sequence[Hashable]:
        """``request.isl`` symbols, equal where the tokens of the prompt are: to find out what two prompts share. Images do not count."""
