"""One arm held against the reference arm of its session: what both answered, item by item, and text by text.

In: the replies of two arms, or of three where the reference was measured once more. Out: an ArmParity, and the verdict of the case with it.
Nothing passes because nothing was compared: whatever is missing, empty or unreadable makes the parity *invalid*, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_dynperf.quantity import Absent
from pytest_dynperf.verdict.answers import Answer, pair_answers, pairs_by_subject
from pytest_dynperf.verdict.combine import worst
from pytest_dynperf.verdict.parity import (
    SIGNIFICANCE,
    FixedLimitsVerdict,
    ParityVerdict,
    fixed_limits,
    judge_parity,
    mcnemar,
    noise_of_nondeterminism,
)
from pytest_dynperf.verdict.texts import TextVerdict, judge_texts
from pytest_dynperf.verdict.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_dynperf.scenario.expectation import Parity

MOST_NAMED = 50
"""Discordant items that are kept by name, with both answers; the rest is counted."""

_LONGEST = 300  # characters of an answer that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one arm said to one measured request. ``run`` names the prompts of its run, the same ones in every arm. ``correct`` is ``None``
    where nothing could be graded: no answer, none that could be read, or no ``item``. ``text`` is ``None`` where none was recorded.
    """

    run: str
    index: int
    text: str | None
    item: str | None = None
    subject: str = ""
    correct: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectCounts:
    """Items of one subject, and how many of them were lost and gained."""

    name: str
    n: int
    losses: int
    gains: int

    @property
    def loss(self) -> float:
        """As a share of the items; 0 without any, which makes the parity *invalid* elsewhere."""
        return (self.losses - self.gains) / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Discordant:
    """One item in which the arms differ. ``kind`` is ``lost``, ``gained`` or ``text``; answers are shortened."""

    item: str
    kind: str
    reference: str | None
    candidate: str | None
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmParity:
    """How an arm stands to ``reference``, the case id of its reference arm. *Unchanged* is a pass.

    ``accuracy`` compares right and wrong answers and ``fixed`` holds plain limits against them, where the scenario asks for those instead;
    ``texts`` compares the texts themselves. ``discordant`` names at most :data:`MOST_NAMED` of ``discordant_count`` differences. ``notes``
    forbid nothing. ``records`` are the files of request records, relative to the run directory, by ``reference``, ``candidate``, ``noise``.
    """

    reference: str
    outcome: Outcome
    reasons: tuple[str, ...]
    accuracy: ParityVerdict | None = None
    fixed: FixedLimitsVerdict | None = None
    subjects: tuple[SubjectCounts, ...] = ()
    texts: TextVerdict | None = None
    discordant: tuple[Discordant, ...] = ()
    discordant_count: int = 0
    notes: tuple[str, ...] = ()
    records: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def compare_arms(
    reference: Sequence[Reply], candidate: Sequence[Reply], promise: Parity, *, name: str, noise: Sequence[Reply] = ()
) -> ArmParity:
    """Judge what ``promise`` says of the replies. ``name``: the case id of the reference. ``noise``: the reference measured once more;
    empty where it was not. About 10 ms, and 1 ms more per thousand replies.
    """
    items = any(reply.item is not None for reply in (*reference, *candidate))
    if not items and not promise.texts:
        why = (
            "no request of either arm carries an item, so that no answer can be graded: ask a workload of questions, or compare texts "
            "(expect.parity.texts = true)"
        )
        return ArmParity(reference=name, outcome=Outcome.INVALID, reasons=(why if reference or candidate else "nothing was compared",))
    found = ArmParity(reference=name, outcome=Outcome.UNCHANGED, reasons=())
    if items:
        found = _with_accuracy(found, reference, candidate, noise, promise)
    if promise.texts:
        found = _with_texts(found, reference, candidate, noise, awaited=promise.noise)
    if promise.noise is not None and not noise:
        found = replace(found, notes=(*found.notes, f"the noise of nondeterminism is not known: {promise.noise} has not been measured"))
    return found


def with_parity(verdict: Verdict, parity: ArmParity | None) -> Verdict:
    """The verdict of the case: the worse of both, the sentences of the worse first. Of an *invalid* measurement no answer is compared."""
    if parity is None:
        return verdict
    said = tuple(f"parity with {parity.reference}: {reason}" for reason in parity.reasons)
    reasons = (*said, *verdict.reasons) if parity.outcome >= verdict.outcome else (*verdict.reasons, *said)
    return replace(verdict, outcome=max(verdict.outcome, parity.outcome), reasons=reasons, parity=parity.outcome)


# ---- right and wrong


def last_answers(replies: Iterable[Reply]) -> dict[str, Reply]:
    """Of every item the last reply. Several runs that ask one item are no several items; by the last one, caches hold what they will."""
    return {reply.item: reply for reply in replies if reply.item is not None}


def _answers(replies: Mapping[str, Reply]) -> list[Answer]:
    return [Answer(item=item, correct=reply.correct, subject=reply.subject) for item, reply in replies.items()]


def _with_accuracy(
    found: ArmParity, reference: Sequence[Reply], candidate: Sequence[Reply], noise: Sequence[Reply], promise: Parity
) -> ArmParity:
    before, now = last_answers(reference), last_answers(candidate)
    theirs, ours = _answers(before), _answers(now)
    again = noise_of_nondeterminism(theirs, _answers(last_answers(noise))) if noise else None
    notes = (f"the noise of nondeterminism is not known: {again.reason}",) if isinstance(again, Absent) else ()
    known = None if isinstance(again, Absent) else again
    accuracy = judge_parity(pair_answers(theirs, ours), limit=promise.limit, max_unreadable=promise.max_unreadable, noise=known)
    by_subject = {subject or "all items": counts for subject, counts in pairs_by_subject(theirs, ours).items()}
    subjects = tuple(SubjectCounts(name=key, n=counts.n, losses=counts.losses, gains=counts.gains) for key, counts in by_subject.items())
    fixed = None
    outcome, reasons = accuracy.outcome, accuracy.reasons
    if accuracy.outcome is not Outcome.INVALID and promise.fixed:
        fixed = fixed_limits(
            by_subject, overall=promise.limit, subject=promise.subject_limit, max_unreadable=1.0
        )  # unreadable answers have been judged over all items
        outcome, reasons = fixed.outcome, fixed.reasons
    elif accuracy.outcome is not Outcome.INVALID and (lost := _lost_subjects(subjects, promise.subject_limit)):
        outcome, reasons = Outcome.REGRESSED, (*lost, *reasons)
    differing = tuple(
        Discordant(item=item, kind=kind, subject=now[item].subject, reference=_short(before[item].text), candidate=_short(now[item].text))
        for item in before
        if item in now and (kind := _kind(before[item], now[item])) is not None
    )
    return replace(
        found,
        outcome=worst((found.outcome, outcome)),
        reasons=(*found.reasons, *reasons),
        accuracy=accuracy,
        fixed=fixed,
        subjects=subjects,
        discordant=differing[:MOST_NAMED],
        discordant_count=len(differing),
        notes=(*found.notes, *notes),
    )


def _kind(before: Reply, now: Reply) -> str | None:
    if (before.correct is True) == (now.correct is True):
        return None
    return "lost" if before.correct is True else "gained"


def _lost_subjects(subjects: Sequence[SubjectCounts], limit: float) -> tuple[str, ...]:
    """Subjects that lost more than ``limit``, by more than chance among so many subjects (Bonferroni)."""
    if len(subjects) < 2:
        return ()
    return tuple(
        f"{one.name}: {one.losses} of {one.n} items lost and {one.gains} gained, {one.loss:.1%}, allowed {limit:.1%}"
        for one in subjects
        if one.loss > limit and mcnemar(one.losses, one.gains) < SIGNIFICANCE / len(subjects)
    )


# ---- texts


def _with_texts(
    found: ArmParity, reference: Sequence[Reply], candidate: Sequence[Reply], noise: Sequence[Reply], *, awaited: str | None
) -> ArmParity:
    theirs, ours, again = ({(reply.run, reply.index): reply for reply in replies} for replies in (reference, candidate, noise))
    texts = judge_texts(*({_name(reply): reply.text for reply in arm.values()} for arm in (theirs, ours, again)), awaited=awaited)
    differing = tuple(
        Discordant(item=_name(reply), kind="text", subject=reply.subject, reference=_short(theirs[key].text), candidate=_short(reply.text))
        for key, reply in ours.items()
        if key in theirs and theirs[key].text != reply.text
    )
    return replace(
        found,
        outcome=worst((found.outcome, texts.outcome)),
        reasons=(*found.reasons, *texts.reasons) if texts.outcome <= found.outcome else (*texts.reasons, *found.reasons),
        texts=texts,
        discordant=(*found.discordant, *differing)[:MOST_NAMED],
        discordant_count=found.discordant_count + len(differing),
        notes=(*found.notes, *texts.notes),
    )


def _name(reply: Reply) -> str:
    """``run-1 request 17``; of an item its name too."""
    return f"{reply.run} request {reply.index}" + ("" if reply.item is None else f" ({reply.item})")


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
