"""A verdict in the light of what people have agreed to live with. In: a verdict and all waivers. Out: the verdict with those that count.

A waiver changes no outcome: what regressed is shown as regressed. It says that the case need not fail for it.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pytest_dynperf.verdict.verdict import Outcome, Verdict

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable

    from pytest_dynperf.baseline.waiver import Waiver
    from pytest_dynperf.metrics.definition import Cell


def waive(verdict: Verdict, *, case_name: str, waivers: Iterable[Waiver], today: datetime.date) -> Verdict:
    """``verdict`` with ``waiver`` and ``expired`` set; ``case_name`` is ``suite/case_id``.

    ``waiver`` is set where the case regressed and every decisive cell that did is covered by a waiver that has not expired (of several, the
    one that expires first). A lost parity is covered by one that names no metric. Where a decisive cell or the parity is *invalid*
    ``waiver`` is not set: what must not be judged cannot be lived with. ``expired`` are the case's waivers whose day is over, whatever the
    outcome: each makes the case fail until somebody renews or removes it.
    """
    ours = [waiver for waiver in waivers if fnmatchcase(case_name, waiver.case)]
    expired = tuple(waiver for waiver in ours if waiver.expires < today)
    valid = [waiver for waiver in ours if waiver.expires >= today]
    return replace(verdict, waiver=_covering(verdict, valid), expired=expired)


def _covering(verdict: Verdict, valid: list[Waiver]) -> Waiver | None:
    decisive = [cell for cell in verdict.cells if cell.decisive]
    regressed: list[Cell | None] = [cell.cell for cell in decisive if cell.outcome is Outcome.REGRESSED]
    if verdict.parity is Outcome.REGRESSED:
        regressed.append(None)
    invalid = verdict.parity is Outcome.INVALID or any(cell.outcome is Outcome.INVALID for cell in decisive)
    if verdict.outcome is not Outcome.REGRESSED or not regressed or invalid:
        return None
    covering = [[waiver for waiver in valid if _covers(waiver, cell)] for cell in regressed]
    if not all(covering):
        return None
    return min((waiver for found in covering for waiver in found), key=lambda waiver: waiver.expires)


def _covers(waiver: Waiver, cell: Cell | None) -> bool:
    """``None`` stands for the answers, which are no cell."""
    return waiver.metric is None or (cell is not None and waiver.metric in (cell.metric, cell.metric.rsplit(".v", 1)[0]))
