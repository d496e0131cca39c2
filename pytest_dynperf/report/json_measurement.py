"""Measurements and their metrics as plain JSON types: the middle part of a case in ``session.json``.

Values stand per metric, one entry per run in the order of ``runs``; why a run lacks one stands with the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.measurement.measurement import Distribution, Measurement, Run
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.observation.recording import Certificate
from pytest_dynperf.quantity import Absent
from pytest_dynperf.report.meaning import in_catalogue_order, meaning
from pytest_dynperf.report.plain import plain_value, take, take_all, take_map, take_optional, take_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def encode_metrics(
    runs: Sequence[Run], judged: Sequence[Cell], unknown_metrics: Mapping[str, tuple[str | None, str | None]]
) -> list[dict[str, object]]:
    """One entry per cell: the judged ones in the order of the verdict, then the others in the order of the catalogue."""
    others = in_catalogue_order(cell for run in runs for cell in (*run.values, *run.absent))
    return [_encode_metric(cell, runs, unknown_metrics) for cell in dict.fromkeys((*judged, *others))]


def _encode_metric(cell: Cell, runs: Sequence[Run], unknown_metrics: Mapping[str, tuple[str | None, str | None]]) -> dict[str, object]:
    means = meaning(cell.metric, unknown_metrics)
    values = [run.values.get(cell) for run in runs]
    reasons = [run.absent[cell].reason for run in runs if cell in run.absent]
    seen = any(value is not None for value in values)
    return {
        "id": cell.metric,
        "statistic": cell.statistic,
        "unit": means.unit,
        "direction": means.direction,
        "values": values if seen else None,
        "absent": None if seen or not reasons else reasons[0],
    }


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
        runs=tuple(_decode_run(run, _values_of_run(metrics, index)) for index, run in enumerate(runs)),
        discarded=tuple(_decode_run(run, {}) for run in discarded),
        problems=tuple(problems),
    )


def decode_cell(metric: Mapping[str, object]) -> Cell:
    """The cell that ``id`` and ``statistic`` name."""
    return Cell(take(metric, "id", str), take(metric, "statistic", str))


def _values_of_run(metrics: Sequence[Mapping[str, object]], index: int) -> dict[Cell, float]:
    values = {}
    for metric in metrics:
        per_run = take_optional(metric, "values", list)
        if per_run is None:
            continue
        entry = {f"values[{place}]": value for place, value in enumerate(per_run)}
        value = take_optional(entry, f"values[{index}]", float)
        if value is not None:
            values[decode_cell(metric)] = value
    return values


def _decode_run(run: Mapping[str, object], values: Mapping[Cell, float]) -> Run:
    distributions = take_map(run, "distributions", dict)
    return Run(
        name=take(run, "name", str),
        values=values,
        absent={decode_cell(entry): Absent(take(entry, "reason", str)) for entry in take_all(run, "absent", dict)},
        distributions={name: _decode_distribution(entry) for name, entry in distributions.items()},
        requests=take(run, "requests", int),
        errors=take(run, "errors", int),
        error_kinds=take_map(run, "error_kinds", int),
        duration_s=take(run, "duration_s", float),
        certificate=take_value(run, "certificate", Certificate),
        witness=take_map(run, "witness", float),
        problems=take_all(run, "problems", str),
        notes=take_all(run, "notes", str),
    )


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
