"""What a trace asks for: lengths, what could be shared, when, in which sessions. Pure.

In: entries of a trace. Out: :class:`Analysis`. A file is described as a whole, not as a sample, so every percentile is given, however few
requests there are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.quantity import Absent
from pytest_dynperf.workload.prefix_tree import grow

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pytest_dynperf.workload.trace import TraceEntry

PERCENTILES = (5, 25, 50, 75, 90, 95, 99)
_BINS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """``std`` with ddof 0, ``percentiles`` (linear) as (per cent, value) at :data:`PERCENTILES`."""

    mean: float
    std: float
    least: float
    most: float
    percentiles: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """``counts[i]`` values from ``edges[i]`` to below ``edges[i + 1]``, in the last bin up to and with its edge."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """``duration_s``: first to last send. ``rate_per_s``: gaps ÷ duration. ``gap_cv``: standard deviation of the gaps ÷ their mean, 1 for a
    Poisson process. ``burstiness`` = 1/``gap_cv``², the shape of a gamma process with such gaps (what ``vllm bench serve`` and
    ``traffic.arrival.burstiness`` call so). ``sends`` in bins of equal width over the duration.
    """

    duration_s: float
    rate_per_s: float
    gap_cv: float
    burstiness: float | Absent
    sends: Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Lengths in tokens, of all requests. ``context``: leading blocks that any other request has as well, ``unique``: the rest.

    ``hit_rate``: of each request, its leading blocks that an earlier one had ÷ its blocks (Dynamo's analyzer gives the mean of it).
    ``token_hit_rate``: Σ tokens of those blocks ÷ Σ ISL; what a cache that forgets nothing would save, if each request found all that went
    before finished. ``distinct_blocks`` is how large that cache would be. ``turns``: requests of each session, absent where there are none.
    """

    requests: int
    isl: Distribution
    osl: Distribution
    context: Distribution
    unique: Distribution
    hit_rate: Distribution
    token_hit_rate: float
    distinct_blocks: int
    timing: Timing | Absent
    turns: Distribution | Absent
    isl_histogram: Histogram
    osl_histogram: Histogram
    hit_rate_histogram: Histogram


def analyze(entries: Sequence[TraceEntry], *, block_size: int) -> Analysis:
    """One pass over the blocks; about 1 µs for each.

    :raises ValueError: without any entry.
    """
    if not entries:
        msg = "a trace without requests has no statistics"
        raise ValueError(msg)
    tree = grow(entry.hash_ids for entry in entries)
    isl, osl = (np.array([getattr(entry, name) for entry in entries]) for name in ("isl", "osl"))
    shared, found, known = [], [], 0
    for path in tree.paths:
        shared.append(tree.shared_blocks(path))
        # Nodes are numbered as they come: those below `known` were there before.
        found.append(sum(node < known for node in path))
        known = max(known, path[-1] + 1)
    context = np.minimum(isl, np.array(shared) * block_size)
    hit_rate = np.array(found) / np.array([len(path) for path in tree.paths])
    sessions = Counter(entry.session_id for entry in entries if entry.session_id is not None)
    return Analysis(
        requests=len(entries),
        isl=_distribution(isl),
        osl=_distribution(osl),
        context=_distribution(context),
        unique=_distribution(isl - context),
        hit_rate=_distribution(hit_rate),
        token_hit_rate=float(np.minimum(isl, np.array(found) * block_size).sum() / isl.sum()),
        distinct_blocks=len(tree.parents),
        timing=_timing(entries),
        turns=_distribution(np.array(list(sessions.values()))) if sessions else Absent("no line has a session_id"),
        isl_histogram=_histogram(isl),
        osl_histogram=_histogram(osl),
        hit_rate_histogram=_histogram(hit_rate, (0.0, 1.0)),
    )


def _distribution(values: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> Distribution:
    return Distribution(
        mean=float(values.mean()),
        std=float(values.std()),
        least=float(values.min()),
        most=float(values.max()),
        percentiles=tuple(zip(PERCENTILES, (float(value) for value in np.percentile(values, PERCENTILES)), strict=True)),
    )


def _histogram(values: npt.NDArray[np.int64] | npt.NDArray[np.float64], bounds: tuple[float, float] | None = None) -> Histogram:
    counts, edges = np.histogram(values, bins=_BINS, range=bounds or (0.0, max(1.0, float(values.max()))))
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))


def _timing(entries: Sequence[TraceEntry]) -> Timing | Absent:
    times = np.sort(np.array([entry.at_s for entry in entries if entry.at_s is not None], np.float64))
    if not len(times):
        return Absent("no line has a timestamp")
    gaps = np.diff(times)
    duration_s = float(times[-1] - times[0])
    if not duration_s:
        return Absent(f"all {len(times)} timestamps are the same")
    cv = float(gaps.std() / gaps.mean())
    return Timing(
        duration_s=duration_s,
        rate_per_s=len(gaps) / duration_s,
        gap_cv=cv,
        burstiness=cv**-2 if cv > 1e-9 else Absent("all gaps are equal"),
        sends=_histogram(times - times[0], (0.0, duration_s)),
    )
