"""What a metric id means to a reader: unit, direction, a short label. A file's own definitions come before those of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.metrics.catalogue import CATALOGUE, MEANINGS
from pytest_dynperf.metrics.definition import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_dynperf.metrics.definition import Meaning

THROUGHPUT = Cell("output_token_throughput.v1", "value")
ITL = Cell("inter_token_latency.v1", "p50")
TTFT = Cell("time_to_first_token.v1", "p50")
PER_USER = Cell("output_token_throughput_per_user.v1", "p50")
PER_GPU = Cell("output_token_throughput_per_gpu.v1", "value")

_LABELS = {
    "time_to_first_token": "TTFT",
    "time_to_first_output_token": "first output token",
    "time_to_second_token": "second token",
    "inter_token_latency": "ITL",
    "inter_chunk_latency": "ICL",
    "request_latency": "latency",
    "effective_latency": "effective latency",
    "output_token_throughput": "throughput",
    "output_token_throughput_per_user": "per user",
    "output_token_throughput_per_gpu": "per GPU",
    "request_throughput": "requests",
    "request_error_rate": "failed requests",
    "output_sequence_length": "OSL",
    "input_sequence_length": "ISL",
    "steady_output_token_throughput": "steady throughput",
    "steady_request_throughput": "steady requests",
    "steady_concurrency": "steady in flight",
    "server_time_to_first_token": "server TTFT",
    "frontend_time_to_first_token": "frontend TTFT",
    "frontend_time_to_first_token_p90_estimate": "frontend TTFT p90 estimate",
    "frontend_inter_token_latency": "frontend ITL",
}
"""Short names that fit a column; every other metric goes by its id without the version."""


def meaning_of(metric_id: str, meanings: Mapping[str, Meaning]) -> Meaning | None:
    """What the file states of ``metric_id`` (``CaseResult.meanings``), else the catalogue's word, else nothing."""
    return meanings.get(metric_id) or MEANINGS.get(metric_id)


def unit_of(metric_id: str, meanings: Mapping[str, Meaning]) -> str | None:
    """The symbol that stands in files (``s``); ``None`` where neither the file nor the catalogue knows the metric."""
    means = meaning_of(metric_id, meanings)
    return None if means is None else means.unit.value


def direction_of(metric_id: str, meanings: Mapping[str, Meaning]) -> str | None:
    """The text that stands in files (``lower is better``); ``None`` like :func:`unit_of`."""
    means = meaning_of(metric_id, meanings)
    return None if means is None else means.direction.value


def label(cell: Cell) -> str:
    """``ITL p50``; ``throughput`` for the statistic ``value``; the full name where no short one is known."""
    name = cell.metric.rsplit(".v", 1)[0]
    short = _LABELS.get(name, name)
    return short if cell.statistic == "value" else f"{short} {cell.statistic}"


def in_catalogue_order(cells: Iterable[Cell]) -> list[Cell]:
    """Each cell once: metrics as the catalogue lists them, unknown ones by name after them, statistics by name."""
    places = {metric_id: place for place, metric_id in enumerate(CATALOGUE)}
    return sorted(set(cells), key=lambda cell: (places.get(cell.metric, len(places)), cell))
