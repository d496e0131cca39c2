"""What will be measured, on what, for how long: complete before anything starts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_dynperf.baseline.ring import RING
from pytest_dynperf.baseline.store import read
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.report.meaning import label
from pytest_dynperf.report.wording import percent
from pytest_dynperf.session.caches import restarts
from pytest_dynperf.session.extensions import NONE, Extensions
from pytest_dynperf.verdict.sequential import LOOKS
from pytest_dynperf.verdict.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.scenario.platform import Platform
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.scenario.traffic import Traffic
    from pytest_dynperf.session.detection import Detectable

START_S = {"process": 6.0, "engine": 30.0, "attached": 1.0, "container": 240.0}
"""Start-up of a deployment in seconds. Process: measured (etcd, NATS, frontend, two mocker workers). Engine: the same with a real engine on
a CPU, 15 s for one worker on idle cores and as much again for what else starts. Container: a model to load.
"""

ASSUMED_S_PER_OUTPUT_TOKEN = 0.01
ASSUMED_S_PER_INPUT_TOKEN = 0.0002
"""Used for cases that have no baseline to tell how long they take; the plan says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the options, ini keys and environment of one invocation ask for. ``seed`` makes every prompt of the session.

    ``control`` are the texts of ``--dynperf-control``, its paths absolute; ``control_layout`` is one of
    :data:`~pytest_dynperf.session.control.LAYOUTS`. ``budget_s`` is the time for measuring beyond the first session of each case
    (``None``: as long as it takes), ``detect`` the change that ``--dynperf-plan`` is asked about, as a fraction. ``case_timeout_s`` is
    the longest time for one case (0: without end; ``None``: generous, by the plan). ``launcher`` is ``auto`` until the platform is known,
    and so are the part of the product's name and the memory of the GPUs that it wants empty. ``extensions``: what plugins add.
    """

    session_id: str
    stamp: str
    seed: int
    command: str
    rootdir: Path
    gpu: str = "auto"
    overrides: tuple[str, ...] = ()
    endpoint_url: str | None = None
    model: str | None = None
    environment_name: str | None = None
    api_key_variable: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    tokenizer: Path | None = None
    baselines: Path
    run_directory: Path
    cache_directory: Path
    update: Literal["off", "write", "dry-run"] = "off"
    accept_regression: str | None = None
    strict: bool = False
    fail_on_suspect: bool = False
    control: tuple[str, ...] = ()
    control_layout: str = "auto"
    budget_s: float | None = None
    detect: float | None = None
    case_timeout_s: float | None = None
    launcher: str = "auto"
    gpu_pattern: str = ""
    gpu_memory_gib: float = 0.0
    lease_wait_s: float = 0.0
    extensions: Extensions = field(default=NONE, compare=False, repr=False)

    @property
    def attached(self) -> bool:
        """Whether a running endpoint is measured instead of a deployment of our own."""
        return self.endpoint_url is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Cases in the order in which they will be measured; ``why`` says how the platform was chosen."""

    platform: Platform
    why: str
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Expected length of one case. ``known`` is true where baselines say how long its runs take."""

    seconds: float
    known: bool


def estimate(case: Case, baselines: Path) -> Estimate:
    """Length of one session of ``case`` without deployment: warm-up and R runs."""
    traffic = case.traffic
    durations = _known_durations(case, baselines)
    if durations:
        return Estimate(seconds=traffic.runs * traffic.overhead * sum(durations) / len(durations), known=True)
    askings = traffic.overhead * traffic.request_count / (traffic.warmup_count + traffic.request_count)
    return Estimate(seconds=traffic.runs * askings * assumed_run_s(traffic), known=False)


def case_limit_s(case: Case, settings: Settings) -> float | None:
    """How long ``case`` may take, everything included: what was asked for, or ten times what is expected if all that can happen happens (a
    suspect is measured again, every deployment starts twice, the reference arm is measured first and the one that repeats it last), and ten
    minutes; ``None`` without end.
    """
    if settings.case_timeout_s is not None:
        return settings.case_timeout_s or None
    expected_s = estimate(case, settings.baselines).seconds
    start_s = START_S["attached"] if settings.attached else START_S["container"]
    pairs_s = 2 * LOOKS[-1] * expected_s / case.traffic.runs if settings.control else 0.0
    others = [other for other in (case.reference, case.noise) if other is not None]
    others_s = sum(estimate(other, settings.baselines).seconds + start_s * (1 + _restarts(other, settings)) for other in others)
    return 600 + 10 * (2 * expected_s + pairs_s + 2 * start_s * (1 + _restarts(case, settings)) + others_s)


def _restarts(case: Case, settings: Settings) -> int:
    """Deployments of one session of ``case`` beside the first: what has kept the prompts of the run before cannot be asked them as new."""
    return 0 if settings.attached else restarts(case, case.traffic.runs)


def assumed_run_s(traffic: Traffic) -> float:
    """Length of one run where nothing is known about the server but what a token is assumed to take."""
    one = traffic.osl * ASSUMED_S_PER_OUTPUT_TOKEN + traffic.isl * ASSUMED_S_PER_INPUT_TOKEN
    requests = traffic.warmup_count + traffic.request_count
    rate = traffic.arrival.mean_rate_per_s
    # How long a trace lasts is known when it is read.
    seconds = requests / traffic.slots * one if traffic.arrival.closed else one + (requests / rate if rate else 0.0)
    return traffic.arrival.ramp_s + seconds


def _known_durations(case: Case, baselines: Path) -> list[float]:
    """Durations of the runs in any baseline of this case on this platform: for planning the host does not matter much."""
    try:
        found = read(baselines, suite=case.suite, case_id=case.case_id, key={})
    except BaselineError:
        return []  # the case itself will say it, where it counts
    documents = (*found.documents, *found.others)
    return [run.duration_s for document in documents if document.environment_name.startswith(case.platform) for run in document.runs]


def plan_lines(plan: Plan, settings: Settings) -> list[str]:
    """The plan as ``--dynperf-plan`` prints it: what, on what, how long, how many GPU-hours."""
    platform = plan.platform
    lines = [
        f"platform   {platform.name}: {plan.why}",
        f"           {platform.summary}",
        f"launcher   {'attached to ' + settings.endpoint_url if settings.endpoint_url else platform.launcher}",
        f"seed       {settings.seed}",
    ]
    if not platform.verified:
        lines.append("           its values come from upstream's recipes and have not yet been run on this hardware")
    total_s = gpu_s = 0.0
    unknown, planned = 0, {case.name for case in plan.cases}
    for key, cases in _by_deployment(plan.cases):
        topology = cases[0].topology
        seconds = start_s = _start_s(platform, topology, settings)
        lines.append(
            f"deployment {key}: {topology.engine}, {topology.shape}, model {settings.model or topology.model}, {topology.gpu_count} GPUs"
        )
        for case in cases:
            expected = estimate(case, settings.baselines)
            unknown += not expected.known
            seconds += expected.seconds + start_s * _restarts(case, settings)
            lines += _case_lines(case, expected, settings, start_s=start_s)
            if (first := case.reference) is not None and first.name not in planned:
                planned.add(first.name)
                first_s = estimate(first, settings.baselines).seconds + start_s * (1 + _restarts(first, settings))
                total_s += first_s
                gpu_s += first_s * first.topology.gpu_count
                lines.append(f"    first, where nothing has measured it: {first.case_id}, about {_duration(first_s)}")
        total_s += seconds
        gpu_s += seconds * topology.gpu_count
    lines.append(
        f"total      {_count(len(plan.cases), 'case')}, about {_duration(total_s)}, {gpu_s / 3600:.2f} GPU-hours; "
        + (
            "nothing is measured for a suspect"
            if settings.budget_s == 0
            else f"a suspect adds up to {LOOKS[-1]} pairs with the control, both arms deployed anew"
            if settings.control
            else "a suspect adds a fresh session of its case"
        )
        + ("" if not settings.budget_s else f", within {_duration(settings.budget_s)} in all")
    )
    if unknown:
        lines.append(
            f"           {unknown} without a baseline to tell: assumed {ASSUMED_S_PER_OUTPUT_TOKEN * 1e3:g} ms an output token "
            f"and {ASSUMED_S_PER_INPUT_TOKEN * 1e3:g} ms an input token"
        )
    return lines


def _start_s(platform: Platform, topology: Topology, settings: Settings) -> float:
    engine = platform.launcher == "process" and topology.engine != "mocker"
    return START_S.get("attached" if settings.attached else "engine" if engine else platform.launcher, 60.0)


def _case_lines(case: Case, expected: Estimate, settings: Settings, *, start_s: float) -> list[str]:
    traffic, again = case.traffic, _restarts(case, settings)
    return [
        (
            f"  {case.name:<50} {traffic.runs} runs of {traffic.request_count} requests, "
            f"about {_duration(expected.seconds)}{'' if expected.known else ' (assumed)'}"
        ),
        *(["    deployed anew before each further run, which asks the same: nothing else empties its caches"] if again else ()),
        *(f"    {line}" for line in _finds(case, settings, run_s=expected.seconds / traffic.runs, start_s=start_s)),
    ]


def _finds(case: Case, settings: Settings, *, run_s: float, start_s: float) -> list[str]:
    """Which regressions would be found, and what it takes to find the one that was asked for."""
    from pytest_dynperf.session.detection import (
        Affordable,
        affordable_pairs,
        detectable,
        documents_for,
    )  # scipy: for whoever asks for a plan
    from pytest_dynperf.session.judging import prior_of

    documents = documents_for(case, settings.baselines)
    blocks = settings.control_layout == "blocks"
    pairs = affordable_pairs(settings.budget_s, run_s=run_s, start_s=start_s, blocks=blocks) if settings.control else 0
    known = prior_of(settings.baselines, documents[-1].environment_name, settings.session_id) if documents else {}
    terms = Terms(meanings={**MEANINGS, **settings.extensions.meanings}, prior_sd=known)
    found = detectable(case, documents, Affordable(pairs=pairs, blocks=blocks), detect=settings.detect, terms=terms)
    if not found:
        return ["finds: no baseline tells what would be found"] if not documents else []
    sessions = _count(len(documents), "baseline session")
    lines = [f"finds, with {sessions}: by a fresh session {_listed((one.cell, one.by_fresh_session) for one in found)}"]
    if settings.control:
        within = "" if pairs == LOOKS[-1] else " within the budget"
        lines.append(
            f"finds, by {pairs} pairs{within}: {_listed((one.cell, one.by_duet) for one in found)}"
            if pairs
            else f"the budget does not reach the first look of a duet, after {LOOKS[0]} pairs"
        )
    if settings.detect is not None:
        lines += [_takes(one, settings.detect, len(documents), case, run_s=run_s, start_s=start_s, blocks=blocks) for one in found]
    return lines


def _listed(found: Iterable[tuple[Cell, float | None]]) -> str:
    return ", ".join(f"{label(cell)} {'nothing' if least is None else percent(least)}" for cell, least in found)


def _takes(one: Detectable, detect: float, have: int, case: Case, *, run_s: float, start_s: float, blocks: bool) -> str:
    """``3 % of ITL p50 takes 10 pairs (about 4 min), or 7 baseline sessions (4 more, about 2 min)``."""
    from pytest_dynperf.session.detection import pairs_s

    if one.pairs is None:
        pairs = f"more than {LOOKS[-1]} pairs"
    else:
        pairs = f"{one.pairs} pairs with a control (about {_duration(pairs_s(one.pairs, run_s=run_s, start_s=start_s, blocks=blocks))})"
    if one.sessions is None:
        sessions = f"more than {RING} baseline sessions can give"
    else:
        more = max(0, one.sessions - have)
        needed = f"{more} more, about {_duration(more * (case.traffic.runs * run_s + start_s))}" if more else "there are enough"
        sessions = f"{_count(one.sessions, 'baseline session')} ({needed})"
    return f"to find {percent(detect)} of {label(one.cell)} takes {pairs}, or {sessions}"


def _by_deployment(cases: Sequence[Case]) -> list[tuple[str, list[Case]]]:
    grouped: dict[str, list[Case]] = {}
    for case in cases:
        grouped.setdefault(case.topology.deployment_key, []).append(case)
    return list(grouped.items())


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duplicates(cases: Sequence[Case]) -> list[str]:
    """Names that more than one case carries: baselines could not tell them apart."""
    return sorted(name for name, count in Counter(case.name for case in cases).items() if count > 1)
