"""The strongest confirmation: suspects are decided by pairs of runs, candidate and control interleaved on one machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.measurement import MINIMUM_RUNS
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.quantity import Absent, Direction
from pytest_dynperf.scenario.expectation import Gate
from pytest_dynperf.verdict.combine import of_case, unjudged
from pytest_dynperf.verdict.detectable import duet_mde
from pytest_dynperf.verdict.duet_noise import CLEAR_QUANTILE, Estimate, Finding, Look, all_of, replay
from pytest_dynperf.verdict.judge import or_invalid
from pytest_dynperf.verdict.run_noise import RunNoise, noise_of, read, read_value, sessions_of
from pytest_dynperf.verdict.scale import Ruler
from pytest_dynperf.verdict.sequential import LOOKS
from pytest_dynperf.verdict.terms import CATALOGUE_TERMS
from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Scale, Verdict
from pytest_dynperf.verdict.weigh import run_cv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.measurement.measurement import Duet, Pair
    from pytest_dynperf.metrics.definition import Meaning
    from pytest_dynperf.scenario.expectation import Expectation
    from pytest_dynperf.verdict.terms import Terms

BLOCKS = "blocks"
"""The :attr:`Duet.layout` in which pairs share deployments by five."""

_OUTCOMES = {Finding.REGRESSED: Outcome.REGRESSED, Finding.UNCHANGED: Outcome.UNCHANGED, Finding.OPEN: Outcome.INCONCLUSIVE}


def confirm_by_duet(
    first: Verdict,
    duet: Duet,
    expectation: Expectation,
    *,
    documents: Sequence[Baseline] = (),
    terms: Terms = CATALOGUE_TERMS,
    final: bool,
) -> Verdict:
    """Decide the suspects of ``first``, those of gates that are not decisive too; other cells stay as they are.

    ``first`` is what ``judge`` said of the first session, at every call: all looks are replayed, so more pairs never change what an
    earlier look has decided. ``documents`` (those that it was judged by) and the runs of the first session say how runs scatter; without
    documents the first session alone does. While not ``final`` an undecided suspect stays as it is, inconclusive, and ``next_step`` asks
    for more pairs. Pairs with a problem take no part. A duet with a problem makes its suspects *invalid*, as does a pair without a value
    that a look would need. Never raises. Costs about 4 ms per suspect with twenty pairs and ten documents.
    """
    if not any(cell.suspect for cell in first.cells):
        return first
    verdict = or_invalid(lambda: _confirm(first, _Seen(duet=duet, documents=documents, terms=terms, final=final)), expectation)
    return replace(verdict, compared_with=first.compared_with)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What suspects are decided by."""

    duet: Duet
    documents: Sequence[Baseline]
    terms: Terms
    final: bool

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.duet.pairs if not pair.problems)


def _confirm(first: Verdict, seen: _Seen) -> Verdict:
    if first.means is not None:
        msg = f"a duet decides the suspects of a first session, and these were decided by a {first.means.value} already"
        raise ValueError(msg)
    reasons = _flaws(seen)
    if reasons:
        broken = "suspect, and the duet that was to decide is invalid"
        cells = [unjudged(_gate(cell), broken) if cell.suspect else cell for cell in first.cells]
        return of_case(cells, means=Means.DUET, reasons=tuple(f"duet: {reason}" for reason in reasons))
    return of_case([_decided(cell, seen) if cell.suspect else cell for cell in first.cells], means=Means.DUET)


def _flaws(seen: _Seen) -> tuple[str, ...]:
    """What forbids judging the duet as a whole."""
    if seen.duet.problems or seen.pairs or not seen.duet.pairs:
        return seen.duet.problems
    return (f"each of its pairs has a problem; the first: {seen.duet.pairs[0].problems[0]}",)


def _gate(cell: CellVerdict) -> Gate:
    return Gate(cell=cell.cell, tolerance=cell.tolerance, decisive=cell.decisive)


def _decided(cell: CellVerdict, seen: _Seen) -> CellVerdict:
    meaning = seen.terms.meanings.get(cell.cell.metric)
    if meaning is None or meaning.kind is Kind.COUNT or meaning.direction is Direction.NEITHER:
        return unjudged(_gate(cell), f"suspect, and {cell.cell.metric} is nothing that pairs can decide")
    ruler = Ruler(scale=cell.scale, sign=meaning.direction.sign, prior_sd=meaning.prior_sd)
    noise = _noise(cell, seen.documents, meaning, ruler)
    if noise is None:
        return unjudged(_gate(cell), "suspect, and no session tells how its runs scatter: the duet cannot decide")
    tolerance = _tolerance(cell, ruler)
    differences = [_difference(cell, pair, meaning, ruler) for pair in seen.pairs]
    blocks = seen.duet.layout == BLOCKS
    # Side by side the same two deployments serve all pairs.
    look = replay(differences, noise.run, tolerance, deployment=noise.deployment if blocks else 0.0, blocks=blocks)
    if isinstance(look, Absent):
        return unjudged(_gate(cell), f"suspect, and the duet cannot decide: {look.reason}")
    if look is None:
        return replace(cell, reasons=(_too_few(len(seen.pairs), final=seen.final),))
    return _shown(cell, seen, look, tolerance)


def _noise(cell: CellVerdict, documents: Sequence[Baseline], meaning: Meaning, ruler: Ruler) -> RunNoise | None:
    own = all_of([read_value(value, ruler) for value in cell.values])
    first = [] if isinstance(own, Absent) or len(own) < MINIMUM_RUNS else own
    return noise_of(sessions_of(cell.cell, documents, meaning, ruler), first)


def _tolerance(cell: CellVerdict, ruler: Ruler) -> float:
    """On the scale, at the baseline that the first session was judged by: known before the first pair."""
    if ruler.scale is not Scale.LOG_ODDS:
        return cell.tolerance
    baseline = Absent("it has no baseline") if cell.baseline is None else read_value(cell.baseline, ruler)
    if isinstance(baseline, Absent):
        msg = f"{cell.cell} is compared by log odds, and its baseline of {cell.baseline} has none"
        raise TypeError(msg)
    return ruler.allowed(cell.tolerance, baseline)


def _difference(cell: CellVerdict, pair: Pair, meaning: Meaning, ruler: Ruler) -> float | Absent:
    """Candidate minus control, + is worse."""
    numbers = []
    for arm, run in (("candidate", pair.candidate), ("control", pair.control)):
        number = read(cell.cell, run, meaning, ruler)
        if isinstance(number, Absent):
            return Absent(f"{arm} {run.name}: {number.reason}")
        numbers.append(number)
    candidate, control = numbers
    return candidate - control


def _too_few(measured: int, *, final: bool) -> str:
    if not final:
        return f"suspect; the duet with the control is looked at after {LOOKS[0]} pairs"
    if not measured:
        return "suspect, and no pair was measured to decide"
    return f"suspect, and {measured} {'pair was' if measured == 1 else 'pairs were'} measured; the first look needs {LOOKS[0]}"


def _shown(cell: CellVerdict, seen: _Seen, look: Look, tolerance: float) -> CellVerdict:
    """All that the last look says."""
    found = look.estimate
    pairs = seen.pairs[: found.pairs]
    values = tuple(pair.candidate.values[cell.cell] for pair in pairs)
    control = tuple(pair.control.values[cell.cell] for pair in pairs)
    margin = found.margin(CLEAR_QUANTILE)
    over = seen.final and look.finding is Finding.OPEN
    return replace(
        cell,
        outcome=_OUTCOMES[look.finding],
        candidate=median(values),
        values=values,
        baseline=median(control),
        control_values=control,
        pairs=found.pairs,
        delta=found.effect,
        interval=(found.effect - margin, found.effect + margin),
        limit=found.limit(tolerance),
        mde=duet_mde(found.variance, tolerance, pairs=found.pairs if over else LOOKS[-1], blocks=seen.duet.layout == BLOCKS),
        p_value=found.p_value,
        run_cv=run_cv(values),
        underpowered=False,
        reasons=(_reason(found, look.finding, final=seen.final),),
    )


def _reason(found: Estimate, finding: Finding, *, final: bool) -> str:
    if finding is Finding.REGRESSED:
        return f"worse than the control in {found.pairs} pairs, by more than half of the tolerance and by more than the noise"
    if finding is Finding.UNCHANGED:
        return f"suspect in the first session, and {found.pairs} pairs show that it is not worse than the control by the tolerance"
    if final:
        return f"suspect, and {found.pairs} pairs do not decide whether it is worse than the control: measure again, or allow more pairs"
    return f"suspect; {found.pairs} pairs with the control do not decide it yet"
