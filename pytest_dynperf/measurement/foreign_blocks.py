"""Our recordings as AIPerf states metrics: blocks of statistics for a run, values for one request. Pure.

Formulas are ours, statistics those of AIPerf 0.13: linear percentiles, standard deviation with ddof 0. AIPerf states p99 of three values
too; so does this, and whoever reads it again applies the rule for tails.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.success import successful
from pytest_dynperf.quantity import Absent, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pytest_dynperf.metrics.definition import MetricDefinition, RunFacts
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord

TAGS = frozenset(
    {
        "request_throughput",
        "output_token_throughput",
        "goodput",
        "request_error_rate",
        "time_to_first_token",
        "time_to_first_output_token",
        "time_to_second_token",
        "inter_token_latency",
        "inter_chunk_latency",
        "request_latency",
        "effective_latency",
        "output_token_throughput_per_user",
        "output_sequence_length",
        "input_sequence_length",
    }
)
"""What AIPerf calls by our names; metrics of the catalogue that are not here are ours alone."""

_SYMBOLS = {
    Unit.SECONDS: ("ms", 1e3),
    Unit.TOKENS: ("tokens", 1.0),
    Unit.TOKENS_PER_SECOND: ("tokens/sec", 1.0),
    Unit.TOKENS_PER_SECOND_PER_USER: ("tokens/sec/user", 1.0),
    Unit.REQUESTS_PER_SECOND: ("requests/sec", 1.0),
    Unit.RATIO: ("%", 100.0),
}
_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def run_blocks(recording: Recording, facts: RunFacts) -> dict[str, dict[str, object]]:
    """Tag → ``{"unit": "ms", "avg": …, "p1": …}``, for rates ``unit`` and ``avg`` alone. What is absent is left out, as AIPerf does."""
    blocks: dict[str, dict[str, object]] = {}
    for definition in _exported():
        symbol, factor = _SYMBOLS[definition.unit]
        if definition.value is not None:
            value = definition.value(recording, facts)
            if not isinstance(value, Absent):
                blocks[definition.name] = {"unit": symbol, "avg": float(value) * factor}
        elif definition.samples is not None and len(samples := definition.samples(recording)):
            blocks[definition.name] = {"unit": symbol, **_statistics(samples * factor)}
    return blocks | _counts(recording)


def request_values(recording: Recording, record: RequestRecord) -> dict[str, dict[str, object]]:
    """Tag → ``{"value": …, "unit": …}`` of one request; the gaps between chunks are a list. Empty for a failed one."""
    alone = replace(recording, records=(replace(record, measured=True),))
    values: dict[str, dict[str, object]] = {}
    for definition in _exported():
        if definition.samples is None:
            continue
        symbol, factor = _SYMBOLS[definition.unit]
        samples = [float(sample) * factor for sample in definition.samples(alone)]
        if definition.name == "inter_chunk_latency":
            if samples:
                values[definition.name] = {"value": samples, "unit": symbol}
        elif samples:
            values[definition.name] = {"value": samples[0], "unit": symbol}
    if record.error is None:
        for tag, tokens in (("usage_completion_tokens", record.completion_tokens), ("usage_prompt_tokens", record.prompt_tokens)):
            if tokens is not None:
                values[tag] = {"value": tokens, "unit": "tokens"}
    return values


def _exported() -> Iterator[MetricDefinition]:
    return (definition for definition in CATALOGUE.values() if definition.name in TAGS)


def _statistics(samples: NDArray[np.float64]) -> dict[str, object]:
    return {
        "avg": float(np.mean(samples)),
        **{f"p{point}": float(value) for point, value in zip(_PERCENTILES, np.percentile(samples, _PERCENTILES), strict=True)},
        "min": float(np.min(samples)),
        "max": float(np.max(samples)),
        "std": float(np.std(samples)),
        "count": len(samples),
        "sum": float(np.sum(samples)),
    }


def _counts(recording: Recording) -> dict[str, dict[str, object]]:
    valid, measured = successful(recording), recording.measured
    failed = len(measured) - len(valid)
    blocks: dict[str, dict[str, object]] = {
        "request_count": {"unit": "requests", "avg": float(len(valid))},
        "completed_request_count": {"unit": "requests", "avg": float(len(measured))},
    }
    if failed:
        blocks["error_request_count"] = {"unit": "requests", "avg": float(failed)}
    told = [record.completion_tokens for record in valid if record.completion_tokens is not None]
    if told:
        blocks["usage_completion_tokens"] = {"unit": "tokens", **_statistics(np.array(told, dtype=np.float64))}
    if recording.certificate.mean_in_flight is not None:
        blocks["effective_concurrency"] = {"unit": "requests", "avg": recording.certificate.mean_in_flight}
    sent = [record.sent_ns for record in measured if record.sent_ns is not None]
    last = [record.chunk_ns[-1] for record in valid if record.chunk_ns]
    if sent and last:
        blocks["benchmark_duration"] = {"unit": "sec", "avg": (max(last) - min(sent)) / 1e9}
    return blocks
