"""The rules that are simulated by name: the package's, the constants that it had before, and some that are wrong on purpose."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.judgement.gate import Rule
from pytest_dynperf.verdict.duet_noise import CLEAR_QUANTILE, LOOK_ALPHA
from pytest_dynperf.verdict.noise import DUET_SCREEN_QUANTILE, DUET_SCREEN_SHARE, SCREEN_QUANTILE, SCREEN_SHARE
from pytest_dynperf.verdict.sequential import LOOKS

PACKAGE = Rule(
    screen=DUET_SCREEN_QUANTILE,
    screen_floor=DUET_SCREEN_SHARE,
    looks=LOOKS,
    alphas=(LOOK_ALPHA,) * len(LOOKS),
    clear=1 - CLEAR_QUANTILE,
)
"""With a control, as it is written down in the package; the rest of ``Rule`` is shown to be the package's by ``agreement``."""

FRESH = Rule(screen=SCREEN_QUANTILE, screen_floor=SCREEN_SHARE, floor="mean")
"""The package's without a control: no pairs clear a false suspect, and the whole noise counts."""

FORMER = Rule(screen=0.75, screen_floor=0.5, floor="mean", looks=(5, 10, 15, 20), alphas=(0.0015,) * 4)
"""The constants of the package before these simulations, with a control."""

NAMED = {
    "package": PACKAGE,
    "former": FORMER,
    "loose": replace(PACKAGE, alphas=(0.05,) * len(PACKAGE.looks)),
    "blind": replace(PACKAGE, looks=PACKAGE.looks[:1], alphas=PACKAGE.alphas[:1]),
}
"""``loose`` tests at 5 % at each look, as if there were one; ``blind`` stops after five pairs. The check must fail both, and ``former``."""
