"""What people write for a cell, such as ``inter_token_latency/p50=3%``, and which cells of which sessions they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError, nearest
from pytest_dynperf.scenario.expectation import Gate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.report.session_report import CaseResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """``metric`` with or without its version; ``statistic`` ``None`` for every one. ``tolerance`` is a fraction. ``text`` is as written
    behind ``option``.
    """

    option: str
    text: str
    metric: str
    statistic: str | None
    tolerance: float

    def means(self, cell: Cell) -> bool:
        """Whether ``cell`` is among those that were asked for."""
        return self.metric in (cell.metric, cell.metric.rsplit(".v", 1)[0]) and self.statistic in (None, cell.statistic)


def parse(text: str, *, option: str) -> Asked:
    """``METRIC[/STATISTIC]=3%``, or ``=0.03``.

    :raises UsageError: for anything else; names ``option``.
    """
    name, equals, size = text.partition("=")
    metric, slash, statistic = name.strip().partition("/")
    if not (metric and equals) or (slash and not statistic):
        msg = f"{option} {text!r}: expected METRIC[/STATISTIC]=SIZE, such as inter_token_latency/p50=3%"
        raise UsageError(msg)
    return Asked(option=option, text=text, metric=metric, statistic=statistic or None, tolerance=_fraction(size.strip(), text, option))


def _fraction(size: str, text: str, option: str) -> float:
    try:
        value = float(size.removesuffix("%")) / (100 if size.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        msg = f"{option} {text!r}: {size!r} is no tolerance: expected per cent above 0 and below 100 such as 3%, or a fraction such as 0.03"
        raise UsageError(msg)
    return value


def tolerances(asked: Sequence[Asked], results: Iterable[CaseResult]) -> dict[Cell, float]:
    """By cell, for the gates of ``results``; the last of several that mean the same cell holds.

    :raises UsageError: where no gate is meant.
    """
    gated = {gate.cell for result in results for gate in result.case.expectation.gates}
    return {cell: one.tolerance for one in asked for cell in _meant(one, gated, "gate")}


def gates(asked: Sequence[Asked], results: Iterable[CaseResult]) -> tuple[Gate, ...]:
    """Decisive gates on the cells that ``results`` have values of, in the order asked for.

    :raises UsageError: where no cell is meant, or a statistic is needed to say which.
    """
    measured = {cell for result in results if result.measurement is not None for run in result.measurement.runs for cell in run.values}
    found: dict[Cell, Gate] = {}
    for one in asked:
        cells = _meant(one, measured, "measured cell")
        if len(cells) > 1:
            msg = (
                f"{one.option} {one.text!r}: say which statistic: {', '.join(sorted(f'{cell.metric}/{cell.statistic}' for cell in cells))}"
            )
            raise UsageError(msg)
        found[cells[0]] = Gate(cell=cells[0], tolerance=one.tolerance)
    return tuple(found.values())


def _meant(asked: Asked, cells: Iterable[Cell], noun: str) -> list[Cell]:
    known = sorted(cells)
    found = [cell for cell in known if asked.means(cell)]
    if not found:
        names = [f"{cell.metric.rsplit('.v', 1)[0]}/{cell.statistic}" for cell in known]
        near = nearest(f"{asked.metric}/{asked.statistic or ''}", names)
        msg = (
            f"{asked.option} {asked.text!r} means no {noun} of these sessions{near}. There are: {', '.join(dict.fromkeys(names)) or 'none'}"
        )
        raise UsageError(msg)
    return found
