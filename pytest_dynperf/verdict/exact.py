"""Counts of a deterministic workload: equal, or not. There is no noise, so one session decides and nothing needs a second look."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.quantity import Direction
from pytest_dynperf.verdict.combine import unjudged
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Scale
from pytest_dynperf.verdict.weigh import baseline_readings, described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.scenario.expectation import Gate
    from pytest_dynperf.verdict.weigh import Seen


def contradiction(gate: Gate, seen: Seen) -> CellVerdict | None:
    """*Invalid* where the runs of the candidate differ among themselves: then nothing of it is deterministic."""
    if len(set(seen.values)) == 1:
        return None
    return unjudged(
        gate, f"declared deterministic (exact), but the runs of the candidate have {_listed(seen.values)}; remove exact", seen.values
    )


def judge_count(gate: Gate, seen: Seen, documents: Sequence[Baseline]) -> CellVerdict:
    """*Unchanged* where candidate and baseline are equal, *improved* or *regressed* where they are not; a count with neither direction is
    *regressed* by any difference.

    Accepted sessions may differ from each other where an improvement was accepted: the best of them is what the candidate must reach. A
    candidate that is worse than the best and no worse than another is *invalid*: either the improvement was lost, or the count is not
    deterministic.
    """
    broken = contradiction(gate, seen)
    sessions = baseline_readings(gate, seen, documents)
    if broken is not None or isinstance(sessions, CellVerdict):
        return broken or sessions  # type: ignore[return-value]
    for session in sessions:
        if len({reading.value for reading in session}) > 1:
            held = _listed([reading.value for reading in session])
            return unjudged(
                gate, f"declared deterministic (exact), but the runs of a baseline session have {held}; remove exact", seen.values
            )
    history = tuple(session[0].value for session in sessions)
    found = seen.values[0]
    neither = seen.meaning.direction is Direction.NEITHER
    sign = 1 if neither else seen.meaning.direction.sign
    best, worst = min(history, key=lambda value: sign * value), max(history, key=lambda value: sign * value)
    if (neither and best != worst) or sign * best < sign * found <= sign * worst:
        reason = f"declared deterministic (exact), but accepted sessions have {_listed(history)} and the candidate has {found:g}"
        return unjudged(gate, f"{reason}: an improvement was lost, or exact must be removed", seen.values)
    delta = abs(found - best) if neither else sign * (found - best)
    outcome = Outcome.REGRESSED if delta > 0 else Outcome.IMPROVED if delta < 0 else Outcome.UNCHANGED
    reason = {
        Outcome.REGRESSED: f"{found:g} instead of {best:g}; a deterministic count has no noise, so no second look is needed",
        Outcome.IMPROVED: f"{found:g} instead of {best:g}; refresh the baseline with --update-baselines",
        Outcome.UNCHANGED: "the same in every run",
    }[outcome]
    return replace(
        described(gate, seen.values, outcome, reason),
        candidate=found,
        baseline=median(history) if neither else best,
        delta=delta,
        limit=0.0,
        sessions=len(history),
        history=history,
        scale=Scale.POINTS,
    )


def _listed(values: Sequence[float]) -> str:
    *rest, last = [f"{value:g}" for value in sorted(set(values))]
    return f"{', '.join(rest)} and {last}" if rest else last
