"""What a client saw against what the server did. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.instrument.seen import Seen
    from benchmarks.instrument.truth import Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run of one client. Errors in µs, each as (median, 99th percentile) of absolute values, the lag with its sign.

    ``ttft_us``: (first content stamp − sent) − (first content send − request received). ``gap_us``: our gap between content chunks −
    the server's. ``lag_us``: our stamp − the server's send. ``cpu_ms``: per 1,000 content chunks that the server sent, of the client's
    process. ``shared``: content chunks with the stamp of the one before. ``failed``: requests that failed, or have another number of
    chunks than the server sent.
    """

    ttft_us: tuple[float, float]
    gap_us: tuple[float, float]
    lag_us: tuple[float, float]
    cpu_ms: float
    chunks: int
    shared: float
    failed: int
    server_late_us: float


def compare(seen: Seen, truth: Truth) -> Result:
    """:raises ValueError: when nothing can be compared."""
    sent, received = truth.content_ns(), truth.received_ns()
    lags, ttft, gaps, failed = [], [], [], seen.failed
    for exchange in seen.exchanges:
        theirs = sent.get(exchange.request_id)
        if theirs is None or len(theirs) != len(exchange.chunk_ns):
            failed += 1
            continue
        lag = np.array(exchange.chunk_ns, dtype=np.int64) - theirs
        lags.append(lag)
        gaps.append(np.diff(lag))
        ttft.append((exchange.chunk_ns[0] - exchange.sent_ns) - (int(theirs[0]) - received[exchange.request_id]))
    if not lags:
        msg = f"none of {len(seen.exchanges) + seen.failed} requests can be compared with the server's log: {seen.facts}"
        raise ValueError(msg)
    stamps = [np.array(exchange.chunk_ns, dtype=np.int64) for exchange in seen.exchanges]
    shared = sum(int((np.diff(stamp) == 0).sum()) for stamp in stamps)
    return Result(
        ttft_us=_of(np.abs(np.array(ttft))),
        gap_us=_of(np.abs(np.concatenate(gaps))),
        lag_us=_of(np.concatenate(lags)),
        cpu_ms=seen.cpu_s * 1e6 / max(1, truth.chunks),
        chunks=truth.chunks,
        shared=shared / max(1, sum(map(len, stamps))),
        failed=failed,
        server_late_us=truth.late_p99_s * 1e6,
    )


def _of(values_ns: NDArray[np.int64]) -> tuple[float, float]:
    if not len(values_ns):
        return float("nan"), float("nan")
    low, high = np.percentile(values_ns, (50, 99)) / 1e3
    return float(low), float(high)
