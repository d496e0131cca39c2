"""Two sessions, or several and one, against each other: what changed, how sure that is, and what else differs.

The rule is that of the judge, with the sessions of side A as the baselines. With one session there, nothing is known of how sessions
scatter but the prior: then only changes from the smallest detectable one on can be told from noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.document import Baseline, BaselineRun
from pytest_dynperf.baseline.found import Found
from pytest_dynperf.baseline.proposal import binding_key
from pytest_dynperf.baseline.ring import RING
from pytest_dynperf.environment import differences
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.quantity import Direction
from pytest_dynperf.scenario.expectation import Gate
from pytest_dynperf.verdict.confirmation import confirm
from pytest_dynperf.verdict.judge import judge
from pytest_dynperf.verdict.terms import Terms
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.metrics.definition import Cell, Meaning
    from pytest_dynperf.report.session_report import CaseResult, SessionReport
    from pytest_dynperf.scenario.expectation import Expectation
    from pytest_dynperf.verdict.verdict import CellVerdict

SHOWN_TOLERANCE = 0.03
"""For cells that no gate names: they are compared for the reader and decide nothing."""

Texts = dict[str, tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseComparison:
    """One case on both sides. ``cells`` are those that both have, those of gates first: *regressed* where B is worse by more than tolerance
    and noise, *inconclusive* where it is worse by more than the screen allows and by less than that. ``environment`` holds what keeps the
    two from being compared, ``provenance`` what else differs, as ``(A, B)``. ``problem`` says why there is nothing to compare.
    """

    case: str
    sessions: int
    cells: tuple[CellVerdict, ...] = ()
    meanings: Mapping[str, Meaning]
    environment: Texts
    provenance: Texts
    problem: str | None = None

    @property
    def decided(self) -> bool:
        """Whether a cell of a decisive gate was compared: without one, that nothing regressed says nothing."""
        return any(cell.decisive and cell.delta is not None for cell in self.cells)

    @property
    def regressed(self) -> bool:
        """Whether a cell of a decisive gate is worse by more than tolerance and noise."""
        return any(cell.decisive and cell.outcome is Outcome.REGRESSED for cell in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """``only_a`` and ``only_b`` are cases that the other side lacks. ``sessions`` is how many side A has."""

    cases: tuple[CaseComparison, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    sessions: int


def compare_sessions(before: Sequence[SessionReport], now: SessionReport) -> Compared:
    """``before`` (side A) from the oldest to the newest, at least one; of each case the ten newest sessions count."""
    ours: dict[str, list[tuple[SessionReport, CaseResult]]] = {}
    for report in before:
        for result in report.results:
            ours.setdefault(result.case.name, []).append((report, result))
    theirs = {result.case.name: result for result in now.results}
    return Compared(
        cases=tuple(_compared(ours[name], result) for name, result in theirs.items() if name in ours),
        only_a=tuple(name for name in ours if name not in theirs),
        only_b=tuple(name for name in theirs if name not in ours),
        sessions=len(before),
    )


def _compared(before: Sequence[tuple[SessionReport, CaseResult]], now: CaseResult) -> CaseComparison:
    usable = [(report, result) for report, result in before if _trouble(result) is None]
    newest = (usable or before)[-1][1]
    comparison = CaseComparison(
        case=now.case.name,
        sessions=len(usable),
        meanings={**MEANINGS, **newest.meanings, **now.meanings},
        environment=differences(_key(newest), _key(now)),
        provenance=differences(
            newest.environment.provenance if newest.environment else {}, now.environment.provenance if now.environment else {}
        ),
    )
    trouble = _trouble(now)
    if trouble is not None or not usable:
        side, why = ("B", trouble) if trouble is not None else ("A", _trouble(newest))
        return replace(comparison, problem=f"{side} {why}")
    assert now.measurement is not None
    key = _key(now)
    documents = [_document(report, result) for report, result in usable]
    same = [document for document in documents if document.key == key][-RING:]
    if not same:
        names = ", ".join(f"{name} {_or_unknown(a)} → {_or_unknown(b)}" for name, (a, b) in comparison.environment.items())
        return replace(comparison, problem=f"the two sides are incomparable: {names}")
    return replace(
        comparison,
        sessions=len(same),
        cells=_cells(now.measurement, now.confirmation, same, _expectation(now, same, comparison.meanings), comparison.meanings),
    )


def _trouble(result: CaseResult) -> str | None:
    """Why the case of a session takes no part, or ``None``."""
    if result.verdict.outcome is Outcome.INVALID:
        return f"is invalid: {result.verdict.reasons[0] if result.verdict.reasons else 'no reason is recorded'}"
    return "was not measured" if result.measurement is None or result.environment is None else None


def _key(result: CaseResult) -> dict[str, str]:
    return {} if result.environment is None else binding_key(result.case, result.environment)


def _or_unknown(text: str | None) -> str:
    return "(not known)" if text is None else text


def _document(report: SessionReport, result: CaseResult) -> Baseline:
    """The session as the document that it would be, whatever its outcome was."""
    assert result.measurement is not None
    assert result.environment is not None
    meanings = {**MEANINGS, **result.meanings}
    metrics = {cell.metric for run in result.measurement.runs for cell in run.values}
    return Baseline(
        suite=result.case.suite,
        case_id=result.case.case_id,
        session_id=report.session_id,
        stamp=report.stamp,
        environment_name=result.environment.name,
        key=_key(result),
        provenance=result.environment.provenance,
        units={metric: meanings[metric].unit.value for metric in sorted(metrics) if metric in meanings},
        runs=tuple(
            BaselineRun(
                values=run.values,
                distributions=run.distributions,
                requests=run.requests,
                errors=run.errors,
                duration_s=run.duration_s,
                parts=run.parts,
            )
            for run in result.measurement.runs
        ),
    )


def _expectation(now: CaseResult, documents: Sequence[Baseline], meanings: Mapping[str, Meaning]) -> Expectation:
    """The gates of B, and every other cell that both sides have and that has a worse direction, for the reader."""
    gates = now.case.expectation.gates
    assert now.measurement is not None
    sides = [run.values for run in now.measurement.runs] + [run.values for document in documents for run in document.runs]
    common = set.intersection(*(set(values) for values in sides))
    gated = {gate.cell for gate in gates}
    others = [cell for cell in sides[0] if cell in common and cell not in gated and _comparable(cell, meanings)]
    shown = tuple(Gate(cell=cell, tolerance=SHOWN_TOLERANCE, decisive=False) for cell in others)
    return replace(now.case.expectation, gates=(*gates, *shown))


def _comparable(cell: Cell, meanings: Mapping[str, Meaning]) -> bool:
    means = meanings.get(cell.metric)
    return means is not None and means.direction is not Direction.NEITHER and means.kind is not Kind.COUNT


def _cells(
    measurement: Measurement,
    confirmation: Measurement | None,
    documents: Sequence[Baseline],
    expectation: Expectation,
    meanings: Mapping[str, Meaning],
) -> tuple[CellVerdict, ...]:
    """A suspect is decided by B's own fresh session where it has one, else by what it has: the limit is the same."""
    terms = Terms(meanings=meanings)
    first = judge(measurement, Found(documents=tuple(documents)), expectation, key=documents[0].key, terms=terms)
    return confirm(first, confirmation or measurement, documents, expectation, terms=terms).cells
