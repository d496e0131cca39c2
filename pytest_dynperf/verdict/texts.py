"""Whether two arms give the same text to the same prompt, where nothing is drawn by chance.

One text that differs is a finding: identity was promised. Where the reference, measured once more, differs from itself, identity is beyond
what the system can promise; then the arm must not differ by more than that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import gammaln as log_gamma
from scipy.special import ndtri

from pytest_dynperf.verdict.answers import NAMED
from pytest_dynperf.verdict.parity import LIMIT, SIGNIFICANCE, Nondeterminism
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Texts: TypeAlias = Mapping[str, str | None]

MOST_NOISE = 0.5
"""Share of its own texts that a reference may not repeat: beyond it garbage in every text is no excess that anybody could show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextVerdict:
    """``differing`` of ``n`` texts are not the reference's. ``noise``: those of the reference measured once more; ``None`` where it was
    not, or could not be compared. ``notes`` forbid nothing.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    n: int
    differing: int
    noise: Nondeterminism | None = None
    notes: tuple[str, ...] = ()

    @property
    def identical(self) -> float | None:
        """Share of the texts that are the same; ``None`` without any."""
        return 1 - self.differing / self.n if self.n else None


def judge_texts(reference: Texts, candidate: Texts, again: Texts, *, awaited: str | None = None) -> TextVerdict:
    """By name of the request, which begins with that of its run. *Unchanged*: all texts are the same. With a reference that differs from
    itself (``again``, empty where it was not measured): *unchanged* where the one-sided 95 % bound of what the arm differs by beyond that
    lies below a point, *regressed* where Fisher's exact test has p < .05 and it exceeds a point, else *inconclusive*.
    *Invalid* where an arm lacks texts. ``awaited`` is the arm that is to tell whether the reference repeats itself: without its texts, or
    with none of the same requests, texts that differ are *inconclusive*.
    """
    runs = _runs(reference) & _runs(candidate)
    theirs, ours = (_within(runs, arm) for arm in (reference, candidate))
    notes = _left_out(reference, candidate, runs)
    if flaw := _flaw(theirs, ours, runs):
        return TextVerdict(outcome=Outcome.INVALID, reasons=(flaw,), n=0, differing=0, notes=notes)
    n, names = len(ours), [name for name, text in ours.items() if theirs[name] != text]
    noise = _noise(reference, again)
    found = TextVerdict(outcome=Outcome.UNCHANGED, reasons=(), n=n, differing=len(names), noise=noise, notes=notes)
    if not names:
        return _with(found, Outcome.UNCHANGED, f"all {n} texts are the same")
    said = f"{len(names)} of {n} texts differ from the reference's: {', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
    if noise is None and awaited is not None:
        why = "it has not been measured" if not again else "it was asked nothing that the reference was asked"
        return _with(found, Outcome.INCONCLUSIVE, f"{said}; whether the reference repeats itself {awaited} is to tell, and {why}")
    if noise is None or not noise.discordant:
        beside = "" if noise is None else f"; the reference, measured once more, differs from itself in none of {noise.n}"
        return _with(found, Outcome.REGRESSED, said + beside)
    itself = f"the reference, measured once more, differs from itself in {noise.discordant} of {noise.n}"
    if noise.discordance > MOST_NOISE:
        return _with(found, Outcome.INCONCLUSIVE, f"{said}; {itself}: a system that repeats so little cannot show what an arm changes")
    if _excess_bound(len(names), n, noise) < LIMIT:
        return _with(found, Outcome.UNCHANGED, f"{said}; {itself}, and more than that by less than {LIMIT:.0%}")
    chance = _fisher(len(names), n, noise)
    if chance < SIGNIFICANCE and len(names) / n - noise.discordance > LIMIT:
        return _with(found, Outcome.REGRESSED, f"{said}; {itself}, and so many more are no chance (p = {chance:.2g})")
    return _with(found, Outcome.INCONCLUSIVE, f"{said}; {itself}, so that neither a difference of the arms nor its absence is shown")


def _with(found: TextVerdict, outcome: Outcome, reason: str) -> TextVerdict:
    return TextVerdict(outcome=outcome, reasons=(reason,), n=found.n, differing=found.differing, noise=found.noise, notes=found.notes)


def _runs(arm: Texts) -> set[str]:
    return {name.partition(" ")[0] for name in arm}


def _within(runs: set[str], arm: Texts) -> dict[str, str | None]:
    return {name: text for name, text in arm.items() if name.partition(" ")[0] in runs}


def _left_out(reference: Texts, candidate: Texts, runs: set[str]) -> tuple[str, ...]:
    """A run that was repeated in one arm had other prompts there."""
    return tuple(
        f"only the {arm} has {run}: its texts are not compared"
        for arm, texts in (("reference", reference), ("candidate", candidate))
        for run in sorted(_runs(texts) - runs)
        if runs
    )


def _flaw(theirs: Texts, ours: Texts, runs: set[str]) -> str | None:
    if not runs:
        return "no run of both arms asked the same prompts: no text was compared"
    for arm, texts in (("reference", theirs), ("candidate", ours)):
        empty = sum(not text for text in texts.values())
        if empty:
            return f"{empty} of {len(texts)} answers of the {arm} have no text: there is nothing to compare"
    if theirs.keys() != ours.keys():
        one = sorted(theirs.keys() ^ ours.keys())
        return f"{len(one)} requests were answered by one arm alone ({one[0]}): both must be asked the same"
    return None


def _noise(reference: Texts, again: Texts) -> Nondeterminism | None:
    shared = [name for name in again if again[name] and reference.get(name)]
    if not shared:
        return None
    return Nondeterminism(n=len(shared), discordant=sum(again[name] != reference[name] for name in shared))


def _fisher(differing: int, n: int, noise: Nondeterminism) -> float:
    """P(so many or more of all differing texts are the arm's) where each is as likely its as the repeated reference's: exact, one-sided."""
    total, marked = n + noise.n, differing + noise.discordant
    most = min(n, marked)
    whole = _log_choose(total, n)
    return min(1.0, sum(math.exp(_log_choose(marked, k) + _log_choose(total - marked, n - k) - whole) for k in range(differing, most + 1)))


def _log_choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return -math.inf
    return float(log_gamma(n + 1) - log_gamma(k + 1) - log_gamma(n - k + 1))


def _excess_bound(differing: int, n: int, noise: Nondeterminism) -> float:
    """One-sided 95 % upper bound of the difference of two independent shares (Newcombe's hybrid of Wilson intervals, Statistics in Medicine
    17 (1998) 873-890, method 10).
    """
    ours, theirs = differing / n, noise.discordance
    above = _wilson(ours, n, sign=1) - ours
    below = theirs - _wilson(theirs, noise.n, sign=-1)
    return ours - theirs + math.hypot(above, below)


def _wilson(share: float, n: int, *, sign: int) -> float:
    z = float(ndtri(1 - SIGNIFICANCE))
    centre = share + z * z / (2 * n)
    return (centre + sign * z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / (1 + z * z / n)
