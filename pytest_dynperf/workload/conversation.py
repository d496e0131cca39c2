"""Conversations: each turn's prompt is the whole history and a new user message.

With the lengths n(k) and a(k) of turn k's new tokens and of its answer, the prompt of turn k has exactly
``n(0) + a(0) + ... + n(k-1) + a(k-1) + n(k)`` tokens; what the chat template puts around a turn counts as the user's.

The answers in the history are words of ours, OSL tokens of them, not what the server said: then both arms of a question and every
repetition send the same bytes, token counts are exact, and a request can be made before the one before it has ended. So a server finds
the KV of the last *prompt* in its cache, and computes that of the answer anew.
"""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

from pytest_dynperf.workload.prompt import text_of
from pytest_dynperf.workload.prompt_lengths import draw_lengths
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.seed import stream_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.workload.prompt import History, PromptSource
    from pytest_dynperf.workload.prompt_lengths import Lengths


def conversation_requests(
    source: PromptSource, lengths: Lengths, *, turns: int, delay_s: float, seed: int, shape_seed: int | None = None
) -> Iterator[Request]:
    """Endless; the turns of a conversation follow each other. Conversation *n* depends on the seeds and *n* alone, and a shorter one is the
    beginning of a longer one. ``lengths.isl`` are the new tokens of each turn;
    ``shape_seed`` decides the lengths, in place of ``seed``.

    :raises WorkloadError: when a turn's new tokens do not hold what the template puts around it, or the source takes no history.
    """
    shape = seed if shape_seed is None else shape_seed
    for number in count():
        history: History = ()
        before = 0
        for turn in range(turns):
            names = ("conversation", str(number), str(turn))
            prompts, answers = (random.Random(stream_seed(seed, *names, part)) for part in ("prompt", "answer"))
            spread = random.Random(stream_seed(shape, *names, "lengths"))
            least = source.overhead(history) + 1 - before if lengths.isl_stddev else 1
            new, osl = draw_lengths(lengths, spread, least_isl=least)
            isl = before + new
            request = Request(
                index=number * turns + turn,
                content=source.assemble((), isl, prompts, history=history),
                isl=isl,
                osl=osl,
                history=history,
                conversation=f"{stream_seed(seed, 'conversation', str(number)):016x}",
                turn=turn,
                delay_s=delay_s if turn else 0.0,
            )
            yield request
            history = (*history, (request.content, text_of(source.words(answers, osl - 1))))
            before = isl + osl
