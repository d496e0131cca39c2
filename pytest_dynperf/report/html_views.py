"""What the page shows of each case, arranged: rows, drawings, tables. Texts and drawings come from their own modules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.measurement import Measurement
from pytest_dynperf.report import wording
from pytest_dynperf.report.meaning import in_catalogue_order, label, meaning_of, unit_of
from pytest_dynperf.report.pair_strip import pair_strip
from pytest_dynperf.report.rows import Row, provenance_changes, rows
from pytest_dynperf.report.run_dots import run_dots
from pytest_dynperf.report.scale_text import compared, differences
from pytest_dynperf.report.spread import Spread, spread
from pytest_dynperf.report.standing import Standing, standing
from pytest_dynperf.run_directory import safe_name
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from pytest_dynperf.measurement.measurement import Distribution, Duet, Pair, Run
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.report.drilldown import CaseDrilldown, Drilldown
    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.verdict.annotations import Annotations
    from pytest_dynperf.verdict.verdict import CellVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLine:
    """A cell of one session of runs: its values per run as text, or why there are none."""

    name: str
    id: str
    values: tuple[str, ...]
    absent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The pairs of one cell: what they say in words, and as a drawing."""

    name: str
    change: str
    pairs: str
    texts: tuple[str, ...]
    drawing: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """The runs of one cell as a drawing."""

    name: str
    drawing: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """One case on the page. ``rows`` are its judged cells, ``others`` the rest, ``confirming`` what the fresh session saw of the judged
    ones; ``strips`` the pairs of a duet, decisive cells first, and ``duet_runs`` all their runs; ``dots`` the runs of its judged cells, and
    ``spreads`` the distributions of their metrics; ``anchor`` is unique within the page, and what the ids of its rows begin with.

    ``shown`` is its name in tables: without the suite where the session has one suite only.
    """

    result: CaseResult
    anchor: str
    shown: str
    rows: tuple[Row, ...]
    others: tuple[MetricLine, ...]
    confirming: tuple[MetricLine, ...]
    changes: tuple[tuple[str, str, str], ...]
    strips: tuple[Strip, ...]
    duet_runs: Measurement | None
    dots: tuple[Dots, ...]
    spreads: tuple[Spread, ...]
    drilldown: CaseDrilldown

    @property
    def standing(self) -> Standing:
        """How the case stands."""
        return standing(self.result.verdict)

    @property
    def has_card(self) -> bool:
        """Whether it is told before the table: what failed, and what is waived."""
        return self.standing.fails or self.standing.waived

    def row_anchor(self, row: Row | None) -> str:
        """Of a line of the table: the case's anchor without its first word, then metric and statistic."""
        own = self.anchor.removeprefix("case-")
        return f"row-{own}" if row is None else f"row-{own}-{safe_name(row.cell.cell.metric)}-{safe_name(row.cell.cell.statistic)}"


def case_views(results: Sequence[CaseResult], annotations: Annotations | None, drilldown: Drilldown) -> list[CaseView]:
    """Worst first, like the table."""
    ordered = sorted(results, key=lambda result: -standing(result.verdict).severity)
    one_suite = len({result.case.suite for result in results}) == 1
    views = []
    taken: set[str] = set()
    for result in ordered:
        anchor = f"case-{safe_name(result.case.name)}"
        while anchor in taken:
            anchor += "-"
        taken.add(anchor)
        own = drilldown.of(result.case.name)
        views.append(
            CaseView(
                result=result,
                anchor=anchor,
                shown=result.case.case_id if one_suite else result.case.name,
                rows=tuple(rows([result], annotations)),
                others=_other_metrics(result),
                confirming=_confirming_metrics(result),
                changes=tuple(provenance_changes(result)),
                strips=tuple(_strips(result)),
                duet_runs=_duet_runs(result.duet),
                dots=tuple(_dots(result)),
                spreads=tuple(_spreads(result, own)),
                drilldown=own,
            )
        )
    return views


def _other_metrics(result: CaseResult) -> tuple[MetricLine, ...]:
    if result.measurement is None:
        return ()
    judged = {cell.cell for cell in result.verdict.cells}
    cells = {cell: None for run in result.measurement.runs for cell in (*run.values, *run.absent) if cell not in judged}
    return tuple(_metric_line(cell, result.measurement.runs, result) for cell in in_catalogue_order(cells))


def _confirming_metrics(result: CaseResult) -> tuple[MetricLine, ...]:
    if result.confirmation is None:
        return ()
    return tuple(_metric_line(cell.cell, result.confirmation.runs, result) for cell in result.verdict.cells)


def _metric_line(cell: Cell, runs: Sequence[Run], result: CaseResult) -> MetricLine:
    unit = unit_of(cell.metric, result.meanings)
    seen = any(cell in run.values for run in runs)
    reasons = [run.absent[cell].reason for run in runs if cell in run.absent]
    return MetricLine(
        name=label(cell),
        id=cell.metric,
        values=tuple(wording.quantity(run.values.get(cell), unit) for run in runs),
        absent=None if seen else wording.absent(reasons[0] if reasons else ""),
    )


def _duet_runs(duet: Duet | None) -> Measurement | None:
    """The runs of both arms, each named by its pair, in the order in which they were measured."""
    if duet is None:
        return None
    return Measurement(runs=_arms(duet.pairs), discarded=_arms(duet.discarded), problems=duet.problems)


def _arms(pairs: Sequence[Pair]) -> tuple[Run, ...]:
    found: list[Run] = []
    for number, pair in enumerate(pairs, 1):
        arms = [replace(pair.candidate, name=f"pair {number}, candidate"), replace(pair.control, name=f"pair {number}, control")]
        found += arms if pair.candidate_first else reversed(arms)
    return tuple(found)


def _strips(result: CaseResult) -> Iterator[Strip]:
    for cell in sorted(result.verdict.cells, key=lambda cell: (not cell.decisive, -cell.outcome)):
        means = meaning_of(cell.cell.metric, result.meanings)
        found = differences(cell, means)
        said = compared(cell, means)
        if not cell.pairs or not found or said.drawn is None:
            continue
        texts = tuple(text for _, text in found)
        pairs = wording.counted(len(found), "pair")
        drawing = pair_strip(
            found,
            tolerance=said.drawn.tolerance,
            tolerance_text=said.tolerance,
            kind=_kind(cell, result),
            words=f"{label(cell.cell)}, candidate against control, {pairs}: {', '.join(texts)}",
        )
        yield Strip(name=label(cell.cell), change=said.change, pairs=pairs, texts=texts, drawing=drawing)


def _kind(cell: CellVerdict, result: CaseResult) -> str:
    return Standing(cell.outcome, waived=standing(result.verdict).waived and cell.outcome is Outcome.REGRESSED).kind


def _dots(result: CaseResult) -> Iterator[Dots]:
    """The runs of each judged cell below what they are held against."""
    for cell in result.verdict.cells:
        if not cell.values:
            continue
        unit = unit_of(cell.cell.metric, result.meanings)

        def shown(values: Sequence[float], unit: str | None = unit) -> list[float]:
            return [wording.scaled(value, unit) for value in values]

        baseline = None if cell.baseline is None else wording.scaled(cell.baseline, unit)
        candidate = None if cell.candidate is None else wording.scaled(cell.candidate, unit)
        before = ("control", shown(cell.control_values)) if cell.control_values else ("baseline", shown(cell.history))
        drawn = [(before[0], "before", before[1], baseline), ("now", _kind(cell, result), shown(cell.values), candidate)]
        each = "sessions' medians" if before[0] == "baseline" else "runs"
        told = f"{label(cell.cell)}: {len(cell.values)} runs now" + (f", {len(before[1])} {each} of the {before[0]}" if before[1] else "")
        yield Dots(name=label(cell.cell), drawing=run_dots(drawn, unit=wording.unit_shown(unit), words=told))


def _spreads(result: CaseResult, drilldown: CaseDrilldown) -> Iterator[Spread]:
    runs = result.measurement.runs if result.measurement else ()
    for metric in dict.fromkeys(cell.cell.metric for cell in result.verdict.cells):
        now: list[Distribution] = [run.distributions[metric] for run in runs if metric in run.distributions]
        name = next(label(cell.cell).removesuffix(f" {cell.cell.statistic}") for cell in result.verdict.cells if cell.cell.metric == metric)
        found = spread(metric, name, now, drilldown.baseline.get(metric, ()), result.meanings)
        if found is not None:
            yield found
