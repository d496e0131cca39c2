"""Where a regression may come from, in words that claim no more than that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.report import wording
from pytest_dynperf.report.meaning import direction_of, label, meaning_of
from pytest_dynperf.report.scale_text import value_text
from pytest_dynperf.report.wording import ABSENT
from pytest_dynperf.verdict.stage import RECORDED

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.verdict.suspicion import Suspicion

_NONE = "(none)"
SHORT = 3
"""A failure text names this many; the page names all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspected:
    """One place to look first: ``what`` (``decode``, ``recorded change``), ``sentence`` and ``evidence`` (before → now), which may be
    empty.
    """

    what: str
    sentence: str
    evidence: str


def suspected(result: CaseResult) -> tuple[Suspected, ...]:
    """All of a case, the strongest first."""
    return tuple(Suspected(what=one.what, sentence=one.sentence, evidence=_evidence(one, result)) for one in result.suspicions)


def lines(result: CaseResult, *, recorded: bool = True) -> list[str]:
    """At most :data:`SHORT` and a count of the rest. Without ``recorded`` changes where they have been listed already."""
    found = [one for one in suspected(result) if recorded or one.what != RECORDED]
    texts = [f"{one.what}: {one.sentence}" + (f" ({one.evidence})" if one.evidence else "") for one in found[:SHORT]]
    return texts if len(found) <= SHORT else [*texts[:-1], f"{texts[-1]}; {len(found) - SHORT} more in the report"]


def _evidence(one: Suspicion, result: CaseResult) -> str:
    if one.name is not None:
        if one.what != RECORDED and one.text_before is None:
            return f"{one.name}: {one.text_now or ABSENT}"  # nothing to compare it with
        return f"{one.name}: {one.text_before or _NONE} → {one.text_now or _NONE}"
    if one.cell is None or one.before is None or one.now is None:
        return ""
    means = meaning_of(one.cell.metric, result.meanings)
    ratio = means is None or means.kind is Kind.MAGNITUDE  # of a rate before and now say it
    change = f", {wording.change(one.delta, direction_of(one.cell.metric, result.meanings))}" if ratio and one.delta is not None else ""
    return f"{label(one.cell)}: {value_text(one.before, means)} → {value_text(one.now, means)}{change}"
