"""Shows that ``gate`` says what the package says: on random inputs, to 1e-12, and every decision alike.

Without it the program would calibrate formulas that nobody runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.judgement import gate
from pytest_dynperf.quantity import Absent
from pytest_dynperf.verdict import duet_noise, run_noise
from pytest_dynperf.verdict.duet_noise import Finding
from pytest_dynperf.verdict.noise import compare, decision_limit, run_variance, screen_limit

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmarks.judgement.gate import Rule
    from pytest_dynperf.verdict.duet_noise import Look

CASES = 2000
_LIMIT = 1e-12
_OUTCOMES = {Finding.REGRESSED: gate.REGRESSED, Finding.UNCHANGED: gate.UNCHANGED, Finding.OPEN: gate.UNDECIDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One random input: sizes, changes and spreads differ by orders of magnitude, so that every branch is met."""

    candidate: NDArray[np.float64]
    sessions: NDArray[np.float64]
    differences: NDArray[np.float64]
    tolerance: float
    prior_sd: float


def random_case(rng: Generator, *, pairs: int) -> Case:
    """With outliers, so that clipping has something to clip; runs of a session now and then agree to the last digit."""
    sd = 10 ** rng.uniform(-4, -0.5)
    count, runs = int(rng.integers(1, 21)), int(rng.integers(3, 6))
    shared = rng.normal(0, sd * rng.uniform(0, 2), (count, 1))
    sessions = shared + rng.standard_t(3, (count, runs)) * sd
    change = rng.uniform(-1, 4) * sd
    candidate = rng.standard_t(3, runs) * sd + change
    differences = rng.standard_t(3, pairs) * sd * 1.4 + change
    if rng.random() < 0.1:
        sessions[0] = sessions[0, 0]
        differences[:10] = differences[0]
    return Case(
        candidate=candidate,
        sessions=sessions,
        differences=differences,
        tolerance=float(rng.choice([0.02, 0.03, 0.05, 0.08])),
        prior_sd=float(rng.choice([0.01, 0.02, 0.04])),
    )


def disagreements(rule: Rule, fresh: Rule, *, cases: int = CASES, seed: int = 11) -> list[str]:
    """What the package says otherwise about random inputs; empty where the two agree. ``rule``: with a control, ``fresh``: without."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(cases):
        case = random_case(rng, pairs=rule.looks[-1])
        texts = [*_of_screen(case, rule, duet=True), *_of_screen(case, fresh, duet=False), *_of_duet(case, rule), *_of_blocks(case, rule)]
        found += [f"input {number}: {text}" for text in texts]
    return found


def _of_screen(case: Case, rule: Rule, *, duet: bool) -> list[str]:
    package = compare(np.exp(case.candidate).tolist(), np.exp(case.sessions).tolist(), sign=1, prior_sd=case.prior_sd, duet=duet)
    ours = gate.compared(case.candidate[None], case.sessions[None], _with(rule, case))
    part = rule.screen_floor * case.tolerance
    whole = math.log1p(case.tolerance)
    limits = {
        "delta": (package.delta, float(ours.delta[0])),
        "standard error": (package.standard_error, float(ours.error[0])),
        "degrees": (package.degrees, ours.degrees),
        "limit of the screen": (screen_limit(package, case.tolerance, duet=duet), float(ours.limit(part, rule.screen)[0])),
        "limit of a fresh session": (decision_limit(package, case.tolerance), float(ours.limit(whole, rule.decision)[0])),
    }
    means = "with a control" if duet else "without a control"
    return [
        f"{what} {means}: {theirs} in the package, {mine} here" for what, (theirs, mine) in limits.items() if abs(theirs - mine) > _LIMIT
    ]


def _of_duet(case: Case, rule: Rule) -> list[str]:
    runs = np.concatenate([case.sessions, case.candidate[None]])
    within = run_variance(runs.tolist())
    ours = gate.run_variance(runs[None])
    found = [] if abs(within - ours[0]) <= _LIMIT else [f"variance of a run: {within} in the package, {ours[0]} here"]
    theirs = run_noise.noise_of(case.sessions.tolist(), case.candidate.tolist())
    mine = gate.deployment_variance(case.sessions[None], ours, rule)
    if theirs is None or abs(theirs.deployment - mine[0]) > _LIMIT:
        found.append(f"variance of deployments: {theirs} in the package, {mine[0]} here")
    rule = _with(rule, case)
    for count in rule.looks:
        one = duet_noise.estimate(case.differences[:count].tolist(), within)
        effect, error = gate.estimate(case.differences[None, :count], ours, rule)
        in_blocks = duet_noise.estimate(case.differences[:count].tolist(), within, deployment=float(mine[0])).standard_error
        _, wider = gate.estimate(case.differences[None, :count], ours, rule, mine)
        if max(abs(one.effect - effect[0]), abs(one.standard_error - error[0]), abs(in_blocks - wider[0])) > _LIMIT:
            found.append(f"{count} pairs: {one.effect} ± {one.standard_error} in the package, {effect[0]} ± {error[0]} here")
    look = duet_noise.replay(case.differences.tolist(), within, case.tolerance)
    decided = gate.duet(case.differences[None], ours, rule)
    return found + _otherwise(look, decided)


def _of_blocks(case: Case, rule: Rule) -> list[str]:
    """Judged as blocks: what deployments do counts, and a block is looked at when it is whole."""
    runs = np.concatenate([case.sessions, case.candidate[None]])
    within = gate.run_variance(runs[None])
    deployment = gate.deployment_variance(case.sessions[None], within, rule)
    decided = gate.duet(case.differences[None], within, gate.in_blocks(_with(rule, case)), deployment)
    differences = case.differences.tolist()
    look = duet_noise.replay(differences, run_variance(runs.tolist()), case.tolerance, deployment=float(deployment[0]), blocks=True)
    return [f"in blocks: {text}" for text in _otherwise(look, decided)]


def _otherwise(look: Look | Absent | None, decided: gate.Decided) -> list[str]:
    if look is None or isinstance(look, Absent):
        return [f"the package does not look: {look}"]
    if (_OUTCOMES[look.finding], look.estimate.pairs) == (int(decided.outcome[0]), int(decided.pairs[0])):
        return []
    return [f"{look.finding} after {look.estimate.pairs} pairs in the package, {decided.outcome[0]} after {decided.pairs[0]} here"]


def _with(rule: Rule, case: Case) -> Rule:
    return replace(rule, tolerance=case.tolerance, prior_sd=case.prior_sd)
