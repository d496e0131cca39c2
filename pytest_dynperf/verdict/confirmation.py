"""The second look: suspects are decided by a fresh session, measured after a redeploy, against the same documents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.verdict.combine import NOT_COUNTED, of_case, unjudged
from pytest_dynperf.verdict.judge import or_invalid
from pytest_dynperf.verdict.noise import decision_limit
from pytest_dynperf.verdict.terms import CATALOGUE_TERMS
from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Verdict
from pytest_dynperf.verdict.weigh import candidate_values, compared, flaws, weigh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.scenario.expectation import Expectation, Gate
    from pytest_dynperf.verdict.terms import Terms


def confirm(
    first: Verdict, fresh: Measurement, documents: Sequence[Baseline], expectation: Expectation, *, terms: Terms = CATALOGUE_TERMS
) -> Verdict:
    """Decide the suspects of ``first``, those of gates that are not decisive too; other cells stay as they are.

    *Regressed* only where the fresh delta exceeds max(log(1 + tolerance), t(.995) se); below it *inconclusive*. A fresh measurement that
    must not be judged makes its suspects *invalid*. Without suspects there is nothing to decide, and ``first`` comes back. Never raises.
    """
    if not any(cell.suspect for cell in first.cells):
        return first
    # No pairs clear what a fresh session says wrongly: here the whole noise counts.
    verdict = or_invalid(lambda: _confirm(first, fresh, documents, expectation, replace(terms, duet=False)), expectation)
    return replace(verdict, compared_with=first.compared_with)


def _confirm(first: Verdict, fresh: Measurement, documents: Sequence[Baseline], expectation: Expectation, terms: Terms) -> Verdict:
    reasons = flaws(fresh, expectation)
    if reasons:
        cells = [_unusable(cell) if cell.suspect else cell for cell in first.cells]
        return of_case(cells, means=Means.FRESH_SESSION, reasons=tuple(f"fresh session: {reason}" for reason in reasons))
    gates = {gate.cell: gate for gate in expectation.gates}
    cells = [_decided(gates[cell.cell], fresh, documents, terms) if cell.suspect else cell for cell in first.cells]
    return of_case(cells, means=Means.FRESH_SESSION)


def _unusable(cell: CellVerdict) -> CellVerdict:
    reason = "suspect, and the fresh session that was to decide is invalid" + ("" if cell.decisive else NOT_COUNTED)
    return replace(cell, outcome=Outcome.INVALID, reasons=(reason,))


def _decided(gate: Gate, fresh: Measurement, documents: Sequence[Baseline], terms: Terms) -> CellVerdict:
    seen = candidate_values(gate, fresh, terms)
    weighed = seen if isinstance(seen, CellVerdict) else weigh(gate, seen, documents)
    if isinstance(weighed, CellVerdict):  # whatever the reason is: a suspect that nothing decides must not fall out of the case
        return unjudged(gate, f"suspect, and the fresh session cannot decide: {'; '.join(weighed.reasons)}", weighed.values)
    limit = decision_limit(weighed.comparison, gate.tolerance)
    regressed = weighed.comparison.delta > limit
    return compared(
        gate,
        weighed,
        outcome=Outcome.REGRESSED if regressed else Outcome.INCONCLUSIVE,
        limit=limit,
        reason=(
            "worse by more than the screen allows, and in a fresh session by more than the tolerance and the noise"
            if regressed
            else "worse by more than the screen allows, but a fresh session did not confirm it"
        ),
        suspect=True,
    )
