"""Counters that start again, and label sets that come late: one column that never falls. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.telemetry.prometheus import Labels


def cumulated(readings: Sequence[Mapping[Labels, float]]) -> tuple[float, ...]:
    """What all label sets together have counted since the first reading, at each reading; the first value is 0.

    A value below the one before is a process that started again: it has counted from 0. A label set that was not there has counted from 0
    as well (clients make it when they first use it). One that is gone keeps what it had. A process that started again and has already
    counted past its old value is taken for one that went on: its increase is then too small, by the old value.
    """
    last: dict[Labels, float] = dict(readings[0]) if readings else {}
    total, column = 0.0, []
    for reading in readings:
        for labels, value in reading.items():
            before = last.get(labels, 0.0)
            total += value - before if value >= before else value
            last[labels] = value
        column.append(total)
    return tuple(column)
