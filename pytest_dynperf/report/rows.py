"""The judged cells of a session as rows of words, worst first: what the terminal's table and the page's table both show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.environment import differences
from pytest_dynperf.report import wording
from pytest_dynperf.report.meaning import direction_of, label, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.verdict.verdict import CellVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One judged cell: what it is made of, and its texts."""

    result: CaseResult
    cell: CellVerdict
    metric: str
    baseline: str
    now: str
    change: str
    mde: str
    verdict: str
    runs: str


def rows(results: Iterable[CaseResult]) -> list[Row]:
    """Worst cases first, in them the worst cells first; equal ones stay in the order of the session."""
    found = [row_of(result, cell) for result in results for cell in result.verdict.cells]
    return sorted(found, key=lambda row: (-row.result.verdict.outcome, -row.cell.outcome, not row.cell.decisive))


def row_of(result: CaseResult, cell: CellVerdict) -> Row:
    """The texts of one cell. The verdict of a cell that does not decide its case stands in parentheses."""
    unit, direction = unit_of(cell.cell.metric, result.meanings), direction_of(cell.cell.metric, result.meanings)
    return Row(
        result=result,
        cell=cell,
        metric=label(cell.cell),
        baseline=wording.quantity(cell.baseline, unit),
        now=wording.quantity(cell.candidate, unit),
        change=wording.change_with_interval(cell.delta, cell.interval, direction),
        mde=wording.size(cell.mde, direction),
        verdict=cell.outcome.text if cell.decisive else f"({cell.outcome.text})",
        runs=wording.quantities(cell.values, unit),
    )


def provenance_changes(result: CaseResult) -> list[tuple[str, str, str]]:
    """``(name, baseline's text, ours)`` of what differs from the newest baseline: what may explain a change. Empty without a baseline."""
    if result.environment is None or not result.baseline_provenance:
        return []
    changed = differences(result.environment.provenance, result.baseline_provenance)
    return [(name, theirs or "(not recorded)", ours or "(not recorded)") for name, (ours, theirs) in changed.items()]
