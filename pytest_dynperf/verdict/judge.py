"""The first look at a case: invalid, without baseline, incomparable, unchanged, improved, or suspect.

A suspect is *inconclusive*: only a second look can tell a regression from noise (pairs with a control in ``duet``, a fresh session in
``confirmation``), and where none is measured the case must read neither as regressed nor as unchanged. A count of a deterministic workload
has no noise, and is *regressed* at once.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.found import Found, difference
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.verdict.combine import of_case, unjudged
from pytest_dynperf.verdict.detectable import detectable_by_duet
from pytest_dynperf.verdict.exact import contradiction, judge_count
from pytest_dynperf.verdict.noise import decision_limit, run_variance, screen_limit, screened_with_power, shows_not_worse
from pytest_dynperf.verdict.sequential import LOOKS
from pytest_dynperf.verdict.terms import CATALOGUE_TERMS
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Verdict
from pytest_dynperf.verdict.weigh import candidate_values, compared, described, flaws, weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.scenario.expectation import Expectation, Gate
    from pytest_dynperf.verdict.terms import Terms
    from pytest_dynperf.verdict.weigh import Weighed


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


def judge(
    measurement: Measurement, found: Found, expectation: Expectation, *, key: Mapping[str, str], terms: Terms = CATALOGUE_TERMS
) -> Verdict:
    """Judge the first session of a case; ``key`` is the binding key of the candidate, under which ``found`` was read.

    Never raises: a judge that fails yields *invalid*. Costs about 0.1 ms per gate with ten documents, and up to 3 ms more where a duet can
    follow.
    """
    return or_invalid(lambda: _naming(_judge(measurement, found, expectation, key, terms), found), expectation)


def _naming(verdict: Verdict, found: Found) -> Verdict:
    return replace(verdict, compared_with=tuple(document.name for document in found.documents or found.others))


def _judge(measurement: Measurement, found: Found, expectation: Expectation, key: Mapping[str, str], terms: Terms) -> Verdict:
    if reasons := flaws(measurement, expectation):
        return invalid(reasons, expectation)
    if not found.documents:
        return _without_documents(measurement, found, expectation, key, terms)
    return of_case([_judged(gate, measurement, found, terms) for gate in expectation.gates])


def _without_documents(measurement: Measurement, found: Found, expectation: Expectation, key: Mapping[str, str], terms: Terms) -> Verdict:
    if found.others:
        outcome = Outcome.INCOMPARABLE
        names = [f"{name} is {_text(ours)}, there {_text(theirs)}" for name, (ours, theirs) in difference(found, key).items()]
        reason = f"the case has baselines only under other circumstances; the closest differs in {len(names)}: {'; '.join(names)}"
    else:
        outcome, reason = Outcome.NO_BASELINE, "the case has no baseline; accept this measurement with --update-baselines"
    cells = []
    for gate in expectation.gates:
        seen = candidate_values(gate, measurement, terms)
        if isinstance(seen, CellVerdict):
            cells.append(seen)
        else:
            broken = contradiction(gate, seen) if seen.meaning.kind is Kind.COUNT else None
            cells.append(broken or described(gate, seen.values, outcome))
    sound = any(cell.decisive for cell in cells) and not any(cell.decisive and cell.outcome is Outcome.INVALID for cell in cells)
    return of_case(cells, reasons=(reason,) if sound else ())


def _text(value: str | None) -> str:
    return "not known" if value is None else repr(value)


def _judged(gate: Gate, measurement: Measurement, found: Found, terms: Terms) -> CellVerdict:
    seen = candidate_values(gate, measurement, terms)
    if isinstance(seen, CellVerdict):
        return seen
    if seen.meaning.kind is Kind.COUNT:
        return judge_count(gate, seen, found.documents)
    weighed = weigh(gate, seen, found.documents)
    return weighed if isinstance(weighed, CellVerdict) else _screened(gate, weighed, duet=terms.duet)


def _screened(gate: Gate, weighed: Weighed, *, duet: bool) -> CellVerdict:
    comparison = weighed.comparison
    mde = _detectable_by_duet(weighed, gate.tolerance) if duet else None
    limit, far = screen_limit(comparison, gate.tolerance, duet=duet), decision_limit(comparison, gate.tolerance)
    if comparison.delta > limit:
        reason = (
            "worse by more than the screen allows: suspect, and only a second look can tell a regression from noise"
            if gate.decisive
            else "worse by more than the screen allows, but the gate is not decisive and asks for no confirmation"
        )
        return compared(gate, weighed, outcome=Outcome.INCONCLUSIVE, limit=limit, reason=reason, suspect=True, mde=mde)
    if comparison.delta < -far:
        reason = "better by more than the tolerance and the noise; refresh the baseline with --update-baselines"
        return compared(gate, weighed, outcome=Outcome.IMPROVED, limit=-far, reason=reason, mde=mde)
    underpowered = not shows_not_worse(comparison, gate.tolerance)
    reason = "within the screen" + ("; the noise is too large to show that it is not worse by the tolerance" if underpowered else "")
    return compared(gate, weighed, outcome=Outcome.UNCHANGED, limit=limit, reason=reason, underpowered=underpowered, mde=mde)


def _detectable_by_duet(weighed: Weighed, tolerance: float) -> float | None:
    """The smallest regression that passes the screen and is then found by a duet of as many pairs as there are looks for, both deployments
    side by side; each with 80 % power, the larger of the two. Takes up to 3 ms.
    """
    comparison = weighed.comparison
    found = detectable_by_duet(math.sqrt(run_variance(weighed.runs)), LOOKS[-1], comparison.allowed(tolerance))
    return None if found is None else max(found, screened_with_power(comparison, tolerance, duet=True))
