"""The rules that are simulated by name: the package's, the one recommended from these simulations, and some that are wrong on purpose."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.judgement.gate import Rule
from pytest_dynperf.verdict.duet_noise import CLEAR_QUANTILE, LOOK_ALPHA
from pytest_dynperf.verdict.noise import DUET_SCREEN_QUANTILE
from pytest_dynperf.verdict.sequential import LOOKS

PACKAGE = Rule(screen=DUET_SCREEN_QUANTILE, looks=LOOKS, alphas=(LOOK_ALPHA,) * len(LOOKS), clear=1 - CLEAR_QUANTILE)
"""What is written down in the package; the rest of ``Rule`` is shown to be the package's by ``agreement``."""

RECOMMENDED = Rule(floor="median", screen_floor=0.4, looks=(5, 7, 10, 15, 20, 30), alphas=(0.001,) * 6)

NAMED = {
    "package": PACKAGE,
    "recommended": RECOMMENDED,
    "loose": replace(PACKAGE, alphas=(0.05,) * len(PACKAGE.looks)),
    "blind": replace(PACKAGE, looks=(5,), alphas=(0.0015,)),
}
"""``loose`` tests at 5 % at each look, as if there were one; ``blind`` stops after five pairs. The check must fail both."""
