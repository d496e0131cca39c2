from __future__ import annotations

import gzip
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import UsageError
from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.observation.recording import Certificate, Recording
from pytest_dynperf.observation.request_record import Failure, FailureKind, RequestRecord
from pytest_dynperf.observation.run_columns import RequestColumns, encode, read_columns, request_columns, run_columns
from pytest_dynperf.observation.series import Series, SeriesKind

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
START = 5 * SECOND


def a_record(index: int, **values: object) -> RequestRecord:
    record = RequestRecord(
        request_id=f"r{index}", run="run-1", index=index, measured=True, isl_requested=8, osl_requested=2, scheduled_ns=0
    )
    return replace(record, **values)  # type: ignore[arg-type]


def a_series(name: str, **values: object) -> Series:
    series = Series(id=name, source="worker-0", kind=SeriesKind.GAUGE, stamps_ns=(START, START + SECOND), values=(1.0, 1 / 3))
    return replace(series, **values)  # type: ignore[arg-type]


def a_recording() -> Recording:
    return Recording(
        run="run-1",
        records=(
            a_record(1, sent_ns=START + SECOND, end_ns=START + 2 * SECOND, error=Failure(kind=FailureKind.TIMEOUT, detail="")),
            a_record(0, sent_ns=START, chunk_ns=(START + SECOND // 2, START + SECOND), completion_tokens=7, end_ns=START + 3 * SECOND),
            a_record(2, measured=False),
        ),
        window_start_ns=START,
        window_end_ns=START + 2 * SECOND,
        concurrency=2,
        certificate=Certificate(send_lag_p99_s=None, receive_lag_p99_s=None, mean_in_flight=None, coalesced_share=None, clock_step_s=0.0),
        series=(
            a_series(ids.ENGINE_REQUESTS_RUNNING, labels=(("gpu", "0"),)),
            a_series(ids.FRONTEND_TIME_TO_FIRST_TOKEN + ids.BUCKET, labels=(("le", "0.5"),)),
            a_series("raw:vllm:anything"),
            a_series(ids.GPU_PROCESS, labels=(("name", "secret-process"),)),
        ),
    )


def test_columns_survive_their_file_and_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    columns = run_columns(a_recording())
    path = tmp_path / "run-1.json.gz"
    path.write_bytes(encode(columns))
    assert read_columns(path) == columns
    assert encode(columns) == encode(columns)


def test_requests_stand_in_the_order_of_sending_and_what_was_not_seen_is_none() -> None:
    columns = run_columns(a_recording())
    assert columns.duration_s == 2.0
    assert columns.requests == RequestColumns(
        sent_s=(0.0, 1.0), first_s=(0.5, None), end_s=(1.0, 2.0), tokens=(7, 0), failed=(0, 1), measured=(1, 1)
    )


def test_processes_buckets_and_foreign_names_are_left_out() -> None:
    (series,) = run_columns(a_recording()).series
    assert (series.id, series.labels, series.at_s, series.values) == ("engine.requests_running", {"gpu": "0"}, (0.0, 1.0), (1.0, 0.333333))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b"no json"),
        gzip.compress(b"{}"),
        encode(run_columns(a_recording()))[:-9],
        encode(replace(run_columns(a_recording()), schema=99)),
        encode(replace(run_columns(a_recording()), requests=RequestColumns(sent_s=(1.0,)))),
    ],
    ids=["empty", "no gzip", "no json", "no columns", "cut short", "newer", "uneven"],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run-1.json.gz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"run-1\.json\.gz"):
        read_columns(path)


def test_what_was_given_up_behind_the_last_measured_request_has_not_failed() -> None:
    cancelled = Failure(kind=FailureKind.CANCELLED, detail="")
    records = (a_record(0, sent_ns=START, error=cancelled), a_record(1, sent_ns=START + 1, error=cancelled, measured=False))
    assert request_columns(records, START).failed == (1, 0)
