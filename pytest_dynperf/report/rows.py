"""The judged cells of a session as rows of words, worst first: what the terminal's table and the page's table both show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.environment import differences
from pytest_dynperf.report import wording
from pytest_dynperf.report.annotations_text import SURVIVES
from pytest_dynperf.report.duet_text import told
from pytest_dynperf.report.meaning import label, meaning_of
from pytest_dynperf.report.scale_text import Compared, compared, value_text, values_text
from pytest_dynperf.report.standing import Standing, standing
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.verdict.annotations import Annotations
    from pytest_dynperf.verdict.verdict import CellVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One judged cell: what it is made of, and its texts. ``baseline`` is the control's value after a duet, and ``pairs`` says in how many
    pairs (``10 pairs``, else empty). ``standing`` is that of the cell: a regressed one is waived where its case is.
    """

    result: CaseResult
    cell: CellVerdict
    standing: Standing
    metric: str
    baseline: str
    now: str
    texts: Compared
    verdict: str
    runs: str
    pairs: str

    @property
    def runs_short(self) -> str:
        """For a narrow column: of pairs only how far the candidate's runs reach."""
        if not self.pairs or not self.cell.values:
            return self.runs
        ends = values_text((min(self.cell.values), max(self.cell.values)), meaning_of(self.cell.cell.metric, self.result.meanings))
        return ends.replace(", ", " to ", 1)

    @property
    def change(self) -> str:
        """Delta with its interval."""
        return self.texts.change

    @property
    def mde(self) -> str:
        """The smallest regression found with 80 % power."""
        return self.texts.mde

    @property
    def certainty(self) -> tuple[str, ...]:
        """Limit, tolerance, MDE and what it was compared with, each with its name."""
        named = (("limit", self.texts.limit), ("tolerance", self.texts.tolerance), ("MDE", self.texts.mde))
        against = f"{self.pairs} with a control" if self.pairs else f"{wording.counted(self.cell.sessions, 'session')} of baseline"
        return (*(f"{name} {text}" for name, text in named if text != wording.ABSENT), against)


def rows(results: Iterable[CaseResult], annotations: Annotations | None = None) -> list[Row]:
    """Worst cases first, in them the worst cells first; equal ones stay in the order of the session."""
    found = [row_of(result, cell, annotations) for result in results for cell in result.verdict.cells]
    return sorted(found, key=lambda row: (-standing(row.result.verdict).severity, -row.cell.outcome, not row.cell.decisive))


def row_of(result: CaseResult, cell: CellVerdict, annotations: Annotations | None = None) -> Row:
    """The texts of one cell. The verdict of a cell that does not decide its case stands in parentheses."""
    means = meaning_of(cell.cell.metric, result.meanings)
    waived = cell.decisive and cell.outcome is Outcome.REGRESSED and result.verdict.waiver is not None
    own = Standing(cell.outcome, waived=waived)
    pairs = wording.counted(cell.pairs, "pair") if cell.pairs else ""
    survives = annotations is not None and (result.case.name, cell.cell) in annotations.survivors
    verdict = ", ".join([own.text, *([pairs] if pairs else [])])
    verdict = verdict if cell.decisive else f"({verdict})"
    return Row(
        result=result,
        cell=cell,
        standing=own,
        metric=label(cell.cell),
        baseline=value_text(cell.baseline, means),
        now=value_text(cell.candidate, means),
        texts=compared(cell, means),
        verdict=f"{verdict} {SURVIVES}" if survives else verdict,
        runs=values_text(cell.values, means),
        pairs=pairs,
    )


def provenance_changes(result: CaseResult) -> list[tuple[str, str, str]]:
    """``(name, baseline's text, ours)`` of what differs from the newest baseline: what may explain a change. Empty without a baseline."""
    if result.environment is None or not result.baseline_provenance:
        return []
    changed = differences(result.environment.provenance, result.baseline_provenance)
    return [(name, told(name, theirs), told(name, ours)) for name, (ours, theirs) in changed.items()]
