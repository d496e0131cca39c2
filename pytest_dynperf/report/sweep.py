"""Which charts a session can show: per suite, what happens over concurrency. Picks points; computes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.report.chart import Chart, Series
from pytest_dynperf.report.meaning import ITL, PER_GPU, PER_USER, THROUGHPUT, TTFT, label, unit_of
from pytest_dynperf.report.wording import scaled, unit_shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.report.chart import Point
    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.verdict.verdict import CellVerdict

_CONCURRENCY = "traffic.concurrency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One suite's charts. ``legend`` gives label and style of each series, the same ones in every chart."""

    suite: str
    question: str
    charts: tuple[Chart, ...]
    legend: tuple[tuple[str, int], ...]


def sweeps(results: Sequence[CaseResult]) -> list[Sweep]:
    """Suites that measured at two concurrencies or more, in the order of the session. Invalid cases have no points."""
    found = []
    for suite in dict.fromkeys(result.case.suite for result in results):
        members = [result for result in results if result.case.suite == suite and _has_values(result)]
        members = [result for result in members if result.case.traffic.arrival.closed]
        if len({result.case.traffic.slots for result in members}) < 2:
            continue
        groups: dict[str, list[CaseResult]] = {}
        for result in sorted(members, key=lambda result: result.case.traffic.slots):
            groups.setdefault(_series_label(result), []).append(result)
        charts = [_over_concurrency(suite, cell, groups) for cell in (THROUGHPUT, TTFT, ITL)]
        charts.append(_frontier(suite, groups))
        found.append(
            Sweep(
                suite=suite,
                question=members[0].case.question,
                charts=tuple(chart for chart in charts if any(series.points for series in chart.series)),
                legend=tuple((name, style) for style, name in enumerate(groups)),
            )
        )
    return found


def _has_values(result: CaseResult) -> bool:
    return result.measurement is not None and any(run.values for run in result.measurement.runs)


def _series_label(result: CaseResult) -> str:
    """Everything that differs within the scenario but the concurrency."""
    return ", ".join(value for key, value in result.case.axes if key != _CONCURRENCY) or result.case.topology.mode


def _verdict_of(result: CaseResult, cell: Cell) -> CellVerdict | None:
    return next((found for found in result.verdict.cells if found.cell == cell), None)


def _over_concurrency(suite: str, cell: Cell, groups: dict[str, list[CaseResult]]) -> Chart:
    unit = unit_of(cell.metric, {})
    name = label(cell)
    series = []
    for style, (group, results) in enumerate(groups.items()):
        points: list[Point] = []
        line: list[Point | None] = []
        baseline: list[Point | None] = []
        for result in results:
            at = float(result.case.traffic.slots)
            runs = result.measurement.runs if result.measurement else ()
            points += [(at, scaled(run.values[cell], unit)) for run in runs if cell in run.values]
            verdict = _verdict_of(result, cell)
            line.append(_at(at, verdict.candidate if verdict else None, unit))
            baseline.append(_at(at, verdict.baseline if verdict else None, unit))
        series.append(Series(label=group, style=style, points=tuple(points), line=tuple(line), baseline=tuple(baseline)))
    return Chart(
        title=f"{name} over concurrency, {suite}",
        description=f"Marks are single runs, solid lines the medians, dashed lines the baseline; {len(groups)} series.",
        x_label="concurrency (requests in flight)",
        y_label=f"{name}, {unit_shown(unit)}",
        series=tuple(series),
        x_doubling=True,
    )


def _at(x: float, value: float | None, unit: str | None) -> Point | None:
    return None if value is None else (x, scaled(value, unit))


def _frontier(suite: str, groups: dict[str, list[CaseResult]]) -> Chart:
    """Throughput against tokens/s/user: per GPU where every case knows its GPUs, else of the whole deployment."""
    all_runs = [run for results in groups.values() for result in results if result.measurement for run in result.measurement.runs]
    per_gpu = all(PER_GPU in run.values for run in all_runs if THROUGHPUT in run.values)
    cell = PER_GPU if per_gpu else THROUGHPUT
    unit = unit_of(cell.metric, {})
    series = []
    for style, (group, results) in enumerate(groups.items()):
        points: list[Point] = []
        notes: list[tuple[float, float, str]] = []
        for result in results:
            runs = result.measurement.runs if result.measurement else ()
            here = [(run.values[PER_USER], run.values[cell]) for run in runs if cell in run.values and PER_USER in run.values]
            points += here
            notes += [(*place, f"c{result.case.traffic.concurrency}") for place in here[:1]]
        series.append(Series(label=group, style=style, points=tuple(points), notes=tuple(notes)))
    return Chart(
        title=f"throughput against speed for one user, {suite}",
        description="Marks are single runs, named by concurrency; up and to the right is better; the grey steps are the frontier: no other "
        f"case gives more throughput at that speed; {len(groups)} series.",
        x_label=f"speed for one user (p50), {unit_shown(unit_of(PER_USER.metric, {}))}",
        y_label=f"throughput, {unit_shown(unit)}",
        series=tuple(series),
        frontier=_undominated([_middle(result, cell) for results in groups.values() for result in results]),
    )


def _middle(result: CaseResult, cell: Cell) -> tuple[float, float] | None:
    """Medians over the runs of a case."""
    runs = result.measurement.runs if result.measurement else ()
    here = [(run.values[PER_USER], run.values[cell]) for run in runs if cell in run.values and PER_USER in run.values]
    return (median(x for x, _ in here), median(y for _, y in here)) if here else None


def _undominated(places: Sequence[Point | None]) -> tuple[Point, ...]:
    """Those with none above and to the right, from left to right."""
    kept: list[Point] = []
    for place in sorted((place for place in places if place is not None), reverse=True):
        if not kept or place[1] > kept[-1][1]:
            kept.append(place)
    return tuple(reversed(kept))
