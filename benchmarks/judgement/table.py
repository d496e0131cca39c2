"""Markdown of results. Pure: numbers in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.judgement.study import CVS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.judgement.published import Numbers
    from benchmarks.judgement.study import Result, Setting, Share

CV_COLUMNS = [f"CV {cv:.0%}".replace("%", " %") for cv in CVS]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is text."""
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def number(per_cent: float) -> str:
    """Three figures at most; small ones with two decimals."""
    if per_cent < 2:
        return f"{per_cent:.2f}".removeprefix("0")
    return f"{per_cent:.1f}" if per_cent < 10 or 94 <= per_cent < 99.95 else f"{per_cent:.0f}"


def side_by_side(published: Mapping[str, Sequence[Numbers]], found: Sequence[Mapping[str, Sequence[Share]]]) -> str:
    """False alarms / power at +3 / +5 / +10 % in per cent: what was published, below it what was found here with its standard error."""
    rows = []
    for name, cells in published.items():
        rows.append([name, "published", *(_stated(cell) for cell in cells)])
        rows.append(["", "here", *(" / ".join(_with_error(share) for share in at_cv[name]) for at_cv in found)])
    return markdown(["rule", "", *CV_COLUMNS], rows)


def _stated(cell: Numbers) -> str:
    return " / ".join("" if value is None else f"{value:g}" for value in cell) if cell else "not stated"


def _with_error(share: Share) -> str:
    return f"{number(share.value * 100)} ± {number(share.error * 100)}"


def of_rule(results: Sequence[Sequence[Result]]) -> str:
    """One rule, cell by cell: rows are run CVs, ``results`` has the changes 0, 3, 5 and 10 % of each."""
    powers = ["false alarms %", "power % at +3 %", "+5 %", "+10 %"]
    header = ["run CV", *powers, "runs at 0", "+3 %", "+5 %", "+10 %", "inconclusive % at 0 / +3 / +5 / +10"]
    rows = []
    for cv, changes in zip(CVS, results, strict=True):
        shares = [_with_error(result.regressed) for result in changes]
        runs = [f"{result.runs:.1f}" for result in changes]
        rows.append([f"{cv:.0%}".replace("%", " %"), *shares, *runs, " / ".join(number(one.inconclusive.value * 100) for one in changes)])
    return markdown(header, rows)


def of_settings(found: Sequence[tuple[Setting, Sequence[Sequence[Result]]]]) -> str:
    """Many settings, one a row; four numbers are those at run CV 1, 2, 4 and 8 %."""
    header = ["", "false alarms %", "power % at +3 %", "+5 %", "+10 %", "runs at 0", "runs at +5 %", "inconclusive % at +5 %"]
    rows = []
    for setting, results in found:
        shares = [" / ".join(number(at_cv[change].regressed.value * 100) for at_cv in results) for change in range(4)]
        runs = [" / ".join(f"{at_cv[change].runs:.1f}" for at_cv in results) for change in (0, 2)]
        open_ = " / ".join(number(at_cv[2].inconclusive.value * 100) for at_cv in results)
        rows.append([setting.name, *shares, *runs, open_])
    return markdown(header, rows)
