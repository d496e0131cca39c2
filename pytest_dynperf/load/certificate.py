"""What the generator says about itself, from the records and from what the process used. Pure but for :func:`usage_now`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.observation.recording import Certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.observation.request_record import RequestRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU time of the process, and time that this thread waited for a CPU (``None`` where the kernel does not say)."""

    cpu_s: float
    run_delay_s: float | None


def usage_now() -> Usage:
    """Of the calling thread's process and of the calling thread, since they began. About 30 µs."""
    try:
        # The thread that runs the loop is what has to be on time; in a program of one thread this is /proc/self/schedstat.
        run_delay_s = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        run_delay_s = None
    return Usage(cpu_s=time.process_time(), run_delay_s=run_delay_s)


def window_of(records: Sequence[RequestRecord], *, fallback_ns: int) -> tuple[int, int]:
    """First send and last end of the measured requests; ``fallback_ns`` stands in for what never happened."""
    sent = [record.sent_ns for record in records if record.measured and record.sent_ns is not None]
    ended = [record.end_ns for record in records if record.measured and record.end_ns is not None]
    start_ns = min(sent, default=fallback_ns)
    return start_ns, max(max(ended, default=fallback_ns), start_ns)


def certify(
    records: Sequence[RequestRecord],
    *,
    window_ns: tuple[int, int],
    lags_ns: Sequence[int],
    before: Usage | None,
    after: Usage | None,
    clock_step_s: float,
) -> Certificate:
    """``lags_ns`` are user minus kernel stamp of all reads, ``before`` and ``after`` the usage at both ends of the window."""
    measured = [record for record in records if record.measured]
    send_lags = [record.sent_ns - record.scheduled_ns for record in measured if record.sent_ns is not None]
    chunks = sum(len(record.chunk_ns) for record in measured)
    run_delay_s = None
    if before is not None and after is not None and before.run_delay_s is not None and after.run_delay_s is not None:
        run_delay_s = after.run_delay_s - before.run_delay_s
    return Certificate(
        send_lag_p99_s=_p99_s(send_lags),
        receive_lag_p99_s=_p99_s(lags_ns),
        mean_in_flight=_mean_in_flight(records, window_ns),
        coalesced_share=sum(record.coalesced for record in measured) / chunks if chunks else None,
        cpu_s=after.cpu_s - before.cpu_s if before is not None and after is not None else None,
        run_delay_s=run_delay_s,
        clock_step_s=clock_step_s,
    )


def _p99_s(values_ns: Sequence[int]) -> float | None:
    return float(np.percentile(np.asarray(values_ns, dtype=np.int64), 99)) / 1e9 if len(values_ns) else None


def _mean_in_flight(records: Sequence[RequestRecord], window_ns: tuple[int, int]) -> float | None:
    start_ns, end_ns = window_ns
    if end_ns <= start_ns:
        return None
    in_flight_ns = 0
    for record in records:
        if record.sent_ns is not None and record.end_ns is not None:
            in_flight_ns += max(0, min(record.end_ns, end_ns) - max(record.sent_ns, start_ns))
    return in_flight_ns / (end_ns - start_ns)
