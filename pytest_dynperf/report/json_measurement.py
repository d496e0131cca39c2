"""Measurements and their metrics as plain JSON types: the middle part of a case in ``session.json``.

Values stand per metric, one entry per run in the order of ``runs``; why a run lacks one stands with the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pytest_dynperf.errors import UsageError
from pytest_dynperf.measurement.measurement import Distribution, Measurement, Run
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.observation.recording import Certificate
from pytest_dynperf.quantity import Absent
from pytest_dynperf.report.meaning import direction_of, in_catalogue_order, unit_of
from pytest_dynperf.report.plain import plain_value, repeated, take, take_all, take_map, take_optional, take_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_dynperf.metrics.definition import Meaning


def encode_metrics(runs: Sequence[Run], judged: Sequence[Cell], meanings: Mapping[str, Meaning]) -> list[dict[str, object]]:
    """One entry per cell: the judged ones in the order of the verdict, then the others in the order of the catalogue."""
    others = in_catalogue_order(cell for run in runs for cell in (*run.values, *run.absent))
    return [_encode_metric(cell, runs, meanings) for cell in dict.fromkeys((*judged, *others))]


def _encode_metric(cell: Cell, runs: Sequence[Run], meanings: Mapping[str, Meaning]) -> dict[str, object]:
    values = [run.values.get(cell) for run in runs]
    reasons = [run.absent[cell].reason for run in runs if cell in run.absent]
    seen = any(value is not None for value in values)
    return {
        "id": cell.metric,
        "statistic": cell.statistic,
        "unit": unit_of(cell.metric, meanings),
        "direction": direction_of(cell.metric, meanings),
        "values": values if seen else None,
        "absent": None if seen or not reasons else reasons[0],
    }


def metric_ids(runs: Iterable[Run]) -> set[str]:
    """Every metric that ``runs`` say anything of."""
    return {name for run in runs for name in (*(cell.metric for cell in (*run.values, *run.absent)), *run.distributions, *run.parts)}


def encode_run(run: Run) -> dict[str, object]:
    """One run without its values."""
    return {
        "name": run.name,
        "requests": run.requests,
        "errors": run.errors,
        "error_kinds": dict(sorted(run.error_kinds.items())),
        "duration_s": run.duration_s,
        "certificate": plain_value(run.certificate),
        "witness": dict(sorted(run.witness.items())),
        "problems": list(run.problems),
        "notes": list(run.notes),
        "parts": {name: list(run.parts[name]) for name in sorted(run.parts)},
        "distributions": {name: _encode_distribution(run.distributions[name]) for name in sorted(run.distributions)},
        "absent": [
            {"id": cell.metric, "statistic": cell.statistic, "reason": run.absent[cell].reason} for cell in in_catalogue_order(run.absent)
        ],
    }


def _encode_distribution(distribution: Distribution) -> dict[str, object]:
    return {
        "n": distribution.n,
        "mean": distribution.mean,
        "sd": distribution.sd,
        "sd_log": distribution.sd_log,
        "minimum": distribution.minimum,
        "maximum": distribution.maximum,
        "percentiles": dict(distribution.percentiles),
    }


def decode_measurement(
    runs: Sequence[Mapping[str, object]],
    discarded: Sequence[Mapping[str, object]],
    problems: Sequence[str],
    metrics: Sequence[Mapping[str, object]],
) -> Measurement:
    """The measurement whose values stand in ``metrics``.

    :raises UsageError: when a key is missing or of another type.
    """
    return Measurement(
        runs=tuple(decode_run(run, values) for run, values in zip(runs, values_per_run(metrics, "values", len(runs)), strict=True)),
        discarded=tuple(decode_run(run, {}) for run in discarded),
        problems=tuple(problems),
    )


def decode_cell(metric: Mapping[str, object]) -> Cell:
    """The cell that ``id`` and ``statistic`` name."""
    return Cell(take(metric, "id", str), take(metric, "statistic", str))


def values_per_run(metrics: Sequence[Mapping[str, object]], key: str, count: int) -> list[dict[Cell, float]]:
    """What the lists ``key`` of ``metrics`` hold, run by run; ``null`` is no value.

    :raises UsageError: when a list is shorter than ``count``, or holds anything but numbers and ``null``.
    """
    if (twice := repeated(decode_cell(metric) for metric in metrics)) is not None:
        msg = f"key 'metrics': {twice} stands there twice, and a run has one value of it"
        raise UsageError(msg)
    found: list[dict[Cell, float]] = [{} for _ in range(count)]
    for metric in metrics:
        per_run = take_optional(metric, key, list)
        if per_run is None:
            continue
        cell = decode_cell(metric)
        if len(per_run) != count:
            msg = f"key {key!r} of {cell} should hold one entry for each of {count} runs, found {len(per_run)}"
            raise UsageError(msg)
        for place, value in enumerate(per_run):
            if value is not None:
                found[place][cell] = value if type(value) is float else take({f"{key}[{place}]": value}, f"{key}[{place}]", float)
    return found


class _Distribution(msgspec.Struct, gc=False):
    """The fields of :class:`Distribution`, with types that can be looked at while running."""

    n: int
    mean: float
    sd_log: float | None
    minimum: float
    maximum: float
    percentiles: dict[str, float]
    sd: float | None


def decode_run(run: Mapping[str, object], values: Mapping[Cell, float]) -> Run:
    """The run that :func:`encode_run` wrote, with ``values``.

    :raises UsageError: when a key is missing or of another type.
    """
    return Run(
        name=take(run, "name", str),
        values=values,
        absent={decode_cell(entry): Absent(take(entry, "reason", str)) for entry in take_all(run, "absent", dict)},
        distributions=_decode_distributions(run),
        requests=take(run, "requests", int),
        errors=take(run, "errors", int),
        error_kinds=take_map(run, "error_kinds", int),
        duration_s=take(run, "duration_s", float),
        certificate=take_value(run, "certificate", Certificate),
        witness=take_map(run, "witness", float),
        problems=take_all(run, "problems", str),
        notes=take_all(run, "notes", str),
        parts={name: _decode_parts(name, entry) for name, entry in take_map(run, "parts", list).items()},
    )


def _decode_parts(name: str, entry: Sequence[object]) -> tuple[float, float]:
    numbers = take_all({name: entry}, name, float)
    if len(numbers) != 2:
        msg = f"key {name!r} of 'parts' should hold numerator and denominator, found {len(numbers)} numbers"
        raise UsageError(msg)
    return numbers[0], numbers[1]


def _decode_distributions(run: Mapping[str, object]) -> dict[str, Distribution]:
    tables = take_map(run, "distributions", dict)
    try:
        found = msgspec.convert(tables, dict[str, _Distribution])
    except (msgspec.ValidationError, OverflowError):  # found again key by key, which says where
        return {name: _decode_distribution(table) for name, table in tables.items()}
    return {
        name: Distribution(
            n=one.n, mean=one.mean, sd_log=one.sd_log, minimum=one.minimum, maximum=one.maximum, percentiles=one.percentiles, sd=one.sd
        )
        for name, one in found.items()
    }


def _decode_distribution(entry: Mapping[str, object]) -> Distribution:
    return Distribution(
        n=take(entry, "n", int),
        mean=take(entry, "mean", float),
        sd_log=take_optional(entry, "sd_log", float),
        minimum=take(entry, "minimum", float),
        maximum=take(entry, "maximum", float),
        percentiles=take_map(entry, "percentiles", float),
        sd=take_optional(entry, "sd", float),
    )
