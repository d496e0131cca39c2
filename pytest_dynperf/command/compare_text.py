"""What ``dynperf compare`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.report.duet_text import told
from pytest_dynperf.report.meaning import label
from pytest_dynperf.report.scale_text import compared, value_text
from pytest_dynperf.report.wording import counted, instant
from pytest_dynperf.report.wrapping import printable, wrapped
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_dynperf.metrics.definition import Meaning
    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.session.compared import CaseComparison, Compared, Texts
    from pytest_dynperf.verdict.verdict import CellVerdict

TWO_ALONE = (
    "Two sessions alone say nothing of how sessions scatter: nothing smaller than the MDE (smallest difference found with 80 % power) can "
    "be told from noise. More sessions on side A, or a control (--dynperf-control), make it smaller."
)
_TITLES = ("metric", "A", "B", "change [90 %]", "MDE", "")


def comparison_lines(before: Sequence[SessionReport], now: SessionReport, found: Compared, *, width: int, verbose: bool) -> list[str]:
    """Both sides, each case with its table and what else differs, and last the cases in only one of them."""
    sides = ", ".join(f"{one.session_id} of {instant(one.stamp)}" for one in before)
    lines = wrapped(f"A: {counted(len(before), 'session')}: {sides}", width)
    lines += wrapped(f"B: {now.session_id} of {instant(now.stamp)}", width)
    if any(case.cells and case.sessions == 1 for case in found.cases):
        lines += wrapped(TWO_ALONE, width)
    for case in found.cases:
        lines += ["", *_case_lines(case, width, verbose=verbose)]
    for side, names in (("A", found.only_a), ("B", found.only_b)):
        lines += [line for name in names for line in wrapped(f"only in {side}: {name}", width)]
    if not found.cases:
        lines.append("no case is on both sides: nothing was compared")
    return [printable(line) for line in lines]


def _case_lines(case: CaseComparison, width: int, *, verbose: bool) -> list[str]:
    heading = case.case if case.problem else f"{case.case} ({counted(case.sessions, 'session')} on side A)"
    lines = wrapped(heading, width)
    if case.problem is not None:
        lines += wrapped(f"not compared: {case.problem}", width, "  ")
    # A cell that no gate names is worth a line only where it says something: of many cells, some are always within the noise.
    shown = [cell for cell in case.cells if verbose or cell.decisive or cell.outcome in (Outcome.REGRESSED, Outcome.IMPROVED)]
    lines += _table([_texts(cell, case.meanings) for cell in shown], width)
    if len(shown) < len(case.cells):
        lines.append(f"  {counted(len(case.cells) - len(shown), 'more cell')} where nothing is shown (-v lists them)")
    lines += list(_differing("differs in what binds", case.environment, width)) if case.problem is None else []
    return lines + list(_differing("differs", case.provenance, width))


def _texts(cell: CellVerdict, meanings: Mapping[str, Meaning]) -> tuple[str, ...]:
    means = meanings.get(cell.cell.metric)
    texts = compared(cell, means)
    finding = _finding(cell)
    if finding == "" and cell.reasons:
        finding = cell.reasons[0]
    return (
        label(cell.cell),
        value_text(cell.baseline, means),
        value_text(cell.candidate, means),
        texts.change,
        texts.mde,
        finding if cell.decisive else f"({finding})",
    )


def _finding(cell: CellVerdict) -> str:
    """In words; empty where nothing was compared."""
    if cell.delta is None:
        return ""
    return {
        Outcome.REGRESSED: "worse",
        Outcome.INCONCLUSIVE: "perhaps worse: within the noise or the tolerance",
        Outcome.IMPROVED: "better",
        Outcome.UNCHANGED: "no difference shown",
    }.get(cell.outcome, "")


def _table(texts: Sequence[tuple[str, ...]], width: int) -> list[str]:
    """In columns where they fit, else a cell over several lines."""
    if not texts:
        return []
    widths = [max(len(row[column]) for row in [*texts, _TITLES]) for column in range(len(_TITLES) - 1)]
    last = max(len(row[-1]) for row in texts)
    if 2 + sum(widths) + 2 * len(widths) + last <= width:
        return [
            "  " + "  ".join([*(text.ljust(size) for text, size in zip(row, widths, strict=False)), row[-1]]).rstrip()
            for row in [_TITLES, *texts]
        ]
    lines = []
    for metric, before, now, change, mde, finding in texts:
        lines += wrapped(f"{metric}: {finding}", width, "  ") + wrapped(f"{before} → {now}, {change}, MDE {mde}", width, "    ")
    return lines


def _differing(title: str, texts: Texts, width: int) -> Iterator[str]:
    for name, (before, now) in texts.items():
        yield from wrapped(f"{title}: {name} {told(name, before)} → {told(name, now)}", width, "  ")
