"""Metrics of faults against numbers worked out by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.observation.request_record import Failure, FailureKind
from pytest_dynperf.observation.series import Series, SeriesKind
from pytest_dynperf.quantity import Absent
from tests.fakes.observations import MS, record, recording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord

FACTS = RunFacts(gpu_count=None)
FAULT_MS = 2_050


def at(index: int, *, latency_ms: int = 30, error: FailureKind | None = None) -> RequestRecord:
    """Due at ``index`` x 100 ms, answered with three chunks, the last after ``latency_ms``."""
    due = index * 100
    made = record(index, sent_ms=due, chunks_ms=(due + 10, due + 20, due + latency_ms))
    return made if error is None else replace(made, error=Failure(kind=error, detail="x"))


def broken(records: Sequence[RequestRecord], fault_ms: int | None = FAULT_MS) -> Recording:
    seen = recording(records, window_ms=10_000)
    if fault_ms is None:
        return seen
    active = Series(
        id=ids.FAULT_ACTIVE,
        source="worker-0",
        kind=SeriesKind.GAUGE,
        stamps_ns=(fault_ms * MS, (fault_ms + 500) * MS),
        values=(1.0, 0.0),
    )
    return replace(seen, series=(active,))


def value(name: str, seen: Recording) -> float | Absent:
    function = CATALOGUE[f"{name}.v1"].value
    assert function is not None
    return function(seen, FACTS)


def parts(name: str, seen: Recording) -> tuple[float, float] | Absent:
    function = CATALOGUE[f"{name}.v1"].parts
    assert function is not None
    return function(seen, FACTS)


FAILED = FailureKind.CONNECTION
HIT = [at(index, error=FAILED if 21 <= index < 27 else None) for index in range(50)]
"""Due every 100 ms; those due from 2.1 to 2.6 s fail."""


def test_recovery() -> None:
    assert value("fault_recovery_time", broken(HIT)) == pytest.approx(2.730 - 2.050)  # request 27 ends 30 ms after 2.7 s


def test_nothing_lost_is_the_latency_of_the_next_request() -> None:
    assert value("fault_recovery_time", broken([at(index) for index in range(50)])) == pytest.approx(2.130 - 2.050)


def test_one_that_slips_through_is_no_recovery() -> None:
    """As of two workers, one of which is dead, every second one fails until 3.4 s."""
    seen = [at(index, error=FAILED if 21 <= index < 35 and index % 2 else None) for index in range(50)]
    assert value("fault_recovery_time", broken(seen)) == pytest.approx(3.430 - 2.050)  # 34 succeeds, and so does all that follows


def test_slow_is_not_recovered_and_twice_the_median_is_not_slow() -> None:
    slow = [at(index, latency_ms=61 if 21 <= index < 30 else 30) for index in range(50)]
    fair = [at(index, latency_ms=60 if 21 <= index < 30 else 30) for index in range(50)]
    assert value("fault_recovery_time", broken(slow)) == pytest.approx(3.030 - 2.050)
    assert value("fault_recovery_time", broken(fair)) == pytest.approx(2.160 - 2.050)


def test_a_request_under_way_at_the_fault_does_not_say_when_it_was_over() -> None:
    seen = [at(20, latency_ms=5_000, error=FAILED) if index == 20 else at(index) for index in range(50)]
    assert value("fault_recovery_time", broken(seen)) == pytest.approx(2.130 - 2.050)


@pytest.mark.parametrize(
    ("records", "fault_ms", "reason"),
    [
        pytest.param(HIT, None, "no fault was injected into this run", id="no fault"),
        pytest.param(HIT, 850, "9 requests had ended before the fault, 10 are needed", id="too early"),
        pytest.param(
            [at(index, error=FAILED if index > 20 else None) for index in range(50)],
            FAULT_MS,
            r"service did not recover within the run: .*\(29 were due, 0 of them went well\)",
            id="never",
        ),
        pytest.param(HIT[:36], FAULT_MS, r"\(15 were due, 9 of them went well\)", id="nine in a row"),
    ],
)
def test_absence_is_no_time(records: list[RequestRecord], fault_ms: int | None, reason: str) -> None:
    found = value("fault_recovery_time", broken(records, fault_ms))
    assert isinstance(found, Absent)
    assert re.search(reason, found.reason)


def test_ten_in_a_row_are_enough() -> None:
    assert value("fault_recovery_time", broken(HIT[:37])) == pytest.approx(0.680)


def test_unmeasured_requests_do_not_count() -> None:
    seen = [replace(request, measured=request.index < 40) for request in HIT]
    assert value("fault_recovery_time", broken(seen)) == pytest.approx(0.680)
    seen = [replace(request, measured=request.index < 36) for request in HIT]
    assert isinstance(value("fault_recovery_time", broken(seen)), Absent)


def test_the_worst_gap_after_the_fault() -> None:
    before = record(1, sent_ms=0, chunks_ms=(10, 1_900))  # a gap of 1.89 s that was over before the fault
    across = record(2, sent_ms=1_900, chunks_ms=(2_000, 2_400))
    died = replace(record(3, sent_ms=2_000, chunks_ms=(2_010, 2_510)), error=Failure(kind=FAILED, detail="x"))
    assert value("fault_stall", broken([before, across])) == pytest.approx(0.4)
    assert value("fault_stall", broken([before, across, died])) == pytest.approx(0.5)
    assert isinstance(value("fault_stall", broken([before])), Absent)
    assert isinstance(value("fault_stall", broken([across], None)), Absent)


def test_failed_ones_of_those_that_it_could_meet() -> None:
    assert parts("fault_error_rate", broken(HIT)) == (6.0, 29.0)  # 21 to 49 ended after 2.05 s
    assert value("fault_error_rate", broken(HIT)) == pytest.approx(6 / 29)
    assert parts("fault_error_rate", broken([at(20, latency_ms=60), at(1)])) == (0.0, 1.0)  # under way at the fault
    assert isinstance(parts("fault_error_rate", broken(HIT, None)), Absent)
    assert isinstance(parts("fault_error_rate", broken([at(1)])), Absent)


def test_hung_ones_are_those_that_no_error_ended() -> None:
    seen = [at(0), at(1, error=FailureKind.TIMEOUT), at(2, error=FAILED), at(3)]
    assert parts("hung_request_rate", broken(seen)) == (1.0, 4.0)
    assert isinstance(parts("hung_request_rate", broken(seen, None)), Absent)
    assert value("hung_request_rate", broken(seen)) == 0.25
    assert isinstance(parts("hung_request_rate", broken([])), Absent)


def test_migrations_are_the_frontends_own_count() -> None:
    counted = Series(
        id=ids.FRONTEND_MIGRATIONS,
        source="frontend",
        kind=SeriesKind.COUNTER,
        stamps_ns=(0, 4_000 * MS, 10_000 * MS),
        values=(0.0, 3.0, 3.0),
    )
    assert value("request_migrations", replace(broken(HIT), series=(counted,))) == 3.0
    found = value("request_migrations", broken(HIT))
    assert isinstance(found, Absent), "a frontend that does not count them has not counted none"
