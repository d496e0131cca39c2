"""What a session could not have seen, and what would decide a case that is open. Words around numbers that the judge computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.report import wording
from pytest_dynperf.report.meaning import meaning_of
from pytest_dynperf.report.scale_text import compared
from pytest_dynperf.verdict.sequential import LOOKS
from pytest_dynperf.verdict.verdict import Means, Outcome, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.verdict.verdict import CellVerdict


def underpowered_sentence(results: Sequence[CaseResult]) -> str:
    """How many decisive cells could have hidden a regression of their tolerance, how large an MDE they have, and what helps. Empty where
    there is none.
    """
    judged = [(result, cell) for result in results for cell in result.verdict.cells if cell.decisive and cell.delta is not None]
    weak = [(result, cell) for result, cell in judged if cell.underpowered]
    if not weak:
        return ""
    sizes = [text for text in (_span([pair for pair in weak if _per_cent(pair[1]) is kind]) for kind in (True, False)) if text]
    help_ = "More baseline sessions" + ("" if all(result.duet_possible for result, _ in weak) else " or --dynperf-control")
    return (
        f"{len(weak)} of {wording.counted(len(judged), 'cell')} could not have shown a regression of "
        f"{'its' if len(weak) == 1 else 'their'} tolerance" + (f": MDE {', '.join(sizes)}" if sizes else "") + f". {help_} would help."
    )


def _per_cent(cell: CellVerdict) -> bool:
    return cell.scale is Scale.LOG


def _span(cells: Sequence[tuple[CaseResult, CellVerdict]]) -> str:
    """``8 to 15 %``; ``8 %`` where both ends are the same."""
    sized = [(cell.mde, result, cell) for result, cell in cells if cell.mde is not None]
    if not sized:
        return ""
    texts = [
        compared(cell, meaning_of(cell.cell.metric, result.meanings)).mde
        for _, result, cell in (min(sized, key=lambda one: one[0]), max(sized, key=lambda one: one[0]))
    ]
    low, high = texts
    if low == high or wording.ABSENT in texts:
        return high
    return f"{low.rsplit(' ', 1)[0] if low.split(' ')[-1] == high.split(' ')[-1] else low} to {high}"


def what_decides(result: CaseResult) -> str:
    """What would make an inconclusive case conclusive; empty for every other outcome."""
    verdict = result.verdict
    if verdict.outcome is not Outcome.INCONCLUSIVE:
        return ""
    if verdict.parity is Outcome.INCONCLUSIVE and not any(cell.decisive and cell.suspect for cell in verdict.cells):
        return "what would decide it: more items in every arm"
    pairs = max((cell.pairs for cell in verdict.cells), default=0)
    if pairs >= LOOKS[-1]:
        return f"{pairs} pairs are the most that are measured; runs that scatter less would decide it: longer ones, or a quieter machine"
    if pairs:
        return f"more pairs would decide it: {pairs} of at most {LOOKS[-1]} were measured; measure again with a larger --dynperf-budget"
    sessions = max((cell.sessions for cell in verdict.cells), default=0)
    ways = [] if result.duet_possible else ["--dynperf-control (pairs with the version before, on this machine)"]
    if verdict.means is Means.FRESH_SESSION:
        ways.append(f"more baseline sessions ({sessions} now)")
        return f"what would decide it: {' or '.join(ways)}"
    ways.append("a larger --dynperf-budget")
    return f"what would decide it: a second measurement, by {' or '.join(ways)}"
