"""Throughputs: what the successful measured requests amount to, divided by the phase window; and the share that failed.

One value per run. The window is ``window_end_ns - window_start_ns`` as AIPerf divides, not its ``benchmark_duration``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.metrics.definition import Kind, MetricDefinition
from pytest_dynperf.metrics.success import successful
from pytest_dynperf.quantity import Absent, Direction, Unit

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording


def flaw(recording: Recording) -> Absent | None:
    """Why nothing can be divided by the phase window, or ``None``."""
    if not successful(recording):
        return Absent("no measured request succeeded")
    if recording.duration_s <= 0:
        return Absent(f"the phase window is empty ({recording.duration_s} s)")
    return None


def output_tokens_per_second(recording: Recording, _facts: RunFacts) -> float | Absent:
    """Sum of completion_tokens / phase window, in tokens/s.

    Absent where nothing succeeded, and where one successful request has no usage: its tokens would be missing from the sum unseen.
    """
    if (missing := flaw(recording)) is not None:
        return missing
    tokens = [record.completion_tokens for record in successful(recording)]
    counted = [count for count in tokens if count is not None]
    if len(counted) < len(tokens):
        return Absent(f"{len(tokens) - len(counted)} of {len(tokens)} successful requests have no usage")
    return sum(counted) / recording.duration_s


def requests_per_second(recording: Recording, _facts: RunFacts) -> float | Absent:
    """Successful measured requests / phase window, in requests/s. Absent where nothing succeeded."""
    missing = flaw(recording)
    return missing if missing is not None else len(successful(recording)) / recording.duration_s


def output_tokens_per_second_per_gpu(recording: Recording, facts: RunFacts) -> float | Absent:
    """Output token throughput / GPUs, in tokens/s/GPU. Absent where the GPU count is unknown or 0: it is never taken to be 1."""
    if not facts.gpu_count:
        return Absent("the number of GPUs is unknown" if facts.gpu_count is None else "the topology uses no GPU")
    total = output_tokens_per_second(recording, facts)
    return total if isinstance(total, Absent) else total / facts.gpu_count


def errors_of_all(recording: Recording, _facts: RunFacts) -> tuple[float, float] | Absent:
    """How many measured requests failed, and how many were measured. Absent where none was."""
    measured = recording.measured
    if not measured:
        return Absent("no request was measured")
    return float(sum(record.error is not None for record in measured)), float(len(measured))


def error_share(recording: Recording, facts: RunFacts) -> float | Absent:
    """Failed measured requests / measured requests, as a fraction. Absent where nothing was measured."""
    found = errors_of_all(recording, facts)
    return found if isinstance(found, Absent) else found[0] / found[1]


OUTPUT_TOKEN_THROUGHPUT = MetricDefinition(
    id="output_token_throughput.v1",
    unit=Unit.TOKENS_PER_SECOND,
    direction=Direction.HIGHER_IS_BETTER,
    formula="output tokens (server usage) of successful measured requests / phase window",
    source="load generator and server usage; AIPerf output_token_throughput",
    prior_sd=0.02,
    value=output_tokens_per_second,
)
REQUEST_THROUGHPUT = MetricDefinition(
    id="request_throughput.v1",
    unit=Unit.REQUESTS_PER_SECOND,
    direction=Direction.HIGHER_IS_BETTER,
    formula="successful measured requests / phase window",
    source="load generator; AIPerf request_throughput",
    prior_sd=0.02,
    value=requests_per_second,
)
OUTPUT_TOKEN_THROUGHPUT_PER_GPU = MetricDefinition(
    id="output_token_throughput_per_gpu.v1",
    unit=Unit.TOKENS_PER_SECOND_PER_GPU,
    direction=Direction.HIGHER_IS_BETTER,
    formula="output_token_throughput / GPUs of the topology",
    source="load generator, server usage and topology",
    prior_sd=0.02,
    value=output_tokens_per_second_per_gpu,
)
REQUEST_ERROR_RATE = MetricDefinition(
    id="request_error_rate.v1",
    unit=Unit.RATIO,
    direction=Direction.LOWER_IS_BETTER,
    formula="failed measured requests / measured requests; bounded by max_error_share, not gated by default",
    source="load generator; AIPerf request_error_rate (there in %)",
    # Log odds: five points around one half. Failures come together (a queue that is full, a worker that restarts), so sessions without any
    # change differ by more than single failures would.
    prior_sd=0.2,
    kind=Kind.RATE,
    value=error_share,
    parts=errors_of_all,
)

DEFINITIONS = (OUTPUT_TOKEN_THROUGHPUT, REQUEST_THROUGHPUT, OUTPUT_TOKEN_THROUGHPUT_PER_GPU, REQUEST_ERROR_RATE)
