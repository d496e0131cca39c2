"""The values of one cell over the runs of a measurement: all of them, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.metrics.definition import Cell


def values(measurement: Measurement, cell: Cell) -> tuple[float, ...] | Absent:
    """One value per run, in the metric's unit and the order of the runs.

    Absent where the measurement is invalid or has no runs, and where a single run lacks the cell: a median over the runs that happen to
    have it would compare unlike with like.
    """
    if measurement.problems:
        return Absent(f"the measurement is invalid: {measurement.problems[0]}")
    if not measurement.runs:
        return Absent("there is no run")
    found = []
    for run in measurement.runs:
        if cell not in run.values:
            reason = run.absent[cell].reason if cell in run.absent else f"{cell.metric} {cell.statistic} is not computed"
            return Absent(f"run {run.name}: {reason}")
        found.append(run.values[cell])
    return tuple(found)
