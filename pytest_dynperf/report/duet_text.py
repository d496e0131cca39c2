"""A duet in words: with what the candidate was compared, in how many pairs, and what differs between the arms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.environment import differences
from pytest_dynperf.report.wording import counted
from pytest_dynperf.verdict.verdict import Means

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import CaseResult

NOT_RECORDED = "(not recorded)"
NOT_NAMED = "(not named)"


def decided_by(result: CaseResult) -> str:
    """What decided the suspects of a case: ``a fresh session``, or the duet in words; empty where nothing did."""
    if result.verdict.means is Means.DUET and result.duet is not None:
        return against(result)
    if not result.verdict.confirmed:
        return ""
    return result.confirmed_by or "a fresh session"


def against(result: CaseResult) -> str:
    """``10 pairs side by side against a control: the same case, run by …``; with the pairs that were invalid and repeated. Empty without a
    duet.
    """
    duet = result.duet
    if duet is None:
        return ""
    repeated = f" ({counted(len(duet.discarded), 'more pair')} invalid and repeated)" if duet.discarded else ""
    return f"{counted(len(duet.pairs), 'pair')} {layout(duet.layout)} against a control: {duet.control or NOT_NAMED}{repeated}"


def layout(name: str) -> str:
    """``side by side``; ``in blocks (ABBA, one deployment at a time)``."""
    return "in blocks (ABBA, one deployment at a time)" if name == "blocks" else name


def arm_changes(result: CaseResult) -> list[tuple[str, str, str]]:
    """``(name, control's text, ours)`` of what is recorded and differs between the arms: what the pairs compare. Empty without a duet, and
    where nothing was recorded of the control.
    """
    if result.duet is None or result.environment is None or not result.duet.control_provenance:
        return []
    changed = differences(result.environment.provenance, result.duet.control_provenance)
    return [(name, told(name, theirs), told(name, ours)) for name, (ours, theirs) in changed.items()]


def told(name: str, text: str | None) -> str:
    """A text of provenance. Arguments and overrides are recorded only where there are any: a side without them had none."""
    if text:
        return text
    return "(none)" if name.endswith((".args", "dynperf.set")) else NOT_RECORDED
