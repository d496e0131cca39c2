"""What the generator says about itself, from the records and from what its processes saw. Pure but for :func:`usage_now`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.observation.recording import Certificate, ProcessUsage
from pytest_dynperf.observation.request_record import FailureKind

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence
    from typing import TypeAlias

    from pytest_dynperf.observation.request_record import RequestRecord

    Lags: TypeAlias = Sequence[int] | array[int]

LATE_NS = 1_000_000
"""A send of an open loop that is later than this counts as late."""


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


def used(before: Usage | None, after: Usage | None) -> ProcessUsage:
    """Between the two."""
    if before is None or after is None:
        return ProcessUsage(cpu_s=None, run_delay_s=None)
    waited = None if before.run_delay_s is None or after.run_delay_s is None else after.run_delay_s - before.run_delay_s
    return ProcessUsage(cpu_s=after.cpu_s - before.cpu_s, run_delay_s=waited)


def uncertain_chunks(records: Sequence[RequestRecord], stalls_ns: Sequence[tuple[int, int]]) -> int:
    """Content chunks of measured requests that share the stamp of the one before, where that stamp lies in a stall.

    After a stall the kernel gives a whole receive queue the stamp of its last segment. ``stalls_ns``: (start, end), ascending, of the
    process that made the records.
    """
    if not stalls_ns:
        return 0
    shared = [
        late for record in records if record.measured and record.coalesced for early, late in pairwise(record.chunk_ns) if early == late
    ]
    starts, ends = np.asarray(stalls_ns, dtype=np.int64).T
    stamps = np.asarray(shared, dtype=np.int64)
    nearest = np.searchsorted(starts, stamps, side="right") - 1
    return int(np.sum((nearest >= 0) & (stamps <= ends[nearest])))


def certify(
    records: Sequence[RequestRecord],
    *,
    window_ns: tuple[int, int],
    open_loop: bool,
    receive_lags_ns: Lags,
    loop_lags_ns: Lags,
    uncertain: int,
    processes: tuple[ProcessUsage, ...],
    clock_step_s: float,
) -> Certificate:
    """``receive_lags_ns`` are user minus kernel stamp of all reads, ``loop_lags_ns`` the lags of all heartbeats, of all processes together,
    from the first measured send on. ``uncertain`` is the sum of :func:`uncertain_chunks`.
    """
    measured = [record for record in records if record.measured]
    send_lags = [record.sent_ns - record.scheduled_ns for record in measured if record.sent_ns is not None]
    chunks = sum(len(record.chunk_ns) for record in measured)
    scheduled_per_s, achieved_per_s = _rates_per_s(measured) if open_loop else (None, None)
    return Certificate(
        send_lag_p99_s=_p99_s(send_lags),
        receive_lag_p99_s=_p99_s(receive_lags_ns),
        mean_in_flight=_mean_in_flight(records, window_ns),
        coalesced_share=sum(record.coalesced for record in measured) / chunks if chunks else None,
        processes=processes,
        clock_step_s=clock_step_s,
        loop_lag_p99_s=_p99_s(loop_lags_ns),
        loop_lag_max_s=max(loop_lags_ns) / 1e9 if len(loop_lags_ns) else None,
        uncertain_share=uncertain / chunks if chunks else None,
        late_sends=sum(lag > LATE_NS for lag in send_lags) if open_loop else 0,
        dropped_sends=sum(record.error is not None and record.error.kind is FailureKind.DROPPED for record in measured) if open_loop else 0,
        achieved_rate_per_s=achieved_per_s,
        scheduled_rate_per_s=scheduled_per_s,
    )


def _p99_s(values_ns: Lags) -> float | None:
    return float(np.percentile(np.asarray(values_ns, dtype=np.int64), 99)) / 1e9 if len(values_ns) else None


def _rates_per_s(measured: Sequence[RequestRecord]) -> tuple[float | None, float | None]:
    """Scheduled and achieved: n sends are n − 1 gaps. The achieved ones are spread over the schedule, or over what they took if longer."""
    due = [record.scheduled_ns for record in measured]
    sent = [record.sent_ns for record in measured if record.sent_ns is not None]
    span_ns = max(due) - min(due) if due else 0
    if span_ns <= 0:
        return None, None
    if not sent:
        return (len(due) - 1) / span_ns * 1e9, 0.0
    return (len(due) - 1) / span_ns * 1e9, (len(sent) - 1) / max(span_ns, max(sent) - min(sent)) * 1e9


def _mean_in_flight(records: Sequence[RequestRecord], window_ns: tuple[int, int]) -> float | None:
    """Of requests; of conversations, from the first send to the last end, where there are some."""
    start_ns, end_ns = window_ns
    if end_ns <= start_ns:
        return None
    spans: dict[str, tuple[int, int]] = {}
    for record in records:
        if record.end_ns is None:
            continue
        name = record.request_id if record.conversation is None else record.conversation
        known = spans.get(name)
        if known is not None:  # a turn that was waiting for its time when the run ended has an end and no send
            spans[name] = (min(known[0], record.sent_ns or known[0]), max(known[1], record.end_ns))
        elif record.sent_ns is not None:
            spans[name] = (record.sent_ns, record.end_ns)
    in_flight_ns = sum(max(0, min(last, end_ns) - max(first, start_ns)) for first, last in spans.values())
    return in_flight_ns / (end_ns - start_ns)
