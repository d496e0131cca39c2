"""What a metric id means to a reader: unit, direction, a short label. What the catalogue does not know is as the file says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """``unit`` is the symbol and ``direction`` the text that stand in files (``s``, ``lower is better``); ``None`` where neither the
    catalogue nor the file knows the id.
    """

    unit: str | None
    direction: str | None


def meaning(metric_id: str, unknown_metrics: Mapping[str, tuple[str | None, str | None]]) -> Meaning:
    """The catalogue's word on ``metric_id``, else that of the file (``CaseResult.unknown_metrics``), else nothing."""
    definition = CATALOGUE.get(metric_id)
    if definition is not None:
        return Meaning(unit=definition.unit.value, direction=definition.direction.value)
    unit, direction = unknown_metrics.get(metric_id, (None, None))
    return Meaning(unit=unit, direction=direction)


def label(cell: Cell) -> str:
    """``ITL p50``; ``throughput`` for the statistic ``value``; the full name where no short one is known."""
    name = cell.metric.rsplit(".v", 1)[0]
    short = _LABELS.get(name, name)
    return short if cell.statistic == "value" else f"{short} {cell.statistic}"


def in_catalogue_order(cells: Iterable[Cell]) -> list[Cell]:
    """Each cell once: metrics as the catalogue lists them, unknown ones by name after them, statistics by name."""
    places = {metric_id: place for place, metric_id in enumerate(CATALOGUE)}
    return sorted(set(cells), key=lambda cell: (places.get(cell.metric, len(places)), cell))
