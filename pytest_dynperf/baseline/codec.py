"""A document as JSON text and back. Schema 1; sorted keys, 5 significant digits, cells as ``time_to_first_token.v1/p50``.

Reading is strict: what is not exactly a document is refused with the place and the remedy, because a baseline that is half understood
judges wrongly without a word.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, NoReturn

from pytest_dynperf.baseline.document import SCHEMA, Baseline, BaselineRun
from pytest_dynperf.errors import BaselineError, nearest
from pytest_dynperf.measurement.measurement import MINIMUM_RUNS, Distribution
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.quantity import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SIGNIFICANT_DIGITS = 5
_STAMP = re.compile(r"\d{8}T\d{6}Z")
_CELL = re.compile(r"[a-z0-9_]+\.v\d+/[a-z0-9.]+")
_CONFLICT = re.compile(r"^(<{7}|>{7}|\|{7}) ?", re.MULTILINE)
_SYMBOLS = frozenset(unit.value for unit in Unit)
_RESTORE = "Restore the file from version control, or delete it and accept a new baseline with --update-baselines."

_DOCUMENT_KEYS = (
    "case_id",
    "environment",
    "epoch",
    "key",
    "provenance",
    "reason",
    "runs",
    "schema",
    "session_id",
    "stamp",
    "suite",
    "units",
)
_RUN_KEYS = ("distributions", "duration_s", "errors", "requests", "values")
_DISTRIBUTION_KEYS = ("max", "mean", "min", "n", "percentiles", "sd", "sd_log")


class _Flaw(Exception):
    """What is wrong, without the file: :func:`decode` adds that."""


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
        "units": dict(baseline.units),
        "runs": [_run_to_json(run) for run in baseline.runs],
    }
    try:
        return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    except ValueError as error:
        msg = f"the baseline of {baseline.suite}/{baseline.case_id} holds a value that is not finite ({error}); measure again"
        raise BaselineError(msg) from error


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")


def _run_to_json(run: BaselineRun) -> dict[str, object]:
    return {
        "values": {f"{cell.metric}/{cell.statistic}": _rounded(value) for cell, value in run.values.items()},
        "distributions": {metric: _distribution_to_json(distribution) for metric, distribution in run.distributions.items()},
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

    :raises BaselineError: for anything but a document of schema 1 whose units are those of the catalogue; says what and what to do.
    """
    if _CONFLICT.search(text):
        msg = (
            f"{file} holds conflict markers of a merge. Every accepted session has a file of its own, so no merge is needed: "
            "take either side whole (git checkout --ours or --theirs)."
        )
        raise BaselineError(msg)
    try:
        table = _table(json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant), "the document")
        schema = _integer(table, "schema", "the document")
        if schema > SCHEMA:
            msg = f"{file} has schema {schema}, this version reads up to {SCHEMA}. Upgrade pytest-dynperf (pip install -U pytest-dynperf)."
            raise BaselineError(msg)
        return _baseline_from_json(table, schema)
    except RecursionError as error:
        msg = f"{file} is nested too deeply for a baseline. {_RESTORE}"
        raise BaselineError(msg) from error
    except (_Flaw, ValueError) as error:
        msg = f"{file} is not a baseline document: {error}. {_RESTORE}"
        raise BaselineError(msg) from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        msg = f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice"
        raise _Flaw(msg)
    return table


def _refuse_constant(constant: str) -> NoReturn:
    msg = f"{constant} is not a number"
    raise _Flaw(msg)


def _baseline_from_json(table: Mapping[str, object], schema: int) -> Baseline:
    where = "the document"
    if schema != SCHEMA:
        msg = f"schema {schema} does not exist"
        raise _Flaw(msg)
    _expect_keys(table, _DOCUMENT_KEYS, where)
    stamp = _text(table, "stamp", where)
    if not _STAMP.fullmatch(stamp):
        msg = f"stamp is {stamp!r}, expected UTC such as 20261121T070501Z"
        raise _Flaw(msg)
    runs = table["runs"]
    if not isinstance(runs, list) or len(runs) < MINIMUM_RUNS:
        msg = f"runs must be a list of at least {MINIMUM_RUNS}"
        raise _Flaw(msg)
    units = _texts(table, "units", where)
    _check_units(units)
    return Baseline(
        suite=_text(table, "suite", where),
        case_id=_text(table, "case_id", where),
        session_id=_text(table, "session_id", where),
        stamp=stamp,
        environment_name=_text(table, "environment", where),
        key=_texts(table, "key", where),
        provenance=_texts(table, "provenance", where),
        units=units,
        runs=tuple(_run_from_json(run, units, f"runs[{index}]") for index, run in enumerate(runs)),
        epoch=_integer(table, "epoch", where),
        reason=None if table["reason"] is None else _text(table, "reason", where),
    )


def _check_units(units: Mapping[str, str]) -> None:
    for metric, symbol in units.items():
        if symbol not in _SYMBOLS:
            msg = f"the unit {symbol!r} of {metric} is unknown{nearest(symbol, _SYMBOLS)}"
            raise _Flaw(msg)
        if metric in CATALOGUE and CATALOGUE[metric].unit.value != symbol:
            msg = f"{metric} is stored in {symbol}, but its unit is {CATALOGUE[metric].unit.value}"
            raise _Flaw(msg)


def _run_from_json(value: object, units: Mapping[str, str], where: str) -> BaselineRun:
    table = _table(value, where)
    _expect_keys(table, _RUN_KEYS, where)
    numbers, distributions = _table(table["values"], f"{where}.values"), _table(table["distributions"], f"{where}.distributions")
    values: dict[Cell, float] = {}
    for name in numbers:
        if not _CELL.fullmatch(name):
            msg = f"{where}.values has {name!r}, expected metric.v1/statistic"
            raise _Flaw(msg)
        metric, statistic = name.split("/")
        values[Cell(metric, statistic)] = _number(numbers, name, f"{where}.values")
    for metric in {cell.metric for cell in values} | set(distributions):
        if metric not in units:
            msg = f"units lacks {metric}, which {where} holds"
            raise _Flaw(msg)
    return BaselineRun(
        values=values,
        distributions={name: _distribution_from_json(item, f"{where}.distributions.{name}") for name, item in distributions.items()},
        requests=_integer(table, "requests", where),
        errors=_integer(table, "errors", where),
        duration_s=_number(table, "duration_s", where),
    )


def _distribution_from_json(value: object, where: str) -> Distribution:
    table = _table(value, where)
    _expect_keys(table, _DISTRIBUTION_KEYS, where)
    percentiles = _table(table["percentiles"], f"{where}.percentiles")
    return Distribution(
        n=_integer(table, "n", where),
        mean=_number(table, "mean", where),
        sd_log=None if table["sd_log"] is None else _number(table, "sd_log", where),
        minimum=_number(table, "min", where),
        maximum=_number(table, "max", where),
        percentiles={name: _number(percentiles, name, f"{where}.percentiles") for name in percentiles},
        sd=None if table["sd"] is None else _number(table, "sd", where),
    )


def _expect_keys(table: Mapping[str, object], expected: tuple[str, ...], where: str) -> None:
    for name in expected:
        if name not in table:
            msg = f"{where} lacks {name!r}"
            raise _Flaw(msg)
    for name in table:
        if name not in expected:
            msg = f"{where} has {name!r}, which a baseline does not know{nearest(name, expected)}"
            raise _Flaw(msg)


def _table(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        msg = f"{where} must be an object"
        raise _Flaw(msg)
    return value


def _text(table: Mapping[str, object], name: str, where: str) -> str:
    value = table[name]
    if not isinstance(value, str) or not value:
        msg = f"{name!r} of {where} must be text that is not empty, found {value!r}"
        raise _Flaw(msg)
    return value


def _texts(table: Mapping[str, object], name: str, where: str) -> dict[str, str]:
    texts = {}
    for key, value in _table(table[name], f"{name!r} of {where}").items():
        if not isinstance(value, str):
            msg = f"{key!r} in {name!r} of {where} must be text, found {value!r}"
            raise _Flaw(msg)
        texts[key] = value
    return texts


def _integer(table: Mapping[str, object], name: str, where: str) -> int:
    value = table.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        msg = f"{name!r} of {where} must be a whole number from 0, found {value!r}"
        raise _Flaw(msg)
    return value


def _number(table: Mapping[str, object], name: str, where: str) -> float:
    value = table[name]
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        msg = f"{name!r} of {where} must be a finite number, found {str(value)[:40]}"
        raise _Flaw(msg)
    return number
