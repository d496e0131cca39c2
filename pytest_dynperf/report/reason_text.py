"""Why a case has its outcome, for people: the verdict's sentences, each said once with all the metrics that it is true of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.report.meaning import label
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_dynperf.verdict.verdict import CellVerdict, Verdict

_EXPLAINED = (Outcome.INVALID, Outcome.INCOMPARABLE, Outcome.INCONCLUSIVE)
"""Outcomes that say nothing by themselves."""


def of_cell(reason: str, cells: tuple[CellVerdict, ...]) -> tuple[CellVerdict, str] | None:
    """The cell that a verdict's sentence begins with, and the rest of it; ``None`` where it is about the whole case."""
    return next(((cell, reason.removeprefix(f"{cell.cell}: ")) for cell in cells if reason.startswith(f"{cell.cell}: ")), None)


def reasons(verdict: Verdict, *, but: Collection[CellVerdict] = ()) -> tuple[str, ...]:
    """``throughput, ITL p50: worse by more than …``: in the verdict's order, cells by the names that tables have; those in ``but`` are left
    out.
    """
    said: dict[str, list[str]] = {}
    for reason in verdict.reasons:
        found = of_cell(reason, verdict.cells)
        if found is not None and found[0] in but:
            continue
        text, names = (reason, []) if found is None else (found[1], [label(found[0].cell)])
        said.setdefault(text, []).extend(names)
    return tuple(f"{', '.join(names)}: {text}" if names else text for text, names in said.items())


def explanation(verdict: Verdict) -> tuple[str, ...]:
    """What the summary says of an outcome that does not speak for itself: the first reason, and of an open case also what kept a second
    measurement away (a budget that is spent, a control that cannot be had).
    """
    if verdict.outcome not in _EXPLAINED:
        return ()
    texts = reasons(verdict)
    if verdict.outcome is not Outcome.INCONCLUSIVE:
        return texts[:1]
    whole = {reason for reason in verdict.reasons if of_cell(reason, verdict.cells) is None}
    return tuple(text for place, text in enumerate(texts) if not place or text in whole)
