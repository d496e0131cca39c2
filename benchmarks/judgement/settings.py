"""What is varied, question by question.

A setting differs from the package's rule, or from the former one, in what its name says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.judgement.rules import FORMER, PACKAGE
from benchmarks.judgement.study import Setting

if TYPE_CHECKING:
    from benchmarks.judgement.gate import Rule

FOUR = FORMER.looks
THE_PACKAGE = "the package"


def _rule(name: str, rule: Rule = PACKAGE, **changes: Any) -> Setting:
    return Setting(name=name, rule=replace(rule, **changes))


def _world(
    name: str, *, rule: Rule = PACKAGE, layout: str = "adjacent", adjust: str = "no", blocks: bool = False, **world: float
) -> Setting:
    return Setting(name=name, rule=rule, world=world, layout=layout, adjust=adjust, blocks=blocks)


def _looks(looks: tuple[int, ...], alpha: float, **changes: Any) -> Setting:
    text = f"looks {', '.join(map(str, looks))}; α {alpha:g} each"
    return _rule(text, looks=looks, alphas=(alpha,) * len(looks), **changes)


STEPS = (
    _rule("the former constants", FORMER),
    _rule("and the floor from the median variance", FORMER, floor="median"),
    _rule("and the screen at .4 of the tolerance", FORMER, floor="median", screen_floor=0.4),
    _rule("and a look at 30, α .001 each", FORMER, floor="median", screen_floor=0.4, looks=(*FOUR, 30), alphas=(0.001,) * 5),
    _rule("and a look at 7: the package"),
)

FLOOR = (
    _rule(f"{THE_PACKAGE}; floor: median variance within sessions"),
    _rule("floor: mean variance within sessions", floor="mean"),
    _rule("no floor", floor="none"),
)

PAIRS = (
    _rule(f"{THE_PACKAGE}; looks 5, 7, 10, 15, 20, 30; α 0.001 each"),
    _looks(PACKAGE.looks, 0.0012),
    _looks((*PACKAGE.looks, 40), 0.001),
    _looks((*FOUR, 30), 0.001),
    _looks((*FOUR, 30, 40), 0.001),
    _looks(FOUR, 0.0015),
    _looks((4, 6, 8, 11, 15, 20, 30), 0.001),
    _looks((4, 6, 8, 11, 15, 20), 0.001),
    _rule("looks 5, 10, 15, 20; α .0002, .0008, .002, .003 (as O'Brien and Fleming)", looks=FOUR, alphas=(0.0002, 0.0008, 0.002, 0.003)),
    _rule("looks 5, 10, 15, 20; α .003, .0015, .0005, .0005 (spent early)", looks=FOUR, alphas=(0.003, 0.0015, 0.0005, 0.0005)),
    _rule("one look, at 20; α .006", looks=(20,), alphas=(0.006,)),
)

SCREEN = (
    _rule(f"{THE_PACKAGE}; max(.4 tolerance, t(.75) se)"),
    _rule("max(tolerance/2, t(.80) se)", screen_floor=0.5, screen=0.80),
    _rule("max(tolerance/2, t(.75) se)", screen_floor=0.5),
    _rule("max(tolerance/3, t(.75) se)", screen_floor=1 / 3),
    _rule("max(.4 tolerance, t(.70) se)", screen=0.70),
    _rule("max(tolerance/3, t(.70) se)", screen_floor=1 / 3, screen=0.70),
)

SIZES = (
    _rule(f"{THE_PACKAGE}; tolerance 3 %, K = 10, R = 3"),
    _rule("tolerance 2 %", tolerance=0.02),
    _rule("tolerance 5 %", tolerance=0.05),
    *(Setting(name=f"K = {sessions}", rule=PACKAGE, sessions=sessions) for sessions in (1, 3, 5, 20)),
    Setting(name="R = 5", rule=PACKAGE, runs=5),
    Setting(name="R = 5, K = 20", rule=PACKAGE, runs=5, sessions=20),
    Setting(name="R = 5, tolerance 2 %", rule=replace(PACKAGE, tolerance=0.02), runs=5),
)

ERRORS = ((0.0, 0.0), (0.012, 0.0), (0.012, 0.5), (0.012, 0.9), (0.025, 0.0), (0.025, 0.5), (0.025, 0.9))

PROMPTS = tuple(
    Setting(
        name=f"error of finite requests {error * 100:.1f} %, {common * 100:.0f} % of its variance common",
        rule=PACKAGE,
        world={"statistic_error": error, "common": common},
    )
    for error, common in ERRORS
)

LAYOUTS = {
    "adjacent": "pairs, order drawn",
    "abba": "ABBA blocks of 5",
    "ab": "AB blocks of 5, control first",
    "sequential": "all control, then all candidate",
}

DRIFTS = {
    "+0.05 % a run": ("slope", 0.0005),
    "+0.2 % a run": ("slope", 0.002),
    "random walk, 0.3 % a run": ("walk", 0.003),
    "random walk, 1 % a run": ("walk", 0.01),
}

DRIFT = tuple(
    Setting(name=f"{words}; {what}", rule=PACKAGE, layout=layout, world={key: size})
    for what, (key, size) in DRIFTS.items()
    for layout, words in LAYOUTS.items()
)

DEPLOYMENT = (
    _world("nothing is the deployment's; ABBA blocks of 5, judged as blocks", layout="abba", blocks=True),
    *(
        _world(
            f"{share * 100:.0f} % of the session's variance is the deployment's; {words}",
            layout=layout,
            blocks=blocks,
            deployment_share=share,
        )
        for share in (0.1, 0.25, 0.5, 1.0)
        for layout, blocks, words in (
            ("adjacent", False, "one deployment an arm"),
            ("abba", False, "ABBA blocks of 5, judged as if side by side"),
            ("abba", True, "ABBA blocks of 5, judged as blocks"),
        )
    ),
    *(
        _world(
            f"{share * 100:.0f} % of the session's variance is the deployment's; one deployment an arm, the former constants",
            rule=FORMER,
            deployment_share=share,
        )
        for share in (0.1, 0.25, 0.5, 1.0)
    ),
)

ADJUSTMENTS = {"no": "not used", "plain": "regressed out in the duet", "scaled": "and taken out of the sessions' runs as well"}

COVARIATE = (
    *(
        _world(f"explains {share * 100:.0f} % of the run's variance; {words}", covariate_share=share, adjust=adjust)
        for share in (0.25, 0.5, 0.75)
        for adjust, words in ADJUSTMENTS.items()
    ),
    _world("explains nothing; regressed out in the duet", covariate_share=1e-12, adjust="plain"),
)

ROBUSTNESS = (
    _world("no outlier runs", outlier_share=0.0),
    _world("outlier runs 3 %, slower by 6 % on average", outlier_mean=0.06),
    _world("outlier runs 3 %, slower by 12 % on average"),
    _world("outlier runs 3 %, slower by 25 % on average", outlier_mean=0.25),
    _world("outlier runs 3 %, slower by 25 % on average; the former constants", rule=FORMER, outlier_mean=0.25),
    _world("outlier runs 10 %, slower by 12 % on average", outlier_share=0.1),
    _world("sessions as noisy as runs", session_ratio=1.0),
    _rule("prior 1 %", prior_sd=0.01),
    _rule("prior 4 %", prior_sd=0.04),
)

QUESTIONS: dict[str, tuple[Setting, ...]] = {
    "From the former constants to those of the package, one at a time": STEPS,
    "Where the floor under the standard error of a session comes from": FLOOR,
    "More pairs, other looks, other spending of α": PAIRS,
    "The screen": SCREEN,
    "Tolerance, sessions in the baseline, runs in a session": SIZES,
    "The same prompts in both arms": PROMPTS,
    "Drift, and how the arms are laid out in time": DRIFT,
    "When a deployment has luck of its own": DEPLOYMENT,
    "A measured covariate": COVARIATE,
    "What the simulated world assumes": ROBUSTNESS,
}
