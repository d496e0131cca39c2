"""Many outcomes to one, and what becomes of a judgement that could not be made. Nothing passes because nothing was compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_dynperf.scenario.expectation import Expectation, Gate

NOT_COUNTED = "; the gate is not decisive, so this does not count for the case"


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The most severe; *invalid* where there is none."""
    return max(outcomes, default=Outcome.INVALID)


def worse(first: Verdict, second: Verdict) -> Verdict:
    """Of two judgements of one case in one invocation: a repetition cannot turn red into green. The first of equals."""
    return second if second.outcome > first.outcome else first


def unjudged(gate: Gate, outcome: Outcome, reason: str, values: tuple[float, ...] = ()) -> CellVerdict:
    """A cell of which nothing could be compared."""
    if outcome is Outcome.INVALID and not gate.decisive:
        reason += NOT_COUNTED
    return CellVerdict(
        cell=gate.cell,
        outcome=outcome,
        decisive=gate.decisive,
        tolerance=gate.tolerance,
        candidate=None,
        values=values,
        reasons=(reason,),
    )


def of_case(cells: Sequence[CellVerdict], *, confirmed: bool = False, reasons: Sequence[str] = ()) -> Verdict:
    """The verdict of a case: the worst outcome of its decisive cells, *invalid* where none is decisive.

    ``reasons`` come first; those of the decisive cells follow, the worst cell first.
    """
    decisive = sorted((cell for cell in cells if cell.decisive), key=lambda cell: -cell.outcome)
    return Verdict(
        outcome=worst(cell.outcome for cell in decisive),
        cells=tuple(cells),
        reasons=(*reasons, *(f"{cell.cell}: {reason}" for cell in decisive for reason in cell.reasons)),
        confirmed=confirmed,
    )


def invalid(reasons: Sequence[str], expectation: Expectation) -> Verdict:
    """The case must not be judged. ``reasons`` are its sentences; every gated cell is *invalid* as well."""
    cells = tuple(unjudged(gate, Outcome.INVALID, "the case could not be judged") for gate in expectation.gates)
    return Verdict(outcome=Outcome.INVALID, cells=cells, reasons=tuple(reasons) or ("no reason was given",))


def or_invalid(judgement: Callable[[], Verdict], expectation: Expectation) -> Verdict:
    """``judgement()``, or *invalid* with the exception where it raises: a crash must be neither a pass nor a regression."""
    try:
        return judgement()
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the case was not judged, and its report must still be written
        return invalid((f"the judge failed ({type(error).__name__}: {error}); this is a defect, please report it",), expectation)
