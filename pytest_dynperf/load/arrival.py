"""When an open loop sends. In: an Arrival and a seed. Out: offsets in integer nanoseconds from the start of the measured phase. Pure.

Every process is a renewal process in operational time (gaps of mean 1) that the inverse of the cumulative rate maps to the clock: gaps are
1 for ``constant``, exponential for ``poisson`` and ``sinusoidal`` (an inhomogeneous Poisson process), gamma distributed with shape
``burstiness`` for ``gamma``. Same seed, same schedule, on every machine with the same numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.workload.seed import stream_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_dynperf.scenario.traffic import Arrival

_BATCH = 1024
_BISECTIONS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """``before``: negative offsets, ascending: the ramp, then the warm-up. ``after``: offsets from 0 on, ascending, without end."""

    before: tuple[int, ...]
    after: Iterator[int]


def schedule_of(arrival: Arrival, *, warmup: int, seed: int) -> Schedule:
    """Of ``constant``, ``poisson``, ``gamma`` and ``sinusoidal``.

    Except for the sine, the measured phase begins with a send at 0. ``warmup`` sends come before it, at the rate of instant 0 (a sine
    whose minimum is 0: at its mean), and before these, for ``ramp_s``, sends whose rate grows linearly from 0 to that rate.

    :raises ValueError: for ``concurrency`` and ``trace``, which have no rate, and where the rate is missing.
    """
    mean_per_s = arrival.mean_rate_per_s
    if mean_per_s is None:
        msg = f"arrival.process = {arrival.process!r} has no rate"
        raise ValueError(msg)
    start_per_s = rate_at(arrival, 0.0) or mean_per_s
    # Two streams: how long the warm-up is does not change the measured phase.
    backward, forward = (_gaps(arrival, stream_seed(seed, "arrival", name)) for name in ("before", "after"))
    before = tuple(-offset for offset in _before(backward, start_per_s, warmup, arrival.ramp_s))[::-1]
    return Schedule(before=before, after=_after(arrival, forward, mean_per_s))


def rate_at(arrival: Arrival, t_s: float) -> float:
    """Sends per second, ``t_s`` after the start of the measured phase: min at 0, max half a period later, for a sine."""
    if arrival.process != "sinusoidal":
        return arrival.mean_rate_per_s or 0.0
    mid, amplitude, period_s = _sine(arrival)
    return mid + amplitude * math.sin(2 * math.pi * t_s / period_s - math.pi / 2)


def trace_offset_ns(at_s: float, *, first_s: float, speedup: float) -> int:
    """Of a request that a trace sends at ``at_s``, where the measured phase begins with the one at ``first_s``."""
    return round((at_s - first_s) / speedup * 1e9)


def _gaps(arrival: Arrival, seed: int) -> Iterator[float]:
    """Of mean 1, without end."""
    generator = np.random.default_rng(seed)
    draw: dict[str, Callable[[], np.ndarray]] = {
        "constant": lambda: np.ones(_BATCH),
        "poisson": lambda: generator.exponential(size=_BATCH),
        "sinusoidal": lambda: generator.exponential(size=_BATCH),
        "gamma": lambda: generator.gamma(arrival.burstiness, 1 / arrival.burstiness, size=_BATCH),
    }
    while True:
        yield from draw[arrival.process]().tolist()


def _before(gaps: Iterator[float], rate_per_s: float, warmup: int, ramp_s: float) -> Iterator[int]:
    """Distances before the start, ascending."""
    distance_s, ramped, area = 0.0, 0.0, rate_per_s * ramp_s / 2
    for number, gap in enumerate(gaps):
        if number < warmup:
            distance_s += gap / rate_per_s
            yield max(1, round(distance_s * 1e9))
            continue
        # A rate that falls linearly, looking back: the inverse of its integral. `area` is the number of sends of the whole ramp.
        ramped += gap
        if ramped >= area:
            return
        yield max(1, round((distance_s + ramp_s * (1 - math.sqrt(1 - ramped / area))) * 1e9))


def _after(arrival: Arrival, gaps: Iterator[float], mean_per_s: float) -> Iterator[int]:
    operational = next(gaps) if arrival.process == "sinusoidal" else 0.0
    while True:
        at_s = _sine_at_s(arrival, operational) if arrival.process == "sinusoidal" else operational / mean_per_s
        yield round(at_s * 1e9)
        operational += next(gaps)


def _sine(arrival: Arrival) -> tuple[float, float, float]:
    low, high, period_s = arrival.min_rate_per_s, arrival.max_rate_per_s, arrival.period_s
    if low is None or high is None or period_s is None:
        msg = "a sinusoidal arrival needs min_rate_per_s, max_rate_per_s and period_s"
        raise ValueError(msg)
    return (low + high) / 2, (high - low) / 2, period_s


def _sine_at_s(arrival: Arrival, sends: float) -> float:
    """When the integral of the rate has grown to ``sends``. The integral grows monotonically, so halving finds it, to 1e-18 of a period."""
    mid, amplitude, period_s = _sine(arrival)
    periods, rest = divmod(sends, mid * period_s)
    low, high = 0.0, period_s
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if mid * middle - amplitude * period_s / (2 * math.pi) * math.sin(2 * math.pi * middle / period_s) < rest:
            low = middle
        else:
            high = middle
    return periods * period_s + (low + high) / 2
