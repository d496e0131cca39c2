"""Latencies, from the stamps of the load generator; names and formulas are those of AIPerf 0.13.

One value per successful measured request (per gap for inter-chunk latency), in seconds, in the order of the records. A request that lacks
what the formula needs gives no value; an empty array means that none had it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.metrics.definition import MetricDefinition
from pytest_dynperf.metrics.success import successful
from pytest_dynperf.quantity import Direction, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord

_NS_PER_S = 1e9


def _seconds(differences_ns: Iterable[int]) -> NDArray[np.float64]:
    return np.array(list(differences_ns), dtype=np.float64) / _NS_PER_S


def _collected(of: Callable[[RequestRecord], float | None], recording: Recording) -> NDArray[np.float64]:
    values = (of(record) for record in successful(recording))
    return np.array([value for value in values if value is not None], dtype=np.float64)


def first_token_of(record: RequestRecord) -> float | None:
    """Time to first token of one request, in seconds."""
    return (record.chunk_ns[0] - record.sent_ns) / _NS_PER_S if record.chunk_ns and record.sent_ns is not None else None


def inter_token_of(record: RequestRecord) -> float | None:
    """Inter-token latency of one request, in seconds. A count for the first chunk that leaves no token to wait for counts as 1."""
    # The send instant cancels out of (request latency - TTFT), so what remains is the span between the first and the last content chunk.
    if not record.chunk_ns or record.completion_tokens is None or record.completion_tokens < 2:
        return None
    first = record.chunk_tokens[0] if record.chunk_tokens else 1
    awaited = record.completion_tokens - (first if 0 < first < record.completion_tokens else 1)
    return (record.chunk_ns[-1] - record.chunk_ns[0]) / _NS_PER_S / awaited


def request_of(record: RequestRecord) -> float | None:
    """Latency of one request, in seconds, to its last content chunk."""
    return (record.chunk_ns[-1] - record.sent_ns) / _NS_PER_S if record.chunk_ns and record.sent_ns is not None else None


def effective_of(record: RequestRecord) -> float | None:
    """From the instant at which one request was due to its last content chunk, in seconds."""
    return (record.chunk_ns[-1] - record.scheduled_ns) / _NS_PER_S if record.chunk_ns else None


def first_token_s(recording: Recording) -> NDArray[np.float64]:
    """chunk_ns[0] - sent_ns."""
    return _collected(first_token_of, recording)


def first_output_s(recording: Recording) -> NDArray[np.float64]:
    """first_output_ns - sent_ns; a request that only reasons gives none."""
    return _seconds(r.first_output_ns - r.sent_ns for r in successful(recording) if r.first_output_ns is not None and r.sent_ns is not None)


def second_token_s(recording: Recording) -> NDArray[np.float64]:
    """chunk_ns[1] - chunk_ns[0]; a request with one content chunk gives none."""
    return _seconds(r.chunk_ns[1] - r.chunk_ns[0] for r in successful(recording) if len(r.chunk_ns) > 1)


def inter_token_s(recording: Recording) -> NDArray[np.float64]:
    """(request latency - TTFT) / (OSL - tokens of the first chunk) per request, OSL from usage; an OSL of 1 gives none."""
    return _collected(inter_token_of, recording)


def tokens_per_second_per_user(recording: Recording) -> NDArray[np.float64]:
    """1 / inter-token latency per request, in tokens/s; none where all chunks share one stamp."""
    latencies = inter_token_s(recording)
    return np.asarray(1.0 / latencies[latencies > 0.0], dtype=np.float64)


def inter_chunk_s(recording: Recording) -> NDArray[np.float64]:
    """All gaps between consecutive content chunks, pooled over requests. Chunks that share a read share a stamp and give 0."""
    gaps = [np.diff(np.array(r.chunk_ns, dtype=np.int64)) for r in successful(recording) if len(r.chunk_ns) > 1]
    return np.asarray(np.concatenate(gaps), dtype=np.float64) / _NS_PER_S if gaps else np.empty(0, dtype=np.float64)


def stall_s(recording: Recording) -> NDArray[np.float64]:
    """The largest gap between consecutive content chunks per request; a request with one chunk gives none."""
    return _seconds(int(np.diff(np.array(r.chunk_ns, dtype=np.int64)).max()) for r in successful(recording) if len(r.chunk_ns) > 1)


def request_s(recording: Recording) -> NDArray[np.float64]:
    """chunk_ns[-1] - sent_ns: to the last content chunk, not to usage or [DONE]."""
    return _collected(request_of, recording)


def effective_s(recording: Recording) -> NDArray[np.float64]:
    """chunk_ns[-1] - scheduled_ns."""
    return _collected(effective_of, recording)


def server_first_token_s(recording: Recording) -> NDArray[np.float64]:
    """server_ttft_s as the server states it."""
    return np.array([r.server_ttft_s for r in successful(recording) if r.server_ttft_s is not None], dtype=np.float64)


TIME_TO_FIRST_TOKEN = MetricDefinition(
    id="time_to_first_token.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula="send start → first chunk with non-empty content, reasoning or tool delta; a role-only chunk does not count",
    source="load generator; AIPerf time_to_first_token",
    prior_sd=0.04,
    samples=first_token_s,
)
TIME_TO_FIRST_OUTPUT_TOKEN = MetricDefinition(
    id="time_to_first_output_token.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula="send start → first chunk with non-empty content or tool delta; reasoning does not count",
    source="load generator; AIPerf time_to_first_output_token",
    prior_sd=0.04,
    samples=first_output_s,
)
TIME_TO_SECOND_TOKEN = MetricDefinition(
    id="time_to_second_token.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula="second content chunk − first content chunk",
    source="load generator; AIPerf time_to_second_token",
    prior_sd=0.04,
    samples=second_token_s,
)
INTER_TOKEN_LATENCY = MetricDefinition(
    id="inter_token_latency.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula=(
        "per request: (request_latency − time_to_first_token) / (output_sequence_length − tokens of the first chunk); "
        "these are 1 where the server does not state usage with every chunk; an OSL of 1 gives no value"
    ),
    source="load generator and server usage; AIPerf inter_token_latency; vLLM calls it TPOT",
    prior_sd=0.02,
    samples=inter_token_s,
)
INTER_CHUNK_LATENCY = MetricDefinition(
    id="inter_chunk_latency.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula="all gaps between consecutive content chunks, pooled over requests",
    source="load generator; AIPerf inter_chunk_latency; vLLM calls it ITL",
    prior_sd=0.02,
    samples=inter_chunk_s,
)
STALL = MetricDefinition(
    id="stall.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula="per request: the largest gap between consecutive content chunks; a request with one chunk gives no value",
    source="load generator",
    prior_sd=0.04,
    samples=stall_s,
)
REQUEST_LATENCY = MetricDefinition(
    id="request_latency.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula="send start → last content chunk (not usage, not [DONE])",
    source="load generator; AIPerf request_latency",
    prior_sd=0.02,
    samples=request_s,
)
EFFECTIVE_LATENCY = MetricDefinition(
    id="effective_latency.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula=(
        "instant at which the request was due → last content chunk; due: by the schedule of an open loop, "
        "in a closed loop at the end of the request before it"
    ),
    source="load generator",
    prior_sd=0.02,
    samples=effective_s,
)
OUTPUT_TOKEN_THROUGHPUT_PER_USER = MetricDefinition(
    id="output_token_throughput_per_user.v1",
    unit=Unit.TOKENS_PER_SECOND_PER_USER,
    direction=Direction.HIGHER_IS_BETTER,
    formula="per request: 1 / inter_token_latency",
    source="load generator and server usage; AIPerf output_token_throughput_per_user",
    prior_sd=0.02,
    samples=tokens_per_second_per_user,
)
SERVER_TIME_TO_FIRST_TOKEN = MetricDefinition(
    id="server_time_to_first_token.v1",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    formula="time to first token as the server states it: without the network and without the client",
    source="Dynamo nvext.timing",
    prior_sd=0.04,
    samples=server_first_token_s,
)

DEFINITIONS = (
    TIME_TO_FIRST_TOKEN,
    TIME_TO_FIRST_OUTPUT_TOKEN,
    TIME_TO_SECOND_TOKEN,
    INTER_TOKEN_LATENCY,
    INTER_CHUNK_LATENCY,
    STALL,
    REQUEST_LATENCY,
    EFFECTIVE_LATENCY,
    OUTPUT_TOKEN_THROUGHPUT_PER_USER,
    SERVER_TIME_TO_FIRST_TOKEN,
)
