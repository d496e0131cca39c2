"""Every metric by id, and the cells that a run is summarised in."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_dynperf.metrics import accuracy, fault, goodput, latency, length, server, steady, throughput
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.metrics.statistic import STATISTICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.metrics.definition import Meaning, MetricDefinition

CATALOGUE: Mapping[str, MetricDefinition] = MappingProxyType(
    {
        definition.id: definition
        for family in (throughput, goodput, steady, latency, length, server, fault, accuracy)
        for definition in family.DEFINITIONS
    }
)

MEANINGS: Mapping[str, Meaning] = MappingProxyType({metric_id: definition.meaning for metric_id, definition in CATALOGUE.items()})


def statistics(definition: MetricDefinition) -> tuple[str, ...]:
    """The statistics that a metric has: ``value`` alone where it gives one value per run."""
    return ("value",) if definition.value is not None else STATISTICS


def cells(metrics: Mapping[str, MetricDefinition] = CATALOGUE) -> tuple[Cell, ...]:
    """All cells of ``metrics``, in their order."""
    return tuple(Cell(definition.id, name) for definition in metrics.values() for name in statistics(definition))
