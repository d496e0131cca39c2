"""Our count of requests against the server's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.measurement.server_count import disagreement
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.observation.series import Series, SeriesKind
from tests.fakes.observations import MS, failed, record, recording

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording

# 3 answered, 1 refused, 1 cancelled with the run, 1 never sent.
RECORDS = (
    record(0), record(1), record(2, measured=False), failed(3), failed(4, FailureKind.CANCELLED),
    replace(failed(5, FailureKind.DROPPED), sent_ns=None),
)  # fmt: skip


def counted(*values: float, source: str = "frontend") -> Series:
    return Series(
        id="frontend.requests",
        source=source,
        kind=SeriesKind.COUNTER,
        stamps_ns=tuple(n * 20_000 * MS for n in range(len(values))),
        values=tuple(values),
    )


def seen(*series: Series) -> Recording:
    return replace(recording(RECORDS), series=series)


@pytest.mark.parametrize("count", [4, 5])
def test_what_was_stopped_with_the_run_may_be_counted_or_not(count: int) -> None:
    assert disagreement(seen(counted(0, 1, count))) is None


def test_more_than_we_sent_is_somebody_else() -> None:
    said = disagreement(seen(counted(0, 6)))
    assert said is not None
    assert "counted 6 requests while this run sent 5" in said


def test_less_than_came_back_went_another_way() -> None:
    said = disagreement(seen(counted(0, 3)))
    assert said is not None
    assert "counted 3 requests while 4 of this run" in said


def test_what_ended_just_now_may_not_be_counted_yet() -> None:
    """Three of the four end 9.9 s and one 0.07 s after the start; readings at 0 and at 0.3 s."""
    early = replace(counted(0, 0), stamps_ns=(0, 300 * MS))
    assert disagreement(seen(early)) is None
    late = replace(early, stamps_ns=(0, 600 * MS))
    assert "counted 0 requests while 3" in str(disagreement(seen(late)))


def test_several_frontends_count_together() -> None:
    assert disagreement(seen(counted(0, 2), counted(7, 9, source="frontend-2"))) is None


@pytest.mark.parametrize("series", [(), (counted(5),), (replace(counted(0, 99), id="frontend.output_tokens"),)])
def test_without_two_readings_nothing_is_said(series: tuple[Series, ...]) -> None:
    assert disagreement(seen(*series)) is None
