"""The first look at a case: invalid, without baseline, incomparable, unchanged, improved, or suspect.

A suspect is *inconclusive*: only a fresh session can tell a regression from noise (see ``confirmation``), and where none is measured the
case must read neither as regressed nor as unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.baseline.found import Found, difference
from pytest_dynperf.verdict.combine import of_case, unjudged
from pytest_dynperf.verdict.noise import decision_limit, screen_limit, shows_not_worse
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Verdict
from pytest_dynperf.verdict.weigh import candidate_values, compared, described, flaws, weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.scenario.expectation import Expectation, Gate


def invalid(reasons: Sequence[str], expectation: Expectation) -> Verdict:
    """The case must not be judged. ``reasons`` are its sentences; every gated cell is *invalid* as well."""
    cells = tuple(unjudged(gate, "the case could not be judged") for gate in expectation.gates)
    return Verdict(outcome=Outcome.INVALID, cells=cells, reasons=tuple(reasons) or ("no reason was given",))


def or_invalid(judgement: Callable[[], Verdict], expectation: Expectation) -> Verdict:
    """``judgement()``, or *invalid* with the exception where it raises: a crash must be neither a pass nor a regression."""
    try:
        return judgement()
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the case was not judged, and its report must still be written
        return invalid((f"the judge failed ({type(error).__name__}: {error}); this is a defect, please report it",), expectation)


def judge(measurement: Measurement, found: Found, expectation: Expectation, *, key: Mapping[str, str]) -> Verdict:
    """Judge the first session of a case; ``key`` is the binding key of the candidate, under which ``found`` was read.

    Never raises: a judge that fails yields *invalid*. Costs about 0.1 ms per gate with ten documents.
    """
    return or_invalid(lambda: _judge(measurement, found, expectation, key), expectation)


def _judge(measurement: Measurement, found: Found, expectation: Expectation, key: Mapping[str, str]) -> Verdict:
    if reasons := flaws(measurement, expectation):
        return invalid(reasons, expectation)
    if not found.documents:
        return _without_documents(measurement, found, expectation, key)
    return of_case([_screened(gate, measurement, found) for gate in expectation.gates])


def _without_documents(measurement: Measurement, found: Found, expectation: Expectation, key: Mapping[str, str]) -> Verdict:
    if found.others:
        outcome = Outcome.INCOMPARABLE
        names = [f"{name} is {_text(ours)}, there {_text(theirs)}" for name, (ours, theirs) in difference(found, key).items()]
        reason = f"the case has baselines only under other circumstances; the closest differs in {len(names)}: {'; '.join(names)}"
    else:
        outcome, reason = Outcome.NO_BASELINE, "the case has no baseline; accept this measurement with --update-baselines"
    cells = []
    for gate in expectation.gates:
        values = candidate_values(gate, measurement)
        cells.append(values if isinstance(values, CellVerdict) else described(gate, values, outcome))
    broken = any(cell.decisive and cell.outcome is Outcome.INVALID for cell in cells)
    return of_case(cells, reasons=() if broken else (reason,))


def _text(value: str | None) -> str:
    return "not known" if value is None else repr(value)


def _screened(gate: Gate, measurement: Measurement, found: Found) -> CellVerdict:
    values = candidate_values(gate, measurement)
    if isinstance(values, CellVerdict):
        return values
    comparison = weigh(gate, values, found.documents)
    if isinstance(comparison, CellVerdict):
        return comparison
    limit, far = screen_limit(comparison, gate.tolerance), decision_limit(comparison, gate.tolerance)
    if comparison.delta > limit:
        reason = (
            "worse by more than the screen allows: suspect, and only a fresh session can tell a regression from noise"
            if gate.decisive
            else "worse by more than the screen allows, but the gate is not decisive and asks for no confirmation"
        )
        return compared(gate, values, comparison, outcome=Outcome.INCONCLUSIVE, limit=limit, reason=reason, suspect=True)
    if comparison.delta < -far:
        reason = "better by more than the tolerance and the noise; refresh the baseline with --update-baselines"
        return compared(gate, values, comparison, outcome=Outcome.IMPROVED, limit=-far, reason=reason)
    underpowered = not shows_not_worse(comparison, gate.tolerance)
    reason = "within the screen" + ("; the noise is too large to show that it is not worse by the tolerance" if underpowered else "")
    return compared(gate, values, comparison, outcome=Outcome.UNCHANGED, limit=limit, reason=reason, underpowered=underpowered)
