"""The requests in AIPerf's ``profile_export.jsonl``, as stamps. It exports intervals, so that what it calls a chunk counts. Pure."""

from __future__ import annotations

import json
from itertools import accumulate

from benchmarks.instrument.seen import Exchange
from pytest_dynperf.load.clock import sampled_offset_ns


def exchanges_in(export: bytes) -> tuple[Exchange, ...]:
    """Profiled requests that have a TTFT; its stamps are CLOCK_REALTIME."""
    offset_ns = sampled_offset_ns()
    found = []
    for line in export.splitlines():
        record = json.loads(line)
        metadata, metrics = record["metadata"], record["metrics"]
        if metadata["benchmark_phase"] != "profiling" or "time_to_first_token" not in metrics:
            continue
        sent_ns = metadata["request_start_ns"] - offset_ns
        intervals_ms = [metrics["time_to_first_token"]["value"], *metrics.get("inter_chunk_latency", {"value": []})["value"]]
        stamps = tuple(sent_ns + round(elapsed_ms * 1e6) for elapsed_ms in accumulate(intervals_ms))
        found.append(Exchange(request_id=metadata["x_request_id"], sent_ns=sent_ns, chunk_ns=stamps))
    return tuple(found)
