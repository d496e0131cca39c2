"""Prompts of an exact length from seeded random words: no two share more than the beginning of the template, so no prefix cache helps by
accident.

In: a source of prompts, lengths, a seed. Out: an endless stream of :class:`~pytest_dynperf.workload.request.Request`.
"""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

from pytest_dynperf.workload.prompt_lengths import Lengths, draw_lengths
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.seed import stream_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.workload.prompt import PromptSource


def synthetic_requests(
    source: PromptSource,
    *,
    isl: int,
    osl: int,
    seed: int,
    shape_seed: int | None = None,
    isl_stddev: float = 0.0,
    osl_stddev: float = 0.0,
    max_isl: int | None = None,
) -> Iterator[Request]:
    """Endless, with ``index`` from 0. Request *i* depends on the seeds and *i* alone; prompts are made as they are taken. ``shape_seed``
    decides the lengths, in place of ``seed``.

    :raises WorkloadError: at the first request, when ``isl`` cannot be had.
    """
    lengths = Lengths(isl=isl, osl=osl, isl_stddev=isl_stddev, osl_stddev=osl_stddev, max_isl=max_isl)
    least_isl = source.overhead() + 1
    for index in count():
        own_isl, own_osl = request_lengths(lengths, seed=seed if shape_seed is None else shape_seed, index=index, least_isl=least_isl)
        yield Request(index=index, content=source.assemble((), own_isl, prompt_stream(seed, index)), isl=own_isl, osl=own_osl)


def request_lengths(lengths: Lengths, *, seed: int, index: int, least_isl: int) -> tuple[int, int]:
    """ISL and OSL of request ``index``.

    :raises WorkloadError: as :func:`~pytest_dynperf.workload.prompt_lengths.draw_lengths`.
    """
    return draw_lengths(lengths, random.Random(stream_seed(seed, "lengths", str(index))), least_isl=least_isl)


def prompt_stream(seed: int, index: int) -> random.Random:
    """Where the words come from that only request ``index`` has."""
    return random.Random(stream_seed(seed, "prompt", str(index)))
