"""What an analysis says of a trace is what one counts by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.quantity import Absent
from pytest_dynperf.workload.analysis import PERCENTILES, Timing, analyze
from pytest_dynperf.workload.trace import TraceEntry, blocks_of

BLOCK = 10


def entry(isl: int, *hash_ids: int, at_s: float | None = None, session: str | None = None, osl: int = 4) -> TraceEntry:
    assert len(hash_ids) == blocks_of(isl, BLOCK)
    return TraceEntry(line=1, at_s=at_s, isl=isl, osl=osl, hash_ids=hash_ids, session_id=session)


def test_contexts_and_hits_are_counted_as_by_hand() -> None:
    found = analyze([entry(40, 1, 2, 3, 4), entry(25, 1, 2, 5), entry(9, 8), entry(25, 1, 2, 5)], block_size=BLOCK)
    # Contexts: 20 (two shared blocks), 25 (all, the last one not full), 0, 25. Hits: 0, 2 of 3, 0, 3 of 3.
    assert found.context.mean == (20 + 25 + 0 + 25) / 4
    assert found.unique.mean == (20 + 0 + 9 + 0) / 4
    assert found.hit_rate.mean == pytest.approx((0 + 2 / 3 + 0 + 1) / 4)
    assert found.token_hit_rate == (20 + 25) / (40 + 25 + 9 + 25)
    assert found.distinct_blocks == 6
    assert (found.isl.least, found.isl.most, found.requests) == (9, 40, 4)
    assert found.hit_rate_histogram.counts[0] == 2
    assert sum(found.isl_histogram.counts) == 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=5), st.integers(1, BLOCK), st.integers(0, 50)), min_size=1, max_size=30
    )
)
def test_statistics_hold_together(requests: list[tuple[list[int], int, int]]) -> None:
    entries = [entry((len(ids) - 1) * BLOCK + rest, *ids, osl=osl) for ids, rest, osl in requests]
    found = analyze(entries, block_size=BLOCK)
    assert found.context.mean + found.unique.mean == pytest.approx(found.isl.mean)
    assert 0 <= found.token_hit_rate <= 1
    assert found.token_hit_rate * found.isl.mean <= found.context.mean + 1e-9, "only what is shared can be found"
    assert found.osl.percentiles[PERCENTILES.index(50)] == (50, np.percentile([one.osl for one in entries], 50))
    seen: set[tuple[int, ...]] = set()
    rates = []
    for one in entries:
        prefixes = [one.hash_ids[:count] for count in range(1, len(one.hash_ids) + 1)]
        rates.append(sum(prefix in seen for prefix in prefixes) / len(prefixes))
        seen.update(prefixes)
    assert found.hit_rate.mean == pytest.approx(np.mean(rates))
    assert found.distinct_blocks == len(seen)


def timing(*times: float) -> Timing | Absent:
    return analyze([entry(5, 1, at_s=at_s) for at_s in times], block_size=BLOCK).timing


def test_the_rate_is_gaps_over_time() -> None:
    found = timing(3.0, 4.0, 5.0, 7.0)
    assert isinstance(found, Timing)
    assert (found.duration_s, found.rate_per_s) == (4.0, 0.75)
    assert found.gap_cv == pytest.approx(np.std([1, 1, 2]) / np.mean([1, 1, 2]))
    assert (sum(found.sends.counts), found.sends.edges[0], found.sends.edges[-1]) == (4, 0.0, 4.0)


@pytest.mark.parametrize("shape", [0.25, 1.0, 4.0])
def test_burstiness_is_the_shape_of_a_gamma_process(shape: float) -> None:
    times = np.cumsum(np.random.default_rng(0).gamma(shape, 1 / shape, 50_000))
    found = timing(*times.tolist())
    assert isinstance(found, Timing)
    assert found.burstiness == pytest.approx(shape, rel=0.05)
    assert found.rate_per_s == pytest.approx(1.0, rel=0.05)


def test_what_there_is_not_is_absent() -> None:
    assert timing(2.0, 2.0) == Absent("all 2 timestamps are the same")
    found = timing(1.0, 2.0, 3.0)
    assert isinstance(found, Timing)
    assert found.burstiness == Absent("all gaps are equal")
    plain = analyze([entry(5, 1)], block_size=BLOCK)
    assert (plain.timing, plain.turns) == (Absent("no line has a timestamp"), Absent("no line has a session_id"))


def test_turns_of_sessions() -> None:
    entries = [replace(entry(5, 1), session_id=name) for name in "aababc"]
    found = analyze(entries, block_size=BLOCK).turns
    assert not isinstance(found, Absent)
    assert (found.mean, found.most) == (2, 3)


def test_a_trace_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="without requests"):
        analyze([], block_size=BLOCK)
