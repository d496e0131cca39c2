"""Pairs of candidate and control: what is measured in which order, on what, and what is repeated.

::

    side by side  both run throughout; per pair one run of each, one right after the other, which first is drawn from the session's seed
    blocks        one at a time, in the order ABBA: 5 runs of the candidate, twice 5 of the control, 5 of the candidate, a deployment each

Both runs of a pair ask for the same at the same times; no two pairs do. Each run has its warm-up, and one arm measures at a time. How a
run is measured arrives as an argument, as does what is known of a deployment.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.proposal import binding_key
from pytest_dynperf.environment import Environment
from pytest_dynperf.errors import DeploymentError, DynperfError
from pytest_dynperf.measurement.measurement import Duet, Pair
from pytest_dynperf.session.control import differing, not_comparable
from pytest_dynperf.session.layout import SIDE_BY_SIDE
from pytest_dynperf.verdict.duet_noise import BLOCK
from pytest_dynperf.workload.seed import stream_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.control import ControlArm
    from pytest_dynperf.session.deployments import Deployments


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRun:
    """One run of a pair. ``number`` is that of the pair, from 1, and decides lengths and times; ``prompts`` names the stream of words that
    both arms share. ``source`` is the endpoint for whose tokenizer they are made, ``None`` for the one that is asked. ``what`` is for the
    live line; ``done`` of ``of`` runs came before.
    """

    name: str
    number: int
    prompts: str
    source: Endpoint | None
    what: str
    done: int
    of: int


@dataclass(slots=True, kw_only=True)
class OpenDuet:
    """A duet that is being measured. ``goal`` is how many pairs the next look needs. ``may_begin`` says of prompts and the number of a pair
    whether the deployment can be asked them as it is; where it cannot, there is a new one.
    """

    case: Case
    control: ControlArm
    layout: str
    seed: int
    deployments: Deployments
    run: Callable[[Case, Deployment, PairRun], Run]
    may_begin: Callable[[Case, Deployment, str, int], bool]
    environment_of: Callable[[Case, Deployment], Environment]
    goal: int = 0
    pairs: list[Pair] = field(default_factory=list)
    discarded: list[Pair] = field(default_factory=list)
    problems: tuple[str, ...] = ()
    names: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    candidate_environment: Environment | None = None
    control_environment: Environment | None = None

    @property
    def nothing_differs(self) -> bool:
        """Whether both arms are the same in everything that was recorded."""
        ours, theirs = self.candidate_environment, self.control_environment
        return ours is not None and theirs is not None and not differing(ours.provenance, theirs.provenance)

    def so_far(self) -> Duet:
        """What has been measured, as a value."""
        return Duet(
            pairs=tuple(self.pairs),
            control=self.control.words + ("; nothing that was recorded differs from the candidate" if self.nothing_differs else ""),
            layout=self.layout,
            control_provenance=dict(self.control_environment.provenance) if self.control_environment else {},
            discarded=tuple(self.discarded),
            problems=self.problems,
        )


def measure_pairs(duet: OpenDuet, goal: int) -> None:
    """Until there are ``goal`` pairs (in blocks: as many or more), or ``duet.problems``. An invalid pair is repeated once, with other
    prompts; where it is invalid again, or a service has gone, the duet is.

    :raises DynperfError: when an arm cannot be deployed, or the arms are not comparable, before there is a pair; later that is a problem.
    """
    duet.goal = goal
    try:
        while len(duet.pairs) < goal and not duet.problems:
            if duet.layout == SIDE_BY_SIDE:
                _one_pair(duet, len(duet.pairs) + 1)
            else:
                _one_cycle(duet)
    except DynperfError as error:
        if not duet.pairs:
            raise
        duet.problems = (str(error),)
    finally:
        _note_logs(duet)


def close(duet: OpenDuet) -> None:
    """Stop the control, and after problems the candidate too: what made two runs invalid must not meet the next case."""
    try:
        duet.deployments.discard_control()
    finally:
        if duet.problems:
            duet.deployments.discard()


# ---- both arms


def _candidate(duet: OpenDuet) -> Deployment:
    """The running candidate. The first one of a duet is new, so that both arms are of an age."""
    topology = duet.case.topology
    first = duet.candidate_environment is None
    deployment = duet.deployments.restart(topology) if first else duet.deployments.get(topology)
    if first:
        duet.candidate_environment = duet.environment_of(duet.case, deployment)
    return deployment


def _control(duet: OpenDuet) -> Deployment:
    """The running control, which must be comparable."""
    deployment = duet.deployments.get_control(duet.control)
    if duet.control_environment is None:
        found = duet.environment_of(duet.control.case, deployment)
        ours = duet.candidate_environment or found
        if duet.control.endpoint_url is not None:
            # An endpoint tells nothing but its model: who names it as control vouches for the rest.
            found = Environment(platform=found.platform, key={**ours.key, **found.key}, provenance=found.provenance, may_be_baseline=False)
        text = not_comparable(binding_key(duet.case, ours), binding_key(duet.control.case, found))
        if text is not None:
            raise DeploymentError(text)
        duet.control_environment = found
    return deployment


def _ready(duet: OpenDuet, arm: str, deployment: Deployment, number: int, prompts: str) -> Deployment:
    """``deployment``, or a new one where it has kept what this run is to ask."""
    if duet.may_begin(duet.case if arm == "candidate" else duet.control.case, deployment, prompts, number):
        return deployment
    _note_logs(duet)
    if arm == "candidate":
        return duet.deployments.restart(duet.case.topology)
    duet.deployments.discard_control()
    return duet.deployments.get_control(duet.control)


def _note_logs(duet: OpenDuet) -> None:
    found = (*duet.deployments.logs, *duet.deployments.control_logs)
    duet.logs += [name for name in found if name not in duet.logs]


def _measured(duet: OpenDuet, arm: str, deployment: Deployment, pair: int, *, prompts: str, source: Endpoint | None) -> Run:
    repeated = prompts.endswith("-repeated")
    name = f"pair-{pair:02d}-{arm}{'-repeated' if repeated else ''}"
    duet.names.append(name)
    case = duet.case if arm == "candidate" else duet.control.case
    of = 2 * _runs_ahead(duet)
    return duet.run(
        case,
        deployment,
        PairRun(
            name=name,
            number=pair,
            prompts=prompts,
            source=source,
            what=f"pair {pair}/{of // 2} {arm}{', repeated' if repeated else ''}",
            done=min(len(duet.names) - 2 * len(duet.discarded) - 1, of - 1),
            of=of,
        ),
    )


def _runs_ahead(duet: OpenDuet) -> int:
    """How many pairs there will be when the duet is looked at next."""
    cycle = 2 * BLOCK
    return duet.goal if duet.layout == SIDE_BY_SIDE else -(-duet.goal // cycle) * cycle


def _gone(arms: Iterable[tuple[str, Deployment]]) -> tuple[str, ...]:
    """Which services ended although nobody asked them to, each with its arm."""
    return tuple(f"{arm}: {text}" for arm, deployment in arms if (text := deployment.incident()) is not None)


# ---- side by side


def _one_pair(duet: OpenDuet, number: int) -> None:
    both = {"candidate": _candidate(duet), "control": _control(duet)}
    bad: list[Pair] = []
    for attempt in ("", "-repeated"):
        prompts = f"pair-{number:02d}{attempt}"
        both = {arm: _ready(duet, arm, deployment, number, prompts) for arm, deployment in both.items()}
        arms = tuple(both.items())
        first = random.Random(stream_seed(duet.seed, duet.case.name, prompts, "order")).random() < 0.5
        runs: dict[str, Run] = {}
        for arm, deployment in arms if first else reversed(arms):
            runs[arm] = _measured(duet, arm, deployment, number, prompts=prompts, source=both["candidate"].endpoint)
            duet.problems = _gone(arms)
            if duet.problems:
                return
        pair = Pair(candidate=runs["candidate"], control=runs["control"], candidate_first=first)
        if not pair.problems:
            duet.pairs.append(pair)
            return
        duet.discarded.append(pair)
        bad.append(pair)
    duet.problems = tuple(f"pair {number}, {text}" for pair in bad for text in pair.problems)


# ---- blocks


def _one_cycle(duet: OpenDuet) -> None:
    """Ten pairs by position: the first run of the candidate with the first of the control. They are kept in turn from the first half and
    from the second, so that a drift of the machine cancels at every look.
    """
    begun = len(duet.pairs)
    numbers = list(range(begun + 1, begun + 2 * BLOCK + 1))
    before, after = numbers[:BLOCK], numbers[BLOCK:]
    runs: dict[tuple[str, int], Run] = {}
    bad: list[tuple[str, int, Run]] = []
    for arm, block in (("candidate", before), ("control", before), ("control", after), ("candidate", after)):
        if not duet.problems:
            _note_logs(duet)
            duet.deployments.discard()
            duet.deployments.discard_control()
            _block(duet, arm, _candidate(duet) if arm == "candidate" else _control(duet), block, runs=runs, bad=bad)
    for arm, number, run in bad:
        partner = runs.get(("control" if arm == "candidate" else "candidate", number))
        if partner is not None:
            candidate, control = (run, partner) if arm == "candidate" else (partner, run)
            duet.discarded.append(Pair(candidate=candidate, control=control, candidate_first=number in before))
    if duet.problems:
        return
    for early, late in zip(before, after, strict=True):
        for number in (early, late):
            pair = Pair(candidate=runs["candidate", number], control=runs["control", number], candidate_first=number in before)
            duet.pairs.append(pair)


def _block(
    duet: OpenDuet,
    arm: str,
    deployment: Deployment,
    numbers: Iterable[int],
    *,
    runs: dict[tuple[str, int], Run],
    bad: list[tuple[str, int, Run]],
) -> None:
    """One run a pair, each repeated once where it is invalid; what is repeated asks for other words, as many and at the same times."""
    for number in numbers:
        for attempt in ("", "-repeated"):
            prompts = f"pair-{number:02d}{attempt}"
            deployment = _ready(duet, arm, deployment, number, prompts)
            run = _measured(duet, arm, deployment, number, prompts=prompts, source=None)
            duet.problems = _gone([(arm, deployment)])
            if duet.problems:
                return
            if not run.problems:
                runs[arm, number] = run
                break
            bad.append((arm, number, run))
        else:
            duet.problems = tuple(f"pair {number}, {arm}: {text}" for _, of, run in bad if of == number for text in run.problems)
            return
