"""Where no control can run: a suspect is decided by one fresh session against the same baseline."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.judgement import gate
from benchmarks.judgement.rules import FRESH
from benchmarks.judgement.study import CHANGES, CVS, Share
from benchmarks.judgement.table import CV_COLUMNS, markdown, number
from benchmarks.judgement.world import World, runs

if TYPE_CHECKING:
    from benchmarks.judgement.gate import Rule


def regressed(rule: Rule, *, run_cv: float, repetitions: int, seed: int = 1) -> list[Share]:
    """At each of ``CHANGES``."""
    world, rng = World(run_cv=run_cv), np.random.default_rng([seed, round(run_cv * 1e4)])
    history = runs(world, (repetitions, 10, 3), rng)
    first, fresh = (runs(world, (repetitions, 3), rng) for _ in range(2))
    whole, part = float(np.log1p(rule.tolerance)), rule.tolerance * rule.screen_floor
    found = []
    for change in np.log1p(CHANGES):
        suspect = gate.compared(first + change, history, rule).exceeds(part, rule.screen)
        confirmed = gate.compared(fresh + change, history, rule).exceeds(whole, rule.decision)
        found.append(Share(count=int((suspect & confirmed).sum()), n=repetitions))
    return found


def table(repetitions: int) -> str:
    """False alarms / power at +3 / +5 / +10 %, by what the floor under the standard error is taken from."""
    rows = []
    for floor in ("mean", "median", "none"):
        rule = replace(FRESH, floor=floor)
        cells = [" / ".join(number(share.value * 100) for share in regressed(rule, run_cv=cv, repetitions=repetitions)) for cv in CVS]
        rows.append([f"floor: {floor}", *cells])
    return markdown(["", *CV_COLUMNS], rows)
