"""The generator's certificate, from records made by hand."""

from __future__ import annotations

import pytest

from pytest_dynperf.load.certificate import Usage, certify, usage_now, window_of
from pytest_dynperf.load.clock import ClockOffset, sampled_offset_ns
from pytest_dynperf.observation.request_record import RequestRecord


def record(
    index: int, due: int, sent: int | None, end: int | None, *, measured: bool = True, chunks: int = 2, coalesced: int = 0
) -> RequestRecord:
    return RequestRecord(
        request_id=str(index), run="1", index=index, measured=measured, isl_requested=1, osl_requested=2, scheduled_ns=due, sent_ns=sent,
        end_ns=end, chunk_ns=tuple(range(chunks)), coalesced=coalesced,
    )  # fmt: skip


RECORDS = [
    record(0, 0, 0, 150, measured=False),  # warm-up that reaches into the window
    record(1, 90, 100, 200, coalesced=1),
    record(2, 150, 180, 300),
    record(3, 200, 210, 400, measured=False),  # load that goes on
    record(4, 300, None, 310, chunks=0),  # never sent
]


def test_the_window() -> None:
    assert window_of(RECORDS, fallback_ns=7) == (100, 310)
    assert window_of([], fallback_ns=7) == (7, 7)
    assert window_of([record(0, 0, 100, 50)], fallback_ns=7) == (100, 100)


def test_the_certificate() -> None:
    certificate = certify(
        RECORDS,
        window_ns=(100, 300),
        lags_ns=[1000] * 99 + [2000],
        before=Usage(cpu_s=1.0, run_delay_s=0.5),
        after=Usage(cpu_s=1.5, run_delay_s=0.75),
        clock_step_s=0.25,
    )
    assert certificate.mean_in_flight == pytest.approx((50 + 100 + 120 + 90) / 200)
    assert certificate.send_lag_p99_s == pytest.approx(29.8e-9)
    assert certificate.receive_lag_p99_s == pytest.approx(1010e-9)
    assert certificate.coalesced_share == pytest.approx(1 / 4)
    assert certificate.cpu_s == pytest.approx(0.5)
    assert certificate.run_delay_s == pytest.approx(0.25)
    assert certificate.clock_step_s == 0.25
    assert type(certificate.send_lag_p99_s) is float  # numpy's must not leave the room


def test_what_was_not_seen_is_none() -> None:
    certificate = certify([], window_ns=(7, 7), lags_ns=[], before=None, after=Usage(cpu_s=1.0, run_delay_s=None), clock_step_s=0.0)
    assert certificate.mean_in_flight is certificate.send_lag_p99_s is certificate.receive_lag_p99_s is certificate.coalesced_share is None
    assert certificate.cpu_s is certificate.run_delay_s is None


def test_usage_grows() -> None:
    before = usage_now()
    sum(range(300_000))
    assert usage_now().cpu_s > before.cpu_s
    assert before.run_delay_s is not None


def test_noise_of_the_clocks_moves_no_stamps_and_a_step_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = iter([1_000_000, 1_000_300, 999_800, 9_000_000])
    monkeypatch.setattr("pytest_dynperf.load.clock.sampled_offset_ns", lambda: next(offsets))
    clock = ClockOffset()
    clock.sample()
    clock.sample()
    assert clock.offset_ns == 1_000_000
    assert clock.step_s == pytest.approx(500e-9)
    clock.sample()
    assert clock.offset_ns == 9_000_000
    assert clock.step_s == pytest.approx(8_000_200e-9)


def test_samples_agree() -> None:
    assert abs(sampled_offset_ns() - sampled_offset_ns()) < 1_000_000_000
