"""What is required of the rule, and whether a simulation shows it: false alarms, power, runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.judgement.study import CVS, Setting, evaluate

if TYPE_CHECKING:
    from benchmarks.judgement.gate import Rule

MOST_FALSE_ALARMS = 0.0025
LEAST_POWER = 0.95
MOST_RUNS = 20.0
_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``text`` has the number with its Monte Carlo interval (95 %). ``met`` is false where the number itself misses; ``near`` is true where
    the interval reaches over the limit, so that chance may have decided.
    """

    text: str
    met: bool
    near: bool


def check(rule: Rule, *, repetitions: int, seed: int = 1) -> list[Finding]:
    """For R = 3, K = 10: false alarms of a cell at each run CV, power and runs at +5 % and CV 2 %."""
    setting = Setting(name="requirement", rule=rule)
    found = []
    for cv in CVS:
        share = evaluate(setting, run_cv=cv, changes=(0.0,), repetitions=repetitions, seed=seed)[0].regressed
        what = f"false alarms at CV {cv * 100:.0f} %"
        found.append(_finding(what, share.value * 100, share.error * 100, at_most=MOST_FALSE_ALARMS * 100, unit=" %", digits=3))
    one = evaluate(setting, run_cv=0.02, changes=(0.05,), repetitions=repetitions, seed=seed)[0]
    power = one.regressed
    found.append(_finding("power at +5 %, CV 2 %", power.value * 100, power.error * 100, at_least=LEAST_POWER * 100, unit=" %", digits=2))
    found.append(_finding("runs at +5 %, CV 2 %", one.runs, one.runs_error, at_most=MOST_RUNS, unit="", digits=2))
    return found


def _finding(
    what: str, value: float, error: float, *, unit: str, digits: int, at_most: float | None = None, at_least: float | None = None
) -> Finding:
    low, high = value - _Z * error, value + _Z * error
    if at_most is not None:
        met, near, limit = value <= at_most, low <= at_most < high, f"at most {at_most:g}{unit}"
    else:
        assert at_least is not None
        met, near, limit = value >= at_least, low < at_least <= high, f"at least {at_least:g}{unit}"
    word = "met" if met else "MISSED"
    chance = "; the interval reaches over the limit" if near else ""
    text = f"{word}: {what}: {value:.{digits}f}{unit} ({max(low, 0):.{digits}f} to {high:.{digits}f}), required {limit}{chance}"
    return Finding(text=text, met=met, near=near)
