"""A document as JSON text and back. Schema 2; sorted keys, 5 significant digits, cells as ``time_to_first_token.v1/p50``.

Reading is strict: what is not exactly a document is refused with the place and the remedy, because a baseline that is half understood
judges wrongly without a word. Older schemas are read through ``migration``.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.document import SCHEMA, Baseline, BaselineRun
from pytest_dynperf.baseline.migration import migrated
from pytest_dynperf.baseline.strict_json import Flaw, as_number, as_table, expect_keys, integer_at, number_at, parsed, text_at, texts_at
from pytest_dynperf.errors import BaselineError, nearest
from pytest_dynperf.measurement.measurement import MINIMUM_RUNS, Distribution
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Cell, Kind
from pytest_dynperf.quantity import Direction, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SIGNIFICANT_DIGITS = 5
_STAMP = re.compile(r"\d{8}T\d{6}Z")
_CELL = re.compile(r"[a-z0-9_]+\.v\d+/[a-z0-9.]+")
_METRIC = re.compile(r"[a-z0-9_]+\.v\d+")
_MARKS = ("<" * 7, ">" * 7, "|" * 7)
_CONFLICT = re.compile(r"^(<{7}|>{7}|\|{7}) ?", re.MULTILINE)
_SYMBOLS = frozenset(unit.value for unit in Unit)
_DIRECTIONS = frozenset(direction.value for direction in Direction)
_KINDS = frozenset(kind.value for kind in Kind)
_RESTORE = "Restore the file from version control, or delete it and accept a new baseline with --update-baselines."

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


# ---- writing


def encode(baseline: Baseline) -> str:
    """JSON text that ends in a newline. Equal documents give equal text.

    :raises BaselineError: for a value that is not finite: JSON cannot hold it, and no judge could use it.
    """
    document = {
        "schema": SCHEMA,
        "suite": baseline.suite,
        "case_id": baseline.case_id,
        "session_id": baseline.session_id,
        "stamp": baseline.stamp,
        "environment": baseline.environment_name,
        "epoch": baseline.epoch,
        "reason": baseline.reason,
        "key": dict(baseline.key),
        "provenance": dict(baseline.provenance),
        "metrics": {metric: _metric_to_json(metric, unit, baseline) for metric, unit in baseline.units.items()},
        "runs": [_run_to_json(run) for run in baseline.runs],
    }
    try:
        return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    except ValueError as error:
        msg = f"the baseline of {baseline.suite}/{baseline.case_id} holds a value that is not finite ({error}); measure again"
        raise BaselineError(msg) from error


def _rounded(value: float) -> float:
    """Whole numbers stay what they are: a count is compared exactly."""
    return value if float(value).is_integer() else float(f"{value:.{_SIGNIFICANT_DIGITS}g}")


def _metric_to_json(metric: str, unit: str, baseline: Baseline) -> dict[str, object]:
    known = CATALOGUE.get(metric)
    direction, kind = baseline.unknown_metrics.get(metric, (None, None)) if known is None else (known.direction.value, known.kind.value)
    return {"unit": unit, "direction": direction, "kind": kind}


def _run_to_json(run: BaselineRun) -> dict[str, object]:
    return {
        "values": {f"{cell.metric}/{cell.statistic}": _rounded(value) for cell, value in run.values.items()},
        "distributions": {metric: _distribution_to_json(distribution) for metric, distribution in run.distributions.items()},
        # Counts, so not rounded: of 1,000,000 and 999,998 the two that are missing are what counts.
        "parts": {metric: list(parts) for metric, parts in run.parts.items()},
        "requests": run.requests,
        "errors": run.errors,
        "duration_s": _rounded(run.duration_s),
    }


def _distribution_to_json(distribution: Distribution) -> dict[str, object]:
    return {
        "n": distribution.n,
        "mean": _rounded(distribution.mean),
        "sd": None if distribution.sd is None else _rounded(distribution.sd),
        "sd_log": None if distribution.sd_log is None else _rounded(distribution.sd_log),
        "min": _rounded(distribution.minimum),
        "max": _rounded(distribution.maximum),
        "percentiles": {name: _rounded(value) for name, value in distribution.percentiles.items()},
    }


# ---- reading


def decode(text: str, *, file: Path) -> Baseline:
    """The document that ``text`` holds; ``file`` is named in errors and not read.

    :raises BaselineError: for anything but a document of this schema or an older one whose units and directions are those of the
        catalogue; says what is wrong and what to do.
    """
    if any(mark in text for mark in _MARKS) and _CONFLICT.search(text):
        msg = (
            f"{file} holds conflict markers of a merge. Every accepted session has a file of its own, so no merge is needed: "
            "take either side whole (git checkout --ours or --theirs)."
        )
        raise BaselineError(msg)
    try:
        table = as_table(parsed(text), "the document")
        schema = integer_at(table, "schema", "the document")
        if schema > SCHEMA:
            msg = f"{file} has schema {schema}, this version reads up to {SCHEMA}. Upgrade pytest-dynperf (pip install -U pytest-dynperf)."
            raise BaselineError(msg)
        return _baseline_from_json(migrated(table, schema))
    except Flaw as error:
        msg = f"{file} is not a baseline document: {error}. {_RESTORE}"
        raise BaselineError(msg) from error


def _baseline_from_json(table: Mapping[str, object]) -> Baseline:
    where = "the document"
    expect_keys(table, _DOCUMENT_KEYS, where)
    stamp = text_at(table, "stamp", where)
    if not _STAMP.fullmatch(stamp):
        msg = f"stamp is {stamp!r}, expected UTC such as 20261121T070501Z"
        raise Flaw(msg)
    runs = table["runs"]
    if not isinstance(runs, list) or len(runs) < MINIMUM_RUNS:
        msg = f"runs must be a list of at least {MINIMUM_RUNS}"
        raise Flaw(msg)
    units, unknown = _metrics(as_table(table["metrics"], "metrics"))
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


def _metrics(table: Mapping[str, object]) -> tuple[dict[str, str], dict[str, tuple[str | None, str | None]]]:
    """Units of all metrics, and what the file says of those that the catalogue does not know."""
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
        cell = _cell(name)
        if cell is None:
            msg = f"{where}.values has {name!r}, expected metric.v1/statistic"
            raise Flaw(msg)
        values[cell] = number_at(numbers, name, f"{where}.values")
    for metric in sorted({cell.metric for cell in values} | set(distributions) | set(parts)):
        if metric not in units:
            msg = f"metrics lacks {metric}, which {where} holds{nearest(metric, units)}"
            raise Flaw(msg)
    return BaselineRun(
        values=values,
        distributions={name: _distribution_from_json(item, f"{where}.distributions.{name}") for name, item in distributions.items()},
        requests=integer_at(table, "requests", where),
        errors=integer_at(table, "errors", where),
        duration_s=number_at(table, "duration_s", where),
        parts={metric: _parts(item, f"{where}.parts.{metric}") for metric, item in parts.items()},
    )


@lru_cache(maxsize=4096)
def _cell(name: str) -> Cell | None:
    """The same few hundred names stand in every run of every document."""
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
        mean=number_at(table, "mean", where),
        sd_log=None if table["sd_log"] is None else number_at(table, "sd_log", where),
        minimum=number_at(table, "min", where),
        maximum=number_at(table, "max", where),
        percentiles={name: number_at(percentiles, name, f"{where}.percentiles") for name in percentiles},
        sd=None if table["sd"] is None else number_at(table, "sd", where),
    )
