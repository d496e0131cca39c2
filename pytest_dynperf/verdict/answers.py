"""Answers of two arms to the same questions, paired by item: what parity is judged on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAMED = 3  # items named in a sentence, of however many


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One arm's answer to one item. ``correct`` is ``None`` where no answer could be read out of the text. ``subject`` groups items."""

    item: str
    correct: bool | None
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedCounts:
    """``n`` items answered by both arms. ``losses``: the reference right and the candidate wrong (b of a paired table); ``gains`` the
    reverse (c). An answer that could not be read counts as wrong, and is counted apart too: ``unreadable_reference`` and
    ``unreadable_candidate``. ``right_reference``: items that the reference answers rightly, ``None`` where nobody counted. ``problems`` are
    sentences that forbid judging.
    """

    n: int
    losses: int
    gains: int
    unreadable_reference: int = 0
    unreadable_candidate: int = 0
    right_reference: int | None = None
    problems: tuple[str, ...] = ()

    @property
    def flaws(self) -> tuple[str, ...]:
        """``problems``, and what is wrong with the counts themselves."""
        counts = (self.n, self.losses, self.gains, self.unreadable_reference, self.unreadable_candidate)
        found = list(self.problems)
        if min(counts) < 0 or self.losses + self.gains > self.n or max(self.unreadable_reference, self.unreadable_candidate) > self.n:
            found.append(f"{self.losses} losses and {self.gains} gains are no counts out of {self.n} items")
        if self.n == 0 and not found:
            found.append("no item was answered: nothing was compared")
        return tuple(found)


def pair_answers(reference: Iterable[Answer], candidate: Iterable[Answer]) -> PairedCounts:
    """Pair two arms by item. Never raises: an empty arm, an item given twice or by one arm alone is a problem of the result."""
    arms = {"reference": tuple(reference), "candidate": tuple(candidate)}
    before, now = ({answer.item: answer.correct for answer in answers} for answers in arms.values())
    shared = before.keys() & now.keys()
    return PairedCounts(
        n=len(shared),
        losses=sum(before[item] is True and now[item] is not True for item in shared),
        gains=sum(before[item] is not True and now[item] is True for item in shared),
        right_reference=sum(before[item] is True for item in shared),
        unreadable_reference=sum(before[item] is None for item in shared),
        unreadable_candidate=sum(now[item] is None for item in shared),
        problems=_problems(arms["reference"], arms["candidate"]),
    )


def pairs_by_subject(reference: Iterable[Answer], candidate: Iterable[Answer]) -> dict[str, PairedCounts]:
    """:func:`pair_answers` for each subject that either arm names, sorted by name."""
    before, now = tuple(reference), tuple(candidate)
    return {
        subject: pair_answers(
            (answer for answer in before if answer.subject == subject), (answer for answer in now if answer.subject == subject)
        )
        for subject in sorted({answer.subject for answer in (*before, *now)})
    }


def _problems(reference: Sequence[Answer], candidate: Sequence[Answer]) -> tuple[str, ...]:
    if not reference and not candidate:
        return ("neither arm answered an item: nothing was compared",)
    found = []
    for name, answers in (("reference", reference), ("candidate", candidate)):
        if not answers:
            return (f"the {name} answered no item: nothing was compared",)
        twice = [item for item, times in Counter(answer.item for answer in answers).items() if times > 1]
        if twice:
            found.append(f"the {name} holds {_some(twice)} more than once")
    items = {answer.item for answer in reference}, {answer.item for answer in candidate}
    for name, missing in (("candidate", items[0] - items[1]), ("reference", items[1] - items[0])):
        if missing:
            found.append(f"the {name} did not answer {_some(sorted(missing))}: both arms must be asked the same items")
    return tuple(found)


def _some(items: Sequence[str]) -> str:
    more = len(items) - NAMED
    return f"{len(items)} item{'s' if len(items) > 1 else ''} ({', '.join(items[:NAMED])}{', …' if more > 0 else ''})"
