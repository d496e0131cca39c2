"""Rate and mix swing as they should, and nothing but the seed decides the rest."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.workload.prefix_tree import grow
from pytest_dynperf.workload.sine import Kind, Sine, Swing, sine_trace
from pytest_dynperf.workload.trace import TraceEntry, blocks_of

LONG = Sine(
    duration_s=4000.0,
    rate_per_s=Swing(low=2.0, high=18.0, period_s=40.0),
    first_share=Swing(low=0.1, high=0.9, period_s=100.0),
    first=Kind(isl=10, osl=20),
    second=Kind(isl=1000, osl=2),
    total_blocks=50,
)


def flaws(sine: Sine, entries: tuple[TraceEntry, ...]) -> list[str]:
    """Where rate and mix are off, by phase of their swing: five standard errors."""
    found = []
    rates, shares = Counter[int](), Counter[int]()
    by_share = Counter[int]()
    for entry in entries:
        at_s = entry.at_s or 0.0
        rates[int(at_s % sine.rate_per_s.period_s)] += 1
        by_share[int(at_s % sine.first_share.period_s)] += 1
        shares[int(at_s % sine.first_share.period_s)] += entry.isl == sine.first.isl
    for phase in range(int(sine.rate_per_s.period_s)):
        expected = sine.rate_per_s.at(phase) * sine.duration_s / sine.rate_per_s.period_s
        if abs(rates[phase] - expected) > 5 * math.sqrt(expected):
            found.append(f"rate at {phase} s")
    for phase in range(int(sine.first_share.period_s)):
        share, number = sine.first_share.at(phase), by_share[phase]
        if abs(shares[phase] - share * number) > 5 * math.sqrt(share * (1 - share) * number):
            found.append(f"mix at {phase} s")
    return found


def test_rate_and_mix_follow_their_swings() -> None:
    made = sine_trace(LONG, seed=3)
    assert flaws(LONG, made) == []
    assert len(made) == pytest.approx(LONG.duration_s * 10, rel=0.02)


def test_a_defect_is_found() -> None:
    made = sine_trace(LONG, seed=3)
    assert flaws(replace(LONG, rate_per_s=Swing(low=18.0, high=2.0, period_s=40.0)), made)
    # The README of Dynamo's generator says that a ratio of 0 means the first kind alone; its code does the opposite, and so do we.
    assert flaws(replace(LONG, first=LONG.second, second=LONG.first), made)


def test_a_swing_begins_at_its_lowest() -> None:
    swing = Swing(low=5.0, high=10.0, period_s=8.0)
    assert [swing.at(time_s) for time_s in (0, 2, 4, 6, 8)] == pytest.approx([5.0, 7.5, 10.0, 7.5, 5.0])


@pytest.mark.parametrize(("share", "kinds"), [(0.0, {1000}), (1.0, {10})])
def test_a_share_of_one_is_the_first_kind_alone(share: float, kinds: set[int]) -> None:
    made = sine_trace(replace(LONG, duration_s=50.0, first_share=Swing(low=share, high=share, period_s=1.0)), seed=0)
    assert {entry.isl for entry in made} == kinds


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**64), duration_s=st.floats(0.1, 60), interval_s=st.floats(0.1, 7))
def test_the_seed_decides_and_a_longer_trace_begins_as_a_shorter_one(seed: int, duration_s: float, interval_s: float) -> None:
    whole = replace(LONG, interval_s=interval_s, duration_s=interval_s * math.ceil(duration_s / interval_s))
    np.random.seed(0)
    made = sine_trace(whole, seed=seed)
    np.random.seed(1)
    assert sine_trace(replace(whole, duration_s=whole.duration_s + 3 * interval_s), seed=seed)[: len(made)] == made
    assert sine_trace(whole, seed=seed) == made
    times = [entry.at_s or 0.0 for entry in made]
    assert times == sorted(times)
    assert all(0 <= at_s < whole.duration_s and round(at_s * 1e3, 6) % 1 == 0 for at_s in times)
    assert all(len(entry.hash_ids) == blocks_of(entry.isl, LONG.block_size) for entry in made)


def test_a_last_interval_that_is_not_whole_keeps_the_rate() -> None:
    flat = Swing(low=1000.0, high=1000.0, period_s=1.0)
    made = sine_trace(replace(LONG, duration_s=1.5, rate_per_s=flat), seed=0)
    assert len(made) == pytest.approx(1500, abs=5 * math.sqrt(1500))
    assert max(entry.at_s or 0.0 for entry in made) < 1.5


def test_other_seeds_are_other_traces() -> None:
    short = replace(LONG, duration_s=20.0)
    assert len({sine_trace(short, seed=seed) for seed in range(20)}) == 20


def test_no_rate_is_no_request() -> None:
    assert sine_trace(replace(LONG, rate_per_s=Swing(low=0.0, high=0.0, period_s=1.0)), seed=0) == ()


@pytest.mark.parametrize("total", [1, 50])
def test_ids_are_nodes_of_the_tree_and_first_blocks_are_drawn_from_all(total: int) -> None:
    made = sine_trace(replace(LONG, duration_s=400.0, total_blocks=total), seed=0)
    assert grow(entry.hash_ids for entry in made).paths == tuple(entry.hash_ids for entry in made)
    assert len({entry.hash_ids[0] for entry in made}) == total
