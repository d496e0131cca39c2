"""What the metrics of a file mean, as plain JSON types: who reads it later needs no catalogue that knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.metrics.definition import Cell, Kind, Meaning
from pytest_dynperf.quantity import Direction, Unit
from pytest_dynperf.report.meaning import in_catalogue_order, meaning_of
from pytest_dynperf.report.plain import take, take_member

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def encode_definitions(metric_ids: Iterable[str], meanings: Mapping[str, Meaning]) -> list[dict[str, object]]:
    """One entry per metric of which anything is known, in the order of the catalogue, others by name after them."""
    ordered = [cell.metric for cell in in_catalogue_order(Cell(metric_id, "") for metric_id in metric_ids)]
    found = [meaning_of(metric_id, meanings) for metric_id in ordered]
    return [_encode_meaning(means) for means in found if means is not None]


def _encode_meaning(means: Meaning) -> dict[str, object]:
    return {
        "id": means.id,
        "unit": means.unit.value,
        "direction": means.direction.value,
        "kind": means.kind.value,
        "prior_sd": means.prior_sd,
        "formula": means.formula,
        "source": means.source,
    }


def decode_definitions(tables: Sequence[Mapping[str, object]]) -> dict[str, Meaning]:
    """The meanings by metric id.

    :raises UsageError: when a key is missing or of another type, or a unit, direction or kind is not known here.
    """
    return {take(table, "id", str): _decode_meaning(table) for table in tables}


def _decode_meaning(table: Mapping[str, object]) -> Meaning:
    return Meaning(
        id=take(table, "id", str),
        unit=take_member(table, "unit", Unit),
        direction=take_member(table, "direction", Direction),
        kind=take_member(table, "kind", Kind),
        prior_sd=take(table, "prior_sd", float),
        formula=take(table, "formula", str),
        source=take(table, "source", str),
    )
