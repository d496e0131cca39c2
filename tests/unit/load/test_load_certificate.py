"""The generator's certificate, from records made by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from pytest_dynperf.load.certificate import Usage, certify, uncertain_chunks, usage_now, used, window_of
from pytest_dynperf.load.clock import ClockOffset, sampled_offset_ns
from pytest_dynperf.observation.request_record import Failure, FailureKind, RequestRecord


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
        open_loop=False,
        receive_lags_ns=[1000] * 99 + [2000],
        loop_lags_ns=[3000] * 99 + [5000],
        uncertain=1,
        processes=(used(Usage(cpu_s=1.0, run_delay_s=0.5), Usage(cpu_s=1.5, run_delay_s=0.75)),),
        clock_step_s=0.25,
    )
    assert certificate.mean_in_flight == pytest.approx((50 + 100 + 120 + 90) / 200)
    assert certificate.send_lag_p99_s == pytest.approx(29.8e-9)
    assert certificate.receive_lag_p99_s == pytest.approx(1010e-9)
    assert certificate.coalesced_share == pytest.approx(1 / 4)
    assert certificate.uncertain_share == pytest.approx(1 / 4)
    assert certificate.loop_lag_p99_s == pytest.approx(3020e-9)
    assert certificate.loop_lag_max_s == pytest.approx(5000e-9)
    assert certificate.achieved_rate_per_s is certificate.scheduled_rate_per_s is None
    assert certificate.cpu_s == pytest.approx(0.5)
    assert certificate.run_delay_s == pytest.approx(0.25)
    assert certificate.clock_step_s == 0.25
    assert type(certificate.send_lag_p99_s) is float  # numpy's must not leave the room


def test_what_was_not_seen_is_none() -> None:
    certificate = certify(
        [],
        window_ns=(7, 7),
        open_loop=True,
        receive_lags_ns=[],
        loop_lags_ns=[],
        uncertain=0,
        processes=(used(None, Usage(cpu_s=1.0, run_delay_s=None)),),
        clock_step_s=0.0,
    )
    assert certificate.mean_in_flight is certificate.send_lag_p99_s is certificate.receive_lag_p99_s is certificate.coalesced_share is None
    assert certificate.uncertain_share is certificate.loop_lag_p99_s is certificate.loop_lag_max_s is None
    assert certificate.achieved_rate_per_s is certificate.scheduled_rate_per_s is None
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


def test_chunks_that_share_a_stamp_are_uncertain_in_a_stall_alone() -> None:
    def with_chunks(*stamps: int, measured: bool = True) -> RequestRecord:
        shared = sum(early == late for early, late in pairwise(stamps))
        return replace(record(0, 0, 0, 999, measured=measured, coalesced=shared), chunk_ns=stamps)

    stalls = [(100, 200), (150, 210), (500, 600)]
    assert uncertain_chunks([with_chunks(150, 150, 150, 300, 300)], stalls) == 2
    assert uncertain_chunks([with_chunks(100, 100, 205, 205, 600, 600)], stalls) == 3
    assert uncertain_chunks([with_chunks(99, 99, 211, 211, 499, 499, 601, 601)], stalls) == 0
    assert uncertain_chunks([with_chunks(150, 160, 170)], stalls) == 0
    assert uncertain_chunks([with_chunks(150, 150, measured=False)], stalls) == 0
    assert uncertain_chunks([with_chunks(150, 150)], []) == 0


def test_rates_and_counts_of_an_open_loop() -> None:
    dropped = replace(record(5, 4_000_000_000, None, None), error=Failure(kind=FailureKind.DROPPED, detail="full"))
    sends = [record(index, index * 10**9, index * 10**9 + lag, None) for index, lag in enumerate((0, 500_000, 1_000_000, 1_000_001))]
    certificate = certify(
        [*sends, dropped, record(6, 0, 9**9, None, measured=False)],
        window_ns=(0, 10**10), open_loop=True, receive_lags_ns=[], loop_lags_ns=[], uncertain=0, processes=(), clock_step_s=0.0,
    )  # fmt: skip
    assert (certificate.late_sends, certificate.dropped_sends) == (1, 1)
    assert certificate.scheduled_rate_per_s == pytest.approx(1.0)
    assert certificate.achieved_rate_per_s == pytest.approx(0.75)  # four sends, over the four seconds of the schedule


def test_a_conversation_is_in_flight_while_it_pauses() -> None:
    def turn(number: int, sent: int | None, end: int) -> RequestRecord:
        return replace(record(number, 0, sent, end), conversation="a", turn=number)

    records = [turn(0, 0, 100), turn(1, 300, 400), turn(2, None, 800)]  # the last was waiting for its time when the run ended
    certificate = certify(
        records, window_ns=(0, 1000), open_loop=False, receive_lags_ns=[], loop_lags_ns=[], uncertain=0, processes=(), clock_step_s=0.0
    )
    assert certificate.mean_in_flight == pytest.approx(0.8)
