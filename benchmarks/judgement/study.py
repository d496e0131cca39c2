"""What a rule does in a simulated world: a setting in, shares and runs out, cell by cell."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.judgement import gate
from benchmarks.judgement.covariate import adjusted_duet
from benchmarks.judgement.gate import Rule
from benchmarks.judgement.world import BLOCKED, World, pairs, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

CVS = (0.01, 0.02, 0.04, 0.08)
CHANGES = (0.0, 0.03, 0.05, 0.10)
_CHUNK = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """``world``: what differs from the defaults of :class:`World`. ``adjust``: how the covariate is used, see ``settings``.
    ``blocks``: what deployments may do by chance counts as noise, as in a duet whose arms are deployed in turns.
    """

    name: str
    rule: Rule = field(default_factory=Rule)
    world: dict[str, Any] = field(default_factory=dict)
    runs: int = 3
    sessions: int = 10
    layout: str = "adjacent"
    adjust: str = "no"
    blocks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share counted in ``n`` repetitions."""

    count: int
    n: int

    @property
    def value(self) -> float:
        """Between 0 and 1."""
        return self.count / self.n

    @property
    def error(self) -> float:
        """Monte Carlo standard error, with half a count more than counted: 0 of n is not exact."""
        share = (self.count + 0.5) / (self.n + 1)
        return math.sqrt(share * (1 - share) / self.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """At one run CV and one change. ``runs`` is the mean number of candidate and control together, the first session included."""

    suspect: Share
    regressed: Share
    inconclusive: Share
    runs: float
    runs_error: float


def evaluate(setting: Setting, *, run_cv: float, changes: Sequence[float], repetitions: int, seed: int) -> list[Result]:
    """One result per change. All changes see the same noise, as do settings of one shape: differences are sharper than the errors say."""
    world = replace(World(run_cv=run_cv), **setting.world)
    rng = np.random.default_rng([seed, round(run_cv * 1e4)])
    counts = np.zeros((len(changes), 3), dtype=np.int64)
    totals = np.zeros((len(changes), 2))
    done = 0
    while done < repetitions:
        size = min(_CHUNK, repetitions - done)
        chunk_counts, chunk_totals = _chunk(setting, world, changes, size, rng)
        counts += chunk_counts
        totals += chunk_totals
        done += size
    found = []
    for (suspect, regressed, inconclusive), (total, squares) in zip(counts, totals, strict=True):
        mean = total / done
        shares = [Share(count=int(count), n=done) for count in (suspect, regressed, inconclusive)]
        error = math.sqrt(max(squares / done - mean**2, 0.0) / done)
        found.append(Result(suspect=shares[0], regressed=shares[1], inconclusive=shares[2], runs=mean, runs_error=error))
    return found


def _chunk(
    setting: Setting, world: World, changes: Sequence[float], size: int, rng: Generator
) -> tuple[np.ndarray[tuple[int, int]], np.ndarray[tuple[int, int]]]:
    # A pair of a block is there when the block is.
    rule, base = gate.in_blocks(setting.rule) if setting.layout in BLOCKED else setting.rule, setting.runs
    history = runs(world, (size, setting.sessions, setting.runs), rng)
    candidate = runs(world, (size, setting.runs), rng)
    measured = pairs(world, size, rule.looks[-1], setting.layout, rng)
    variance = gate.run_variance(np.concatenate([history, candidate[:, None, :]], axis=1))
    deployment = gate.deployment_variance(history, variance, rule) if setting.blocks else None
    counts, totals = [], []
    for change in np.log1p(changes):
        first = gate.compared(candidate + change, history, rule)
        suspect = np.flatnonzero(first.exceeds(rule.screen_floor * rule.tolerance, rule.screen))
        differences = measured.differences[suspect] + change
        if setting.adjust == "no":
            between = None if deployment is None else deployment[suspect]
            decided = gate.duet(differences, variance[suspect], rule, between)
        else:
            scale = 1 - world.covariate_share if setting.adjust == "scaled" else 1.0
            decided = adjusted_duet(differences, measured.covariate[suspect], variance[suspect] * scale, rule)
        used = 2.0 * decided.pairs
        regressed, undecided = decided.outcome == gate.REGRESSED, decided.outcome == gate.UNDECIDED
        counts.append((len(suspect), int(regressed.sum()), int(undecided.sum())))
        totals.append((base * size + used.sum(), ((used + base) ** 2).sum() + base**2 * (size - len(suspect))))
    return np.array(counts), np.array(totals)
