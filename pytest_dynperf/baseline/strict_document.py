"""A parsed table of the newest schema as a document, or what keeps it from being one: the place, what was found, what is near it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.document import Baseline, BaselineRun
from pytest_dynperf.baseline.strict_json import Flaw, as_number, as_table, expect_keys, integer_at, magnitude_at, text_at, texts_at
from pytest_dynperf.errors import nearest
from pytest_dynperf.measurement.measurement import MINIMUM_RUNS, Distribution
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Cell, Kind
from pytest_dynperf.quantity import Direction, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

STAMP = re.compile(r"\d{8}T\d{6}Z")
_CELL = re.compile(r"[a-z0-9_]+\.v\d+/[a-z0-9.]+")
_METRIC = re.compile(r"[a-z0-9_]+\.v\d+")
_SYMBOLS = frozenset(unit.value for unit in Unit)
_DIRECTIONS = frozenset(direction.value for direction in Direction)
_KINDS = frozenset(kind.value for kind in Kind)

_DOCUMENT_KEYS = (
    "case_id",
    "environment",
    "epoch",
    "key",
    "metrics",
    "provenance",
    "reason",
    "runs",
    "schema",
    "session_id",
    "stamp",
    "suite",
)
_METRIC_KEYS = ("direction", "kind", "unit")
_RUN_KEYS = ("distributions", "duration_s", "errors", "parts", "requests", "values")
_DISTRIBUTION_KEYS = ("max", "mean", "min", "n", "percentiles", "sd", "sd_log")


def document_of(table: Mapping[str, object]) -> Baseline:
    """:raises Flaw: for anything but the table of a document of the newest schema."""
    where = "the document"
    expect_keys(table, _DOCUMENT_KEYS, where)
    stamp = text_at(table, "stamp", where)
    if not STAMP.fullmatch(stamp):
        msg = f"stamp is {stamp!r}, expected UTC such as 20261121T070501Z"
        raise Flaw(msg)
    runs = table["runs"]
    if not isinstance(runs, list) or len(runs) < MINIMUM_RUNS:
        msg = f"runs must be a list of at least {MINIMUM_RUNS}"
        raise Flaw(msg)
    units, unknown = metrics_of(as_table(table["metrics"], "metrics"))
    return Baseline(
        suite=text_at(table, "suite", where),
        case_id=text_at(table, "case_id", where),
        session_id=text_at(table, "session_id", where),
        stamp=stamp,
        environment_name=text_at(table, "environment", where),
        key=texts_at(table, "key", where),
        provenance=texts_at(table, "provenance", where),
        units=units,
        runs=tuple(_run_from_json(run, units, f"runs[{index}]") for index, run in enumerate(runs)),
        epoch=integer_at(table, "epoch", where),
        reason=None if table["reason"] is None else text_at(table, "reason", where),
        unknown_metrics=unknown,
    )


def metrics_of(table: Mapping[str, object]) -> tuple[dict[str, str], dict[str, tuple[str | None, str | None]]]:
    """Units of all metrics, and what the file says of those that the catalogue does not know.

    :raises Flaw: for a unit, direction or kind that there is not, or that is not the catalogue's.
    """
    units: dict[str, str] = {}
    unknown: dict[str, tuple[str | None, str | None]] = {}
    for metric, value in table.items():
        where = f"metrics.{metric}"
        if not _METRIC.fullmatch(metric):
            msg = f"metrics has {metric!r}, expected an id such as time_to_first_token.v1{nearest(metric, CATALOGUE)}"
            raise Flaw(msg)
        entry = as_table(value, where)
        expect_keys(entry, _METRIC_KEYS, where)
        units[metric] = text_at(entry, "unit", where)
        direction = None if entry["direction"] is None else text_at(entry, "direction", where)
        kind = None if entry["kind"] is None else text_at(entry, "kind", where)
        for what, found, known in (("unit", units[metric], _SYMBOLS), ("direction", direction, _DIRECTIONS), ("kind", kind, _KINDS)):
            if found is not None and found not in known:
                msg = f"the {what} {found!r} of {metric} is unknown{nearest(found, known)}"
                raise Flaw(msg)
        if metric in CATALOGUE:
            _check_meaning(metric, units[metric], direction)
        else:
            unknown[metric] = (direction, kind)
    return units, unknown


def _check_meaning(metric: str, unit: str, direction: str | None) -> None:
    definition = CATALOGUE[metric]
    if definition.unit.value != unit:
        msg = f"{metric} is stored in {unit}, but its unit is {definition.unit.value}"
        raise Flaw(msg)
    if definition.direction.value != direction:
        msg = f"{metric} is stored as {direction!r}, but its direction is {definition.direction.value!r}"
        raise Flaw(msg)


def _run_from_json(value: object, units: Mapping[str, str], where: str) -> BaselineRun:
    table = as_table(value, where)
    expect_keys(table, _RUN_KEYS, where)
    numbers, distributions, parts = (as_table(table[name], f"{where}.{name}") for name in ("values", "distributions", "parts"))
    values: dict[Cell, float] = {}
    for name in numbers:
        cell = cell_of(name)
        if cell is None:
            msg = f"{where}.values has {name!r}, expected metric.v1/statistic"
            raise Flaw(msg)
        values[cell] = magnitude_at(numbers, name, f"{where}.values")
    for metric in sorted({cell.metric for cell in values} | set(distributions) | set(parts)):
        if metric not in units:
            msg = f"metrics lacks {metric}, which {where} holds{nearest(metric, units)}"
            raise Flaw(msg)
    return BaselineRun(
        values=values,
        distributions={name: _distribution_from_json(item, f"{where}.distributions.{name}") for name, item in distributions.items()},
        requests=integer_at(table, "requests", where),
        errors=integer_at(table, "errors", where),
        duration_s=magnitude_at(table, "duration_s", where),
        parts={metric: _parts(item, f"{where}.parts.{metric}") for metric, item in parts.items()},
    )


@lru_cache(maxsize=4096)  # the same few hundred names stand in every run of every document
def cell_of(name: str) -> Cell | None:
    """``None`` for what is no name of a cell."""
    if not _CELL.fullmatch(name):
        return None
    metric, statistic = name.split("/")
    return Cell(metric, statistic)


def _parts(value: object, where: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        msg = f"{where} must be a list of numerator and denominator"
        raise Flaw(msg)
    numerator, denominator = (as_number(item, where) for item in value)
    if numerator < 0 or denominator < 0:
        msg = f"{where} must not be negative, found {value}"
        raise Flaw(msg)
    return numerator, denominator


def _distribution_from_json(value: object, where: str) -> Distribution:
    table = as_table(value, where)
    expect_keys(table, _DISTRIBUTION_KEYS, where)
    percentiles = as_table(table["percentiles"], f"{where}.percentiles")
    return Distribution(
        n=integer_at(table, "n", where),
        mean=magnitude_at(table, "mean", where),
        sd_log=None if table["sd_log"] is None else magnitude_at(table, "sd_log", where),
        minimum=magnitude_at(table, "min", where),
        maximum=magnitude_at(table, "max", where),
        percentiles={name: magnitude_at(percentiles, name, f"{where}.percentiles") for name in percentiles},
        sd=None if table["sd"] is None else magnitude_at(table, "sd", where),
    )
