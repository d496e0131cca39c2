"""Traces whose rate, and whose mix of two kinds of requests, swing as a sine: a load that a planner has to follow.

In: :class:`Sine` and a seed. Out: entries of a trace. The model is that of Dynamo's sine generator, which has no seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.workload.prefix_tree import grow
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.trace import TraceEntry, blocks_of

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """(low + high)/2 + (high − low)/2 × sin(2πt/period − π/2): at ``low`` where t = 0, at ``high`` half a period later."""

    low: float
    high: float
    period_s: float

    def at(self, time_s: float) -> float:
        """Its value ``time_s`` seconds after the beginning."""
        return (self.low + self.high) / 2 + (self.high - self.low) / 2 * math.sin(2 * math.pi * time_s / self.period_s - math.pi / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Lengths in tokens of one of the two kinds of requests."""

    isl: int
    osl: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sine:
    """Defaults are Dynamo's. In each interval of ``interval_s`` a Poisson number of requests, evenly spaced, at the ``rate_per_s`` of its
    beginning; each is of the ``first`` kind with the probability that ``first_share`` has there, else of the ``second``.

    ``total_blocks``: each block is one of so many; equal blocks at the beginning are shared.
    """

    duration_s: float = 100.0
    interval_s: float = 1.0
    rate_per_s: Swing = Swing(low=5.0, high=10.0, period_s=10.0)
    first_share: Swing = Swing(low=0.2, high=0.8, period_s=10.0)
    first: Kind = Kind(isl=100, osl=2000)
    second: Kind = Kind(isl=5000, osl=100)
    block_size: int = 512
    total_blocks: int = 10_000


def sine_trace(sine: Sine, *, seed: int) -> tuple[TraceEntry, ...]:
    """Entries with times in whole milliseconds, in order; hash ids are renumbered so that equal ones are equal prefixes.

    The same ``seed`` gives the same requests on every machine; a longer duration begins as a shorter one.
    """
    # Poisson numbers as the inverse of their distribution: numpy's own method may change from version to version.
    from scipy.stats import poisson

    counts, kinds, blocks = (np.random.default_rng(stream_seed(seed, "sine", name)) for name in ("count", "kind", "block"))
    requests: list[tuple[float, Kind, list[int]]] = []
    for number in range(math.ceil(sine.duration_s / sine.interval_s - 1e-9)):
        start_s = number * sine.interval_s
        length_s = min(sine.interval_s, sine.duration_s - start_s)
        count = max(0, int(poisson.ppf(counts.random(), sine.rate_per_s.at(start_s) * length_s)))
        share = sine.first_share.at(start_s)
        for place in range(count):
            kind = sine.first if kinds.random() < share else sine.second
            at_s = math.floor((start_s + place * length_s / count) * 1e3) / 1e3
            requests.append((at_s, kind, _blocks(blocks, kind, sine)))
    paths = grow(ids for _, _, ids in requests).paths
    return tuple(
        TraceEntry(line=line, at_s=at_s, isl=kind.isl, osl=kind.osl, hash_ids=path)
        for line, ((at_s, kind, _), path) in enumerate(zip(requests, paths, strict=True), start=1)
    )


def _blocks(rng: np.random.Generator, kind: Kind, sine: Sine) -> list[int]:
    drawn: npt.NDArray[np.int64] = np.floor(rng.random(blocks_of(kind.isl, sine.block_size)) * sine.total_blocks).astype(np.int64)
    ids: list[int] = drawn.tolist()
    return ids
