"""The steady window of a closed loop, by hand and by its properties."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.metrics.steady import (
    Window,
    steady_in_flight,
    steady_requests_per_second,
    steady_tokens_per_second,
    steady_window,
)
from pytest_dynperf.observation.request_record import Failure, FailureKind, RequestRecord
from pytest_dynperf.quantity import Absent
from tests.fakes.observations import MS, failed, record, recording

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording

FACTS = RunFacts(gpu_count=None)


def life(index: int, sent_ms: int, end_ms: int, *, every_ms: int = 10, measured: bool = True) -> RequestRecord:
    """A request with a token every ``every_ms``, the last of them at its end."""
    chunks = range(sent_ms + every_ms, end_ms + 1, every_ms)
    return replace(record(index, sent_ms=sent_ms, chunks_ms=tuple(chunks), measured=measured), end_ns=end_ms * MS)


def closed_loop(*records: RequestRecord, window_ms: int, concurrency: int = 2) -> Recording:
    return replace(recording(records, window_ms=window_ms), concurrency=concurrency)


# Two slots. The second one starts 100 ms late and ends 100 ms early: full from 100 to 900 ms.
RAMPED = closed_loop(life(0, 0, 500), life(1, 100, 500), life(2, 500, 900), life(3, 500, 1_000), window_ms=1_000)


def test_the_window_by_hand() -> None:
    assert steady_window(RAMPED) == Window(100 * MS, 900 * MS, 2.0)
    assert steady_in_flight(RAMPED, FACTS) == 2.0


def test_tokens_count_when_they_arrive() -> None:
    # 40 + 40 tokens arrive up to 500 ms (request 0 from 110 ms on), 40 + 40 up to 900 ms.
    assert steady_tokens_per_second(RAMPED, FACTS) == pytest.approx(160 / 0.8)
    # 0 and 1 end at 500 ms, 2 at 900 ms; 3 ends after the window.
    assert steady_requests_per_second(RAMPED, FACTS) == pytest.approx(3 / 0.8)


def test_surrounding_load_counts_and_so_does_what_was_stopped_with_the_run() -> None:
    """A measured request alone in its slot, and one beside it that was cancelled when the measured ones had ended."""
    stopped = replace(
        life(1, 0, 990, measured=False),
        completion_tokens=None,
        end_ns=1_000 * MS,
        error=Failure(kind=FailureKind.CANCELLED, detail="the run was stopped"),
    )
    seen = closed_loop(life(0, 0, 1_000), stopped, window_ms=1_000)
    assert steady_window(seen) == Window(0, 1_000 * MS, 2.0)
    assert steady_tokens_per_second(seen, FACTS) == pytest.approx(100 + 99), "one token a chunk, as the other one has"
    assert steady_requests_per_second(seen, FACTS) == pytest.approx(1.0)


def test_tokens_of_a_failure_do_not_count_but_it_was_in_flight() -> None:
    broken = replace(failed(1), sent_ns=0, chunk_ns=(500 * MS,), end_ns=1_000 * MS)
    seen = closed_loop(life(0, 0, 1_000), broken, window_ms=1_000)
    assert steady_in_flight(seen, FACTS) == 2.0
    assert steady_tokens_per_second(seen, FACTS) == pytest.approx(100.0)


def test_chunks_hold_the_tokens_that_the_server_states() -> None:
    first, second = (replace(life(n, 0, 1_000, every_ms=500), completion_tokens=10) for n in range(2))
    seen = closed_loop(first, replace(second, chunk_tokens=(9, 1)), window_ms=1_000)
    assert steady_tokens_per_second(seen, FACTS) == pytest.approx(20.0)
    late = replace(RAMPED, records=tuple(replace(r, chunk_tokens=(5,) * len(r.chunk_ns)) for r in RAMPED.records))
    assert steady_tokens_per_second(late, FACTS) == pytest.approx(5 * 160 / 0.8)


def test_an_open_loop_has_none() -> None:
    found = steady_window(replace(RAMPED, concurrency=None))
    assert isinstance(found, Absent)
    assert "open loop" in found.reason


def test_under_half_of_the_phase_is_none() -> None:
    found = steady_window(closed_loop(life(0, 0, 1_000), life(1, 0, 490), window_ms=1_000))
    assert isinstance(found, Absent)
    assert "0.49 s" in found.reason
    assert not isinstance(steady_window(closed_loop(life(0, 0, 1_000), life(1, 0, 500), window_ms=1_000)), Absent)


@pytest.mark.parametrize("of", [steady_tokens_per_second, steady_requests_per_second, steady_in_flight])
def test_without_a_window_nothing_is_zero(of: object) -> None:
    assert callable(of)
    assert isinstance(of(closed_loop(window_ms=1_000), FACTS), Absent)
    assert isinstance(of(closed_loop(life(0, 0, 1_000), window_ms=0), FACTS), Absent)


def test_no_usage_is_absent() -> None:
    silent = replace(life(0, 0, 1_000), completion_tokens=None)
    assert isinstance(steady_tokens_per_second(closed_loop(silent, window_ms=1_000, concurrency=1), FACTS), Absent)


def test_a_gap_between_two_requests_does_not_end_the_window() -> None:
    seen = closed_loop(life(0, 0, 500), life(1, 501, 1_000, every_ms=499), window_ms=1_000, concurrency=1)
    found = steady_window(seen)
    assert isinstance(found, Window)
    assert (found.start_ns, found.end_ns) == (0, 1_000 * MS)
    assert found.mean_in_flight == pytest.approx(0.999)


def test_ninety_five_percent_are_enough() -> None:
    """19 of 20 do, 18 do not."""
    for count, full in ((19, True), (18, False)):
        seen = closed_loop(*(life(n, 0, 1_000, every_ms=500) for n in range(count)), window_ms=1_000, concurrency=20)
        assert isinstance(steady_window(seen), Window) is full


LIVES = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 500)), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(LIVES, st.integers(1, 3))
def test_the_window_lies_within_the_phase_and_is_as_full_as_a_slow_count_says(lives: list[tuple[int, int]], concurrency: int) -> None:
    records = [life(n, sent, sent + span, every_ms=span) for n, (sent, span) in enumerate(lives)]
    found = steady_window(closed_loop(*records, window_ms=1_000, concurrency=concurrency))
    levels = [sum(sent <= ms < sent + span for sent, span in lives) for ms in range(1_000)]
    full = [ms for ms, level in enumerate(levels) if level >= 0.95 * concurrency]
    if not full or full[-1] + 1 - full[0] < 500:
        assert isinstance(found, Absent)
    else:
        assert isinstance(found, Window)
        assert (found.start_ns, found.end_ns) == (full[0] * MS, (full[-1] + 1) * MS)
        assert found.mean_in_flight == pytest.approx(sum(levels[full[0] : full[-1] + 1]) / (full[-1] + 1 - full[0]))
