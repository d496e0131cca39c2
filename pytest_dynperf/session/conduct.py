"""One case, from the deployment to the verdict. A reader who knows only this page knows the program.

::

    deployment ── endpoint ──▶ load ── Recording ──▶ measurement ── Measurement ──▶ verdict ── Verdict
    (get, restart)             R runs                (validity, one value per cell and run)  │ baseline documents
        ▲                                                                                    │
        └──────── pairs with a control, or a fresh session: verdict.sequential asks ◀────────┘
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.accelerator.nvml import list_gpus
from pytest_dynperf.environment import differences
from pytest_dynperf.errors import DeploymentError, DynperfError
from pytest_dynperf.measurement.measurement import Measurement
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.quantity import Absent
from pytest_dynperf.session.caches import MET_BEFORE, emptied, meets_itself, restarts, words_of
from pytest_dynperf.session.control import control_of, parse_control
from pytest_dynperf.session.duet import OpenDuet, close, measure_pairs
from pytest_dynperf.session.environments import environment_of
from pytest_dynperf.session.judging import Judged, Measured, first_look, terms_for
from pytest_dynperf.session.layout import cost_of, layout_of
from pytest_dynperf.session.one_run import absent_witnesses, one_run
from pytest_dynperf.session.plan import START_S
from pytest_dynperf.session.redaction import without_secrets
from pytest_dynperf.session.shared import Conduct
from pytest_dynperf.verdict.confirmation import confirm
from pytest_dynperf.verdict.duet import confirm_by_duet
from pytest_dynperf.verdict.judge import invalid
from pytest_dynperf.verdict.sequential import LOOKS, Possible, Step, next_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.environment import Environment
    from pytest_dynperf.load.run import Progress
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.control import Control, ControlArm
    from pytest_dynperf.session.duet import PairRun
    from pytest_dynperf.verdict.verdict import Verdict

NOTHING_DIFFERS = "nothing that was recorded differs between candidate and control"

__all__ = ["Conduct", "absent_witnesses", "check", "expected_s", "failed_deployment", "in_time", "measure", "one_run"]


def measure(case: Case, conduct: Conduct, *, fresh: bool = False, prefix: str = "") -> Measured:
    """R valid runs of ``case``; an invalid run is repeated once, a second invalid one ends the measurement.

    ``fresh`` starts a new deployment first, so that the runs share no state with earlier ones. ``prefix`` stands before the names of the
    runs, which ask for the same as those without one.

    :raises DynperfError: when the deployment cannot be had, is another environment after a restart, or requests cannot be made.
    """
    deployments = conduct.deployments
    anew = fresh or (case.arm is not None and case.arm == case.expectation.parity.noise)  # the reference once more, from the beginning
    deployment = known = deployments.restart(case.topology) if anew else deployments.get(case.topology)
    environment = environment_of(case, deployment, conduct.settings, conduct.deployments)
    runs: list[Run] = []
    discarded: list[Run] = []
    names: list[str] = []
    logs: dict[str, None] = {}
    problems: tuple[str, ...] = ()
    while len(runs) < case.traffic.runs and not problems:
        number = len(runs) + 1
        prompts = f"{'fresh' if fresh else 'run'}-{number}{'-repeated' if discarded and discarded[-1].name.endswith(f'-{number}') else ''}"
        deployment = deployments.get(case.topology)  # the running one, or another where a fault has broken it
        if not _may_begin(case, conduct, deployment, prompts=prompts, number=number):
            deployment = deployments.restart(case.topology)
        known = _at_home(case, conduct, deployment, known, environment)
        names.append(name := prefix + prompts)
        conduct.deadline.now(f"in run {number} of {case.traffic.runs}{' of the fresh session' if fresh else ''}")
        run = _run(case, conduct, deployment, name=name, number=number, prompts=prompts)
        logs |= dict.fromkeys(deployments.logs)
        if not run.problems:
            runs.append(run)
            continue
        discarded.append(run)
        gone = deployment.incident() or conduct.deadline.passed()
        if gone is not None or len(discarded) > 1:
            problems = (gone,) if gone is not None else tuple(f"{bad.name}: {problem}" for bad in discarded for problem in bad.problems)
    if problems:
        deployments.discard()  # what made two runs invalid must not meet the next case
    return Measured(
        measurement=Measurement(runs=tuple(runs), discarded=tuple(discarded), problems=problems),
        environment=environment,
        records=tuple(_relative(conduct, case, name) for name in names),
        logs=tuple(logs),
    )


def _at_home(case: Case, conduct: Conduct, deployment: Deployment, known: Deployment, environment: Environment) -> Deployment:
    """``deployment``, which is ``known`` or in the same ``environment``: runs of two kinds of machines are no session.

    :raises DeploymentError: when a new one came up elsewhere, such as on another GPU.
    """
    if deployment is known:
        return deployment
    found = environment_of(case, deployment, conduct.settings, conduct.deployments)
    moved = [f"{name} is {now!r}, was {then!r}" for name, (then, now) in differences(environment.key, found.key).items()]
    if moved:
        msg = f"deployed anew between two runs, it is not where it was: {'; '.join(moved)}. Lease the whole host (topology.exclusive)"
        raise DeploymentError(msg)
    return deployment


def _may_begin(case: Case, conduct: Conduct, deployment: Deployment, *, prompts: str, number: int) -> bool:
    """Whether a run finds none of its own prompts in the caches of ``deployment`` that ``traffic.cache`` does not put there; they are
    emptied where that helps. False: it takes a new one. Of somebody else's server the run says it (:func:`_run`).
    """
    if not deployment.services or not meets_itself(case, conduct.asked, deployment, prompts=prompts, number=number):
        return True
    if not emptied(case.topology, deployment, reset=conduct.reset):
        return False
    conduct.asked.forget(deployment)
    return True


def _run(
    case: Case,
    conduct: Conduct,
    deployment: Deployment,
    *,
    name: str,
    number: int,
    prompts: str,
    source: Endpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """One run, remembered by what it asked."""
    met = meets_itself(case, conduct.asked, deployment, prompts=prompts, number=number)
    conduct.asked.note(deployment, words_of(case, prompts, number))
    run = one_run(case, conduct, deployment, name=name, number=number, prompts=prompts, source=source, progress=progress)
    return replace(run, notes=(*run.notes, MET_BEFORE)) if met else run


def check(case: Case, measured: Measured, conduct: Conduct) -> Judged:
    """Judge, and measure what a suspect asks for: pairs with a control where one can be had, else a fresh session."""
    settings = conduct.settings
    control = parse_control(settings.control, endpoint_url=settings.endpoint_url)
    terms = terms_for(
        settings.baselines,
        measured.environment,
        duet=control is not None,
        session_id=settings.session_id,
        meanings={**MEANINGS, **settings.extensions.meanings},
    )
    # Documents hold the case without secrets, so it is that one that is looked for.
    verdict, documents = first_look(without_secrets(case, settings), measured, settings.baselines, terms)
    provenance = documents[-1].provenance if documents else {}
    judged = Judged(verdict=verdict, confirmation=None, baseline_provenance=provenance, terms=terms, documents=documents)
    if next_step(verdict, _possible(control)).step is Step.ENOUGH:
        return judged
    if control is None:
        return _by_fresh_session(case, measured, judged, conduct)
    try:
        arm = control_of(control, case, documents[-1] if documents else None)
        return _by_duet(case, measured, judged, arm, conduct)
    except DynperfError as error:
        why = f"no pairs with a control could be measured: {error}"
        return _by_fresh_session(case, measured, judged, conduct, why=why)


def _possible(control: Control | None) -> Possible:
    return Possible(pairs=0 if control is None else LOOKS[-1])


def _said(verdict: Verdict, *reasons: str | None) -> Verdict:
    return verdict.under(*reasons)


def expected_s(case: Case, measured: Measured, runs: int, *, starts: int) -> float:
    """How long ``runs`` runs and ``starts`` deployments take, by the runs that were measured a moment ago."""
    done = measured.measurement.runs
    launcher = "" if measured.environment is None else measured.environment.provenance.get("launcher", "")
    run_s = case.traffic.overhead * sum(run.duration_s for run in done) / max(1, len(done))
    return runs * run_s + (starts + restarts(case, runs)) * START_S.get(launcher, START_S["container"])


# ---- pairs with a control


def _by_duet(case: Case, measured: Measured, judged: Judged, arm: ControlArm, conduct: Conduct) -> Judged:
    """Pairs up to the next look, until the verdict asks for no more or the budget is spent.

    :raises DynperfError: when there is no pair because the control cannot be had.
    """
    settings = conduct.settings
    gpus = list_gpus() if case.topology.gpu_count else ()
    duet = OpenDuet(
        case=case,
        control=arm,
        layout=layout_of(settings.control_layout, case.topology, arm, gpus=0 if isinstance(gpus, Absent) else len(gpus)),
        seed=settings.seed,
        deployments=conduct.deployments,
        run=lambda of, deployment, pair: _run_of_pair(of, deployment, pair, conduct),
        may_begin=lambda of, deployment, prompts, number: _may_begin(of, conduct, deployment, prompts=prompts, number=number),
        environment_of=lambda of, deployment: environment_of(of, deployment, settings, conduct.deployments),
    )

    def decide(*, final: bool) -> Verdict:
        pairs, known = duet.so_far(), judged.documents
        return confirm_by_duet(judged.verdict, pairs, case.expectation, documents=known, terms=judged.terms, final=final)

    verdict, refused, begun_s = judged.verdict, None, conduct.budget.spent_s
    try:
        while (ask := next_step(verdict, Possible(pairs=LOOKS[-1]), measured_pairs=len(duet.pairs))).step is Step.PAIRS:
            missing, done = ask.pairs - len(duet.pairs), len(duet.pairs)
            each_s = (conduct.budget.spent_s - begun_s) / done if done else 0.0
            runs, starts = cost_of(duet.layout, missing)
            refused = conduct.budget.refusal(each_s * runs / 2 or expected_s(case, measured, runs, starts=starts))
            if refused is not None:
                break
            with conduct.budget.spending():
                measure_pairs(duet, ask.pairs)
            verdict = decide(final=bool(duet.problems))
            if duet.problems:
                break
    finally:
        close(duet)
    if not duet.pairs and not duet.problems:  # a fresh session takes less than the first look, and may still fit
        why = f"no pairs with the control were measured: {refused}"
        return _by_fresh_session(case, measured, judged, conduct, why=why)
    if not duet.problems:
        verdict = decide(final=True)
    return replace(
        judged,
        verdict=_said(verdict, refused, NOTHING_DIFFERS if duet.nothing_differs else None),
        duet=duet.so_far(),
        records=tuple(_relative(conduct, case, name) for name in duet.names),
        logs=tuple(duet.logs),
    )


def _run_of_pair(case: Case, deployment: Deployment, pair: PairRun, conduct: Conduct) -> Run:
    conduct.deadline.now(f"in {pair.what}")
    conduct.deadline.check()
    return _run(
        case,
        conduct,
        deployment,
        name=pair.name,
        number=pair.number,
        prompts=pair.prompts,
        source=pair.source,
        progress=lambda told: conduct.progress(case, pair.done + 1, pair.of, told, pair.what),
    )


# ---- a fresh session


def _by_fresh_session(case: Case, measured: Measured, judged: Judged, conduct: Conduct, *, why: str | None = None) -> Judged:
    """``why`` there was no duet, where one was asked for."""
    refused = conduct.budget.refusal(expected_s(case, measured, case.traffic.runs, starts=1))
    if refused is not None:
        return replace(judged, verdict=_said(judged.verdict, why, refused))
    try:
        with conduct.budget.spending():
            fresh = measure(case, conduct, fresh=True)
    except DynperfError as error:
        text = f"suspect, and the fresh session that was to confirm it could not be measured: {error}"
        return replace(judged, verdict=invalid((text,), case.expectation))
    verdict = confirm(judged.verdict, fresh.measurement, judged.documents, case.expectation, terms=judged.terms)
    same = "the fresh session met the same endpoint: an attached server is not restarted" if conduct.settings.attached else None
    return replace(judged, verdict=_said(verdict, same, why), confirmation=fresh)


def in_time(judged: Judged, case: Case, conduct: Conduct) -> Judged:
    """``judged``; a case whose time was over while it was measured is invalid, and all that ran for it is stopped."""
    over = conduct.deadline.over
    if over is None:
        return judged
    conduct.deployments.discard_control()
    conduct.deployments.discard()
    return replace(judged, verdict=invalid((over,), case.expectation))


def failed_deployment(error: DynperfError) -> Measured:
    """What stands in for a measurement where there was nothing to measure."""
    return Measured(measurement=Measurement(runs=(), problems=(str(error),)), environment=None, records=(), logs=())


def _relative(conduct: Conduct, case: Case, name: str) -> str:
    return str(conduct.run_directory.records(case.suite, case.case_id, name).relative_to(conduct.run_directory.root))
