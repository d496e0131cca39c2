"""How a case stands for whoever reads: its outcome, and whether people have agreed to live with its regression for a while."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.verdict.verdict import Verdict

_SYMBOLS = {
    Outcome.REGRESSED: "✗",
    Outcome.INVALID: "!",
    Outcome.NO_BASELINE: "○",
    Outcome.INCOMPARABLE: "≠",
    Outcome.INCONCLUSIVE: "?",
    Outcome.IMPROVED: "▲",
    Outcome.UNCHANGED: "=",
}
_COLOURS = {
    Outcome.REGRESSED: "red",
    Outcome.INVALID: "red",
    Outcome.NO_BASELINE: "yellow",
    Outcome.INCOMPARABLE: "yellow",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.IMPROVED: "green",
    Outcome.UNCHANGED: "green",
}
_PREDICATES = {
    Outcome.REGRESSED: ("regressed", "regressed"),
    Outcome.INVALID: ("is invalid", "are invalid"),
    Outcome.NO_BASELINE: ("has no baseline", "have no baseline"),
    Outcome.INCOMPARABLE: ("is incomparable", "are incomparable"),
    Outcome.INCONCLUSIVE: ("is inconclusive", "are inconclusive"),
    Outcome.IMPROVED: ("improved", "improved"),
    Outcome.UNCHANGED: ("is unchanged", "are unchanged"),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """``waived`` is only true of a regression: it keeps the outcome, and is neither red nor green. ``expired``: a waiver of the case has
    run out, which fails whatever the outcome.
    """

    outcome: Outcome
    waived: bool = False
    expired: bool = False

    @property
    def fails(self) -> bool:
        """Whether it is red in any session; a case without a baseline fails in a strict one only."""
        return self.expired or (self.outcome in (Outcome.REGRESSED, Outcome.INVALID) and not self.waived)

    @property
    def severity(self) -> float:
        """In the order of outcomes; an expired waiver before all but a regression, a waived regression after what fails."""
        if self.expired:
            return self.outcome + 0.5 if self.outcome is Outcome.REGRESSED else Outcome.INVALID + 0.5
        return Outcome.INVALID - 0.5 if self.waived else float(self.outcome)

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say beside the outcome."""
        return (*(("waived",) if self.waived else ()), *(("waiver expired",) if self.expired else ()))

    @property
    def text(self) -> str:
        """``no baseline``; ``regressed, waived``; ``unchanged, waiver expired``."""
        return ", ".join([self.outcome.text, *self.notes])

    @property
    def kind(self) -> str:
        """The class of the style sheet: ``no-baseline``, ``waived``."""
        outcome = self.outcome.text.replace(" ", "-")
        return f"{outcome}-expired" if self.expired else "waived" if self.waived else outcome

    @property
    def symbol(self) -> str:
        """One character, different for each outcome: colour is never the only sign."""
        return "~" if self.waived else _SYMBOLS[self.outcome]

    @property
    def colour(self) -> str:
        """Of the terminal: red is only what fails."""
        return "red" if self.fails else "yellow" if self.waived else _COLOURS[self.outcome]

    def predicate(self, number: int) -> str:
        """``is unchanged`` of one, ``are unchanged`` of several."""
        text = _PREDICATES[self.outcome][0 if number == 1 else 1]
        if self.waived:
            text += " and is waived" if number == 1 else " and are waived"
        if self.expired:
            text += " with a waiver that has expired" if number == 1 else " with waivers that have expired"
        return text


def standing(verdict: Verdict) -> Standing:
    """That of a case."""
    waived = verdict.waiver is not None and verdict.outcome is Outcome.REGRESSED
    return Standing(verdict.outcome, waived=waived, expired=bool(verdict.expired))


def tally(results: Iterable[CaseResult]) -> dict[Standing, int]:
    """Cases by standing, worst first, without those that did not occur."""
    found = Counter(standing(result.verdict) for result in results)
    return {one: found[one] for one in sorted(found, key=lambda one: -one.severity)}
