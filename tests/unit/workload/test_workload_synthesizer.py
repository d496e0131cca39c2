"""Traces made from traces have the statistics that were asked for; each property is shown to find a planted defect."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.scenario.traffic import Workload
from pytest_dynperf.workload import synthesizer
from pytest_dynperf.workload.prefix_tree import grow
from pytest_dynperf.workload.synthesizer import adjust, synthesize
from pytest_dynperf.workload.trace import TraceEntry, blocks_of

BLOCK = 16
PLAIN = Workload(kind="trace", block_size=BLOCK)


def trace(requests: list[tuple[list[int], int]], *, osl: int = 5, gap_s: float = 1.0) -> tuple[TraceEntry, ...]:
    """Requests as (hash ids, tokens of the last block)."""
    return tuple(
        TraceEntry(line=place + 1, at_s=place * gap_s, isl=(len(ids) - 1) * BLOCK + rest, osl=osl + place % 7, hash_ids=tuple(ids))
        for place, (ids, rest) in enumerate(requests)
    )


@lru_cache
def busy_trace(number: int = 3000, seed: int = 0) -> tuple[TraceEntry, ...]:
    """Twelve system prompts of 1 to 8 blocks, documents behind half of them, conversations that grow, prompts of all lengths, bursts."""
    rng = np.random.default_rng(seed)
    requests: list[tuple[list[int], int]] = []
    for request in range(number):
        system = int(rng.zipf(1.6)) % 12
        ids = [1000 * system + place for place in range(1 + system % 8)]
        if rng.random() < 0.5:
            document = int(rng.integers(0, 300))
            ids += [10**6 + 1000 * document + place for place in range(1 + document % 5)]
        if rng.random() < 0.8:
            ids += [10**9 + 100 * request + place for place in range(int(rng.geometric(0.3)))]
        requests.append((ids, int(rng.integers(1, BLOCK + 1))))
    times = np.floor(np.cumsum(rng.exponential(0.4, number)) * 5) / 5
    return tuple(replace(entry, at_s=float(at_s)) for entry, at_s in zip(trace(requests), times, strict=True))


def hit_rate(entries: tuple[TraceEntry, ...]) -> float:
    """Share of the blocks that an earlier request had as well."""
    seen: set[int] = set()
    hits = total = 0
    for path in grow(entry.hash_ids for entry in entries).paths:
        hits += sum(node in seen for node in path)
        total += len(path)
        seen.update(path)
    return hits / total


def flaws(original: tuple[TraceEntry, ...], made: tuple[TraceEntry, ...]) -> list[str]:
    """Statistics in which ``made`` is not like ``original`` by more than sampling allows: four standard errors; 2 % for the hit rate."""
    found = []
    for name in ("isl", "osl"):
        values, others = ([getattr(entry, name) for entry in entries] for entries in (original, made))
        if abs(np.mean(values) - np.mean(others)) > 4 * np.std(values) / math.sqrt(len(others)):
            found.append(name)
    if abs(hit_rate(made) / hit_rate(original) - 1) > 0.02:
        found.append("hit rate")
    durations = [entries[-1].at_s or 0.0 for entries in (original, made)]
    if abs(durations[1] / durations[0] - 1) > 0.1:
        found.append("rate")
    bursts = [np.mean(list(Counter(entry.at_s for entry in entries).values())) for entries in (original, made)]
    if abs(bursts[1] / bursts[0] - 1) > 0.1:
        found.append("bursts")
    found += [f"line {entry.line}" for entry in made if len(entry.hash_ids) != blocks_of(entry.isl, BLOCK)]
    return found


# ---- drawn anew


@pytest.mark.parametrize("seed", range(5))
def test_a_synthesized_trace_is_like_the_original(seed: int) -> None:
    original = busy_trace()
    made = synthesize(original, PLAIN, count=len(original), seed=seed)
    assert len(made) == len(original)
    assert flaws(original, made) == []
    assert [entry.line for entry in made[:3]] == [1, 2, 3]
    assert [entry.at_s for entry in made] == sorted(entry.at_s or 0.0 for entry in made)


def test_every_context_is_used_as_often_as_in_the_trace() -> None:
    original = busy_trace()

    def contexts(entries: tuple[TraceEntry, ...]) -> Counter[tuple[int, int]]:
        tree = grow(entry.hash_ids for entry in entries)
        shared = [(tree.shared_blocks(path), tree.visits[path[0]]) for path in tree.paths]
        return Counter(shared)

    assert contexts(synthesize(original, PLAIN, count=len(original), seed=1)) == contexts(original)


@pytest.mark.parametrize(
    ("defect", "found"),
    [
        pytest.param({"_indices": lambda size, count, *_: np.zeros(count, np.int64)}, {"osl", "rate"}, id="always the first"),
        pytest.param({"_stretched_prompts": lambda prompts, _: [2 * prompt for prompt in prompts]}, {"isl"}, id="other prompts"),
        pytest.param({"_Numbers._number": lambda self, _: self._fresh()}, {"hit rate"}, id="contexts that nobody shares"),
    ],
)
def test_a_defect_is_found(monkeypatch: pytest.MonkeyPatch, defect: dict[str, Any], found: set[str]) -> None:
    for name, replacement in defect.items():
        owner, _, attribute = name.rpartition(".")
        monkeypatch.setattr(getattr(synthesizer, owner) if owner else synthesizer, attribute, replacement)
    assert found <= set(flaws(busy_trace(), synthesize(busy_trace(), PLAIN, count=3000, seed=0)))


def test_contexts_that_two_requests_share_are_shared_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = trace([([place // 2, 10**6 + place], BLOCK) for place in range(2000)])
    assert hit_rate(synthesize(pairs, PLAIN, count=2000, seed=0)) == hit_rate(pairs) == 0.25
    # Drawn each by itself, as by a walk through the tree for each request, they are shared too often.
    monkeypatch.setattr(synthesizer._Model, "_round", lambda *_: np.random.default_rng(1).integers(0, 2000, 2000).tolist())
    assert hit_rate(synthesize(pairs, PLAIN, count=2000, seed=0)) == pytest.approx(0.25 * (1 + math.exp(-2)), rel=0.05)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**64), prefix=st.floats(0.2, 3), prompt=st.floats(0.2, 3), roots=st.integers(1, 4), count=st.integers(1, 300))
def test_a_request_depends_on_seed_and_options_alone(seed: int, prefix: float, prompt: float, roots: int, count: int) -> None:
    workload = replace(PLAIN, prefix_length_multiplier=prefix, prompt_length_multiplier=prompt, prefix_root_multiplier=roots)
    np.random.seed(0)
    made = synthesize(busy_trace(400), workload, count=count, seed=seed)
    np.random.seed(1)
    longer = synthesize(busy_trace(400), workload, count=count + 500, seed=seed)
    assert longer[:count] == made
    assert synthesize(busy_trace(400), workload, count=count, seed=seed + 1) != made or count < 3
    assert all(len(entry.hash_ids) == blocks_of(entry.isl, BLOCK) for entry in longer)


def test_every_part_of_a_request_follows_the_seed() -> None:
    workload = replace(PLAIN, prefix_root_multiplier=4, prefix_length_multiplier=1.5)
    one, other = (synthesize(busy_trace(), workload, count=1000, seed=seed) for seed in (1, 2))
    for part in ("at_s", "isl", "osl", "hash_ids"):
        assert [getattr(entry, part) for entry in one] != [getattr(entry, part) for entry in other], part
    # Copies alone, of a trace in which nothing else is random.
    same = trace([([1], BLOCK)] * 50)
    first, second = ([entry.hash_ids for entry in adjust(same, replace(PLAIN, prefix_root_multiplier=4), seed=seed)] for seed in (1, 2))
    assert first != second


def test_rounds_through_the_trace_have_orders_of_their_own() -> None:
    drawn = [entry.isl for entry in synthesize(trace([([7, *range(place)], 9) for place in range(2, 40)] * 2), PLAIN, count=152, seed=0)]
    assert sorted(drawn[:76]) == sorted(drawn[76:])
    assert drawn[:76] != drawn[76:]


def test_gaps_are_divided_by_the_speed_up() -> None:
    once, twice = (synthesize(busy_trace(), PLAIN, count=500, seed=0, speedup=speedup) for speedup in (1.0, 2.0))
    for slow, fast in zip(once, twice, strict=True):
        assert replace(fast, at_s=None) == replace(slow, at_s=None)
        assert fast.at_s == pytest.approx((slow.at_s or 0.0) / 2, abs=1.1e-3)


def test_a_trace_without_times_gives_one_without() -> None:
    timeless = tuple(replace(entry, at_s=None) for entry in busy_trace(50))
    assert {entry.at_s for entry in synthesize(timeless, PLAIN, count=100, seed=0)} == {None}


def test_a_trace_of_one_instant_gives_one() -> None:
    instant = tuple(replace(entry, at_s=3.0) for entry in busy_trace(50))
    assert {entry.at_s for entry in synthesize(instant, PLAIN, count=100, seed=0)} == {0.0}


def test_turns_with_delays_are_refused() -> None:
    turns = (*busy_trace(50), replace(busy_trace(50)[-1], line=51, at_s=None, session_id="a", delay_s=1.0))
    with pytest.raises(WorkloadError, match="line 51 of the trace has no timestamp"):
        synthesize(turns, PLAIN, count=10, seed=0)


def test_requests_that_end_inside_of_what_is_shared_keep_their_length() -> None:
    made = synthesize(trace([([1, 2], 7), ([1, 2], 7), ([1, 2, 3, 4], 9), ([1, 2, 3, 4], 9)]), PLAIN, count=400, seed=0)
    assert Counter(entry.isl for entry in made) == {BLOCK + 7: 200, 3 * BLOCK + 9: 200}


# ---- multipliers


def mean_isl(entries: tuple[TraceEntry, ...]) -> float:
    return float(np.mean([entry.isl for entry in entries]))


def parts(entries: tuple[TraceEntry, ...]) -> tuple[float, float]:
    """Mean tokens of contexts and of prompts."""
    tree = grow(entry.hash_ids for entry in entries)
    contexts = [min(entry.isl, BLOCK * tree.shared_blocks(path)) for entry, path in zip(entries, tree.paths, strict=True)]
    return float(np.mean(contexts)), mean_isl(entries) - float(np.mean(contexts))


@pytest.mark.parametrize("multiplier", [0.3, 0.5, 1.1, 1.2, 1.5, 2.0, 3.7])
def test_the_trace_itself_is_stretched_to_the_token(multiplier: float) -> None:
    context, prompt = parts(busy_trace())
    longer_contexts = adjust(busy_trace(), replace(PLAIN, prefix_length_multiplier=multiplier), seed=0)
    assert mean_isl(longer_contexts) == pytest.approx(multiplier * context + prompt, abs=1.0)
    longer_prompts = adjust(busy_trace(), replace(PLAIN, prompt_length_multiplier=multiplier), seed=0)
    assert mean_isl(longer_prompts) == pytest.approx(context + multiplier * prompt, rel=0.01 if multiplier < 1 else 1e-4)


@pytest.mark.parametrize("multiplier", [0.4, 1.2, 1.5, 2.0])
def test_shared_blocks_are_stretched_exactly_in_expectation(multiplier: float) -> None:
    # One beginning of 3 blocks, which cannot become 3.6: over many seeds it does.
    original = trace([([1, 2, 3, 10 + place, 20 + place], BLOCK) for place in range(8)])
    workload = replace(PLAIN, prefix_length_multiplier=multiplier)
    blocks = []
    for seed in range(400):
        tree = grow(entry.hash_ids for entry in adjust(original, workload, seed=seed))
        blocks.append(tree.shared_blocks(tree.paths[0]))
    assert set(blocks) <= {math.floor(3 * multiplier), math.ceil(3 * multiplier)}
    assert np.mean(blocks) == pytest.approx(3 * multiplier, abs=4 * 0.5 / math.sqrt(len(blocks)))


def test_stretching_keeps_who_shares_with_whom() -> None:
    # Two documents behind one system prompt; with twice the length each shared block becomes two.
    original = trace([([1, 2, 5], 9), ([1, 2, 6], 9), ([1, 3, 7], 9), ([1, 3, 8], 9)])
    doubled = adjust(original, replace(PLAIN, prefix_length_multiplier=2.0), seed=0)
    a, b, c, d = (set(entry.hash_ids) for entry in doubled)
    assert [len(one & other) for one, other in ((a, b), (c, d), (a, c), (b, d))] == [4, 4, 2, 2]


def test_equal_requests_are_stretched_to_equal_ones() -> None:
    # 16 tokens become 24, of two blocks, although the one shared block may not become two.
    for seed in range(8):
        made = adjust(trace([([1], BLOCK)] * 3), replace(PLAIN, prefix_length_multiplier=1.5), seed=seed)
        assert {(entry.isl, entry.hash_ids) for entry in made} == {(24, (0, 1))}


@pytest.mark.parametrize("roots", [1, 2, 5])
def test_copies_of_the_tree_share_nothing_and_are_used_alike(roots: int) -> None:
    original = trace([([1, 2, 100 + place], BLOCK) for place in range(1000)])
    workload = replace(PLAIN, prefix_root_multiplier=roots)
    for made in (adjust(original, workload, seed=0), synthesize(original, workload, count=1000, seed=0)):
        users = Counter(entry.hash_ids[:2] for entry in made)
        assert len(users) == roots == len({first for first, _ in users}) == len({second for _, second in users})
        assert all(abs(count - 1000 / roots) < 4 * math.sqrt(1000 / roots) for count in users.values())


def test_the_turns_of_a_session_stay_in_one_copy() -> None:
    entries = tuple(
        replace(entry, session_id=str(place // 10)) for place, entry in enumerate(trace([([1, 100 + place], 4) for place in range(500)]))
    )
    made = adjust(entries, replace(PLAIN, prefix_root_multiplier=8), seed=0)
    copies: dict[str | None, set[int]] = {}
    for entry in made:
        copies.setdefault(entry.session_id, set()).add(entry.hash_ids[0])
    assert {len(found) for found in copies.values()} == {1}
    assert len(set().union(*copies.values())) == 8


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 5000), min_size=1, max_size=50), multiplier=st.floats(0.01, 20))
def test_prompts_are_stretched_with_nothing_left_over(lengths: list[int], multiplier: float) -> None:
    made = synthesizer._stretched_prompts(lengths, multiplier)
    assert all(abs(after - multiplier * before) <= 1 or after == 1 for before, after in zip(lengths, made, strict=True))
    if min(made) > 1:
        assert abs(sum(made) - multiplier * sum(lengths)) <= 0.5 + 1e-6


# ---- bounds


def test_no_option_no_change() -> None:
    assert adjust(busy_trace(), PLAIN, seed=0) == busy_trace()
    assert adjust(busy_trace(), replace(PLAIN, turns=3, min_isl=1), seed=1) == busy_trace()


@settings(max_examples=25, deadline=None)
@given(bounds=st.tuples(st.integers(1, 200), st.integers(1, 200)), prefix=st.sampled_from([0.5, 1.0, 1.7]), seed=st.integers(0, 1000))
def test_bounds_hold(bounds: tuple[int, int], prefix: float, seed: int) -> None:
    low, high = sorted(bounds)
    workload = replace(PLAIN, min_isl=low, max_isl=high, min_osl=6, max_osl=8, prefix_length_multiplier=prefix)
    for make in (adjust, partial(synthesize, count=200)):
        try:
            made = make(busy_trace(400), workload, seed=seed)
        except WorkloadError as error:
            assert f"with traffic.workload.min_isl = {low} and traffic.workload.max_isl = {high} no request is left" in str(error)  # noqa: PT017
            assert high - low < 5
            continue
        assert all(low <= entry.isl <= high and 6 <= entry.osl <= 8 for entry in made)
        assert all(len(entry.hash_ids) == blocks_of(entry.isl, BLOCK) for entry in made)


def test_bounds_are_inclusive() -> None:
    same = trace([([place], 7) for place in range(20)] + [([99, place], 3) for place in range(20)])
    for isl in (7, BLOCK + 3):
        workload = replace(PLAIN, min_isl=isl, max_isl=isl)
        assert {entry.isl for entry in adjust(same, workload, seed=0)} == {isl}
        assert {entry.isl for entry in synthesize(same, workload, count=20, seed=0)} == {isl}


def test_the_filter_keeps_the_requests_and_their_times() -> None:
    kept = adjust(busy_trace(), replace(PLAIN, max_isl=100), seed=0)
    assert kept == tuple(entry for entry in busy_trace() if entry.isl <= 100)


def test_the_filter_conditions_the_draw() -> None:
    bounded = synthesize(busy_trace(), replace(PLAIN, min_isl=60, max_isl=100), count=3000, seed=0)
    free = [entry for entry in synthesize(busy_trace(), PLAIN, count=12000, seed=1) if 60 <= entry.isl <= 100]
    lengths, wanted = ([entry.isl for entry in entries] for entries in (bounded, free))
    assert np.mean(lengths) == pytest.approx(np.mean(wanted), abs=4 * float(np.std(wanted)) * math.sqrt(1 / len(wanted) + 1 / len(lengths)))
    assert flaws(busy_trace(), bounded).count("rate") == 0, "bounds of the ISL leave the rate as it is"


@pytest.mark.parametrize(
    ("make", "possible"), [(adjust, "7 to 37"), (partial(synthesize, count=10), "5 to 39")], ids=["adjust", "synthesize"]
)
@pytest.mark.parametrize(("low", "high", "said"), [(10**6, None, "min_isl = 1000000 no"), (None, 4, "max_isl = 4 no")])
def test_bounds_that_leave_nothing_are_an_error_at_once(make: Any, possible: str, low: int | None, high: int | None, said: str) -> None:
    with pytest.raises(WorkloadError, match=f"with traffic.workload.{said} request is left: those of this trace have ISLs of {possible}"):
        make(trace([([1, 2], 3), ([1, 2, 4], 5), ([6], 7)]), replace(PLAIN, min_isl=low, max_isl=high), seed=0)
