"""Parity: whether a feature that must not change answers (LMCache on and off, say) changes them. Paired by item, never two proportions.

What passes was shown to lose less than the limit; finding no difference is no such thing, and is *inconclusive*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import bdtr, bdtrc

from pytest_dynperf.quantity import Absent
from pytest_dynperf.verdict.answers import PairedCounts, pair_answers
from pytest_dynperf.verdict.tango import pairs_needed, upper_bound
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_dynperf.verdict.answers import Answer

LIMIT = 0.01
"""One point."""

SUBJECT_LIMIT = 0.05

CHANCE = 0.25
"""Of a right answer by a guess among four."""

MAX_UNREADABLE = 0.01
"""Share of either arm's answers: beyond it what is compared is the reader of answers, not the answers."""

SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Nondeterminism:
    """What two arms without any difference between them disagree in: the noise under every parity."""

    n: int
    discordant: int

    @property
    def discordance(self) -> float:
        """As a share of the items."""
        return self.discordant / self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityVerdict:
    """*Unchanged* is a pass. ``loss`` is (losses - gains) / n, + is worse; ``upper_bound`` its one-sided 95 % bound (Tango); ``p_value``
    that of the one-sided exact McNemar test; ``n_needed`` the pairs with which 80 % of the measurements without any loss would pass, at the
    discordance seen here. These are ``None`` where the outcome is *invalid*. ``noise`` is that of an off/off control arm where one ran.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    n: int
    losses: int
    gains: int
    limit: float
    unreadable_reference: int = 0
    unreadable_candidate: int = 0
    loss: float | None = None
    upper_bound: float | None = None
    p_value: float | None = None
    n_needed: int | None = None
    noise: Nondeterminism | None = None

    @property
    def agreement(self) -> float | None:
        """Share of the items in which both arms are right or both are wrong; ``None`` without items."""
        return 1 - (self.losses + self.gains) / self.n if self.n else None


def judge_parity(
    counts: PairedCounts, *, limit: float = LIMIT, max_unreadable: float = MAX_UNREADABLE, noise: Nondeterminism | None = None
) -> ParityVerdict:
    """*Unchanged* where the upper bound of the loss lies below ``limit`` (a share: .01 is a point); *regressed* where the exact test has
    p < .05 and the loss itself exceeds ``limit``; else *inconclusive*. *Invalid* for counts with flaws, where more than
    ``max_unreadable`` of either arm's answers could not be read, and where the reference is right no more often than by guessing. About
    10 ms, nearly all of it for ``n_needed``.

    :raises ValueError: for a ``limit`` that is not between 0 and 1.
    """
    if not 0 < limit < 1:
        msg = f"a limit of {limit} is no share between 0 and 1; one point is 0.01"
        raise ValueError(msg)
    if flaws := counts.flaws or _unreadable(counts, max_unreadable) or _guessed(counts):
        return _verdict(counts, Outcome.INVALID, flaws, limit, noise)
    loss = (counts.losses - counts.gains) / counts.n
    bound, p_value = upper_bound(counts.losses, counts.gains, counts.n), mcnemar(counts.losses, counts.gains)
    needed = pairs_needed((counts.losses + counts.gains) / counts.n, limit)
    if bound < limit:
        outcome, reason = Outcome.UNCHANGED, "the loss is shown to be below the limit"
    elif p_value < SIGNIFICANCE and loss > limit:
        outcome, reason = Outcome.REGRESSED, "more items were lost than gained, by more than the limit and more than chance"
    else:
        outcome = Outcome.INCONCLUSIVE
        reason = f"neither a loss nor its absence is shown by {counts.n} items; {needed} would show its absence four times out of five"
        if needed <= counts.n:
            reason = f"neither a loss nor its absence is shown by {counts.n} items, which would do if losses and gains were as many"
    return _verdict(counts, outcome, (reason,), limit, noise, loss=loss, upper_bound=bound, p_value=p_value, n_needed=needed)


def mcnemar(losses: int, gains: int) -> float:
    """P(at least so many losses among the discordant items) where a loss is as likely as a gain: exact, one-sided; 1 without any."""
    return float(bdtr(gains, losses + gains, 0.5)) if losses else 1.0


def noise_of_nondeterminism(off: Iterable[Answer], off_again: Iterable[Answer]) -> Nondeterminism | Absent:
    """Of two arms that are the same: batches, and with them the last bits of sums, differ from run to run."""
    counts = pair_answers(off, off_again)
    if counts.flaws:
        return Absent(counts.flaws[0])
    return Nondeterminism(n=counts.n, discordant=counts.losses + counts.gains)


def _unreadable(counts: PairedCounts, allowed: float) -> tuple[str, ...]:
    arms = (("reference", counts.unreadable_reference), ("candidate", counts.unreadable_candidate))
    return tuple(
        f"{found} of {counts.n} answers of the {name} could not be read ({found / counts.n:.1%}, allowed {allowed:.1%})"
        for name, found in arms
        if found / counts.n > allowed
    )


def _together(counts: Iterable[PairedCounts]) -> PairedCounts:
    every = tuple(counts)
    right = [found.right_reference for found in every]
    known = None if None in right or not right else sum(one for one in right if one is not None)
    return PairedCounts(n=sum(found.n for found in every), losses=0, gains=0, right_reference=known)


def _guessed(counts: PairedCounts) -> tuple[str, ...]:
    """A reference that is right by chance alone has nothing to lose, whatever the arm does."""
    right = counts.right_reference
    if right is None or bdtrc(right - 1, counts.n, CHANCE) < SIGNIFICANCE:
        return ()
    return (f"the reference is right in {right} of {counts.n} items, no more than a guess among four would be: it has nothing to lose",)


def _verdict(
    counts: PairedCounts,
    outcome: Outcome,
    reasons: tuple[str, ...],
    limit: float,
    noise: Nondeterminism | None,
    *,
    loss: float | None = None,
    upper_bound: float | None = None,
    p_value: float | None = None,
    n_needed: int | None = None,
) -> ParityVerdict:
    return ParityVerdict(
        outcome=outcome,
        reasons=reasons,
        n=counts.n,
        losses=counts.losses,
        gains=counts.gains,
        limit=limit,
        unreadable_reference=counts.unreadable_reference,
        unreadable_candidate=counts.unreadable_candidate,
        loss=loss,
        upper_bound=upper_bound,
        p_value=p_value,
        n_needed=n_needed,
        noise=noise,
    )


# ---- the plain limits of systems before this one


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedLimitsVerdict:
    """``overall`` is (losses - gains) / n over all subjects, ``subjects`` the same for each; + is worse. Neither where *invalid*."""

    outcome: Outcome
    reasons: tuple[str, ...]
    overall: float | None = None
    subjects: tuple[tuple[str, float], ...] = ()


def fixed_limits(
    counts: Mapping[str, PairedCounts], *, overall: float = LIMIT, subject: float = SUBJECT_LIMIT, max_unreadable: float = MAX_UNREADABLE
) -> FixedLimitsVerdict:
    """|difference| at most ``overall`` over all items and at most ``subject`` in each one: *unchanged*, else *regressed*, a gain too,
    because parity is what is promised. It knows no noise: on few items it is red by chance, and green without having shown anything.
    """
    flaws = [f"{name}: {flaw}" for name, found in counts.items() for flaw in found.flaws or _unreadable(found, max_unreadable)]
    flaws += _guessed(_together(counts.values())) if not flaws else ()
    if not counts:
        flaws.append("there is no subject: nothing was compared")
    if flaws:
        return FixedLimitsVerdict(outcome=Outcome.INVALID, reasons=tuple(flaws))
    total = sum(found.losses - found.gains for found in counts.values()) / sum(found.n for found in counts.values())
    each = tuple((name, (found.losses - found.gains) / found.n) for name, found in counts.items())
    bounds = (("all subjects together", total, overall), *((name, value, subject) for name, value in each))
    reasons = tuple(
        f"{name}: {'lost' if value > 0 else 'gained'} {abs(value):.2%} of the items, allowed {allowed:.2%}"
        for name, value, allowed in bounds
        if abs(value) > allowed
    )
    return FixedLimitsVerdict(
        outcome=Outcome.REGRESSED if reasons else Outcome.UNCHANGED,
        reasons=reasons or ("every difference lies within its limit",),
        overall=total,
        subjects=each,
    )
