"""Prompts that begin with one of a few shared texts, as Dynamo's prefix-ratio benchmark asks them, but with the same data at every ratio.

Of ISL tokens, the first ``round(isl * prefix_ratio)`` are shared: the beginning of the chat template counts as theirs. The rest is the
request's own. Which prefix a request begins with, the words of each prefix and the words of each request are streams of their own: at
another ratio they are taken to another length, and are the same otherwise.
"""

from __future__ import annotations

import random
from functools import cache
from itertools import count
from typing import TYPE_CHECKING

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.synthetic import prompt_stream, request_lengths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.workload.prompt import PromptSource
    from pytest_dynperf.workload.prompt_lengths import Lengths


def shared_prefix_requests(
    source: PromptSource, lengths: Lengths, *, prefix_ratio: float, prefix_count: int, seed: int, shape_seed: int | None = None
) -> Iterator[Request]:
    """Endless. Request *i* depends on the seeds and *i* alone; ``shape_seed`` decides lengths and which prefix comes when, in place of
    ``seed``. Prefixes are drawn with equal chances; a spread of the ISL is one of the
    request's own part.

    A prefix shorter than the beginning of the template is that beginning, which is shared in any case.

    :raises WorkloadError: at the first request, when the prefix leaves no room for a word of the request's own.
    """
    prefix_words = max(0, round(lengths.isl * prefix_ratio) - source.lead())
    least_isl = source.overhead() + prefix_words + 1
    if lengths.isl < least_isl:
        msg = (
            f"ISL {lengths.isl} at prefix_ratio {prefix_ratio:g} leaves no token to the request itself: the shared prefix and the chat "
            f"template take {least_isl - 1}. Lower the ratio, or raise the ISL."
        )
        raise WorkloadError(msg)

    @cache
    def prefix(number: int) -> tuple[str, ...]:
        return tuple(source.words(random.Random(stream_seed(seed, "prefix", str(number))), prefix_words))

    shape = seed if shape_seed is None else shape_seed
    for index in count():
        number = random.Random(stream_seed(shape, "prefix of", str(index))).randrange(prefix_count)
        isl, osl = request_lengths(lengths, seed=shape, index=index, least_isl=least_isl)
        content = source.assemble(prefix(number), isl, prompt_stream(seed, index))
        yield Request(index=index, content=content, isl=isl, osl=osl)
