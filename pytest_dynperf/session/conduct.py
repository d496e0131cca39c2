"""One case, from the deployment to the verdict. A reader who knows only this page knows the program.

::

    deployment ── endpoint ──▶ load ── Recording ──▶ measurement ── Measurement ──▶ verdict ── Verdict
    (get, restart)             R runs                (validity, one value per cell and run)  │ baseline documents
        ▲                                                                                    │
        └──────────────── fresh session: verdict.sequential asks for more ◀──────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.proposal import binding_key
from pytest_dynperf.baseline.store import read
from pytest_dynperf.deployment.inspection import commit_facts
from pytest_dynperf.environment import Environment
from pytest_dynperf.errors import BaselineError, DynperfError
from pytest_dynperf.load.driver import run_closed_loop
from pytest_dynperf.measurement.measurement import Measurement
from pytest_dynperf.measurement.run import summarise
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.session.deployments import with_gpu_count
from pytest_dynperf.session.prompts import prompt_source
from pytest_dynperf.verdict.confirmation import confirm
from pytest_dynperf.verdict.judge import invalid, judge
from pytest_dynperf.verdict.sequential import Step, next_step
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.synthetic import synthetic_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.load.driver import Progress
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.run_directory import RunDirectory
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.deployments import Deployments
    from pytest_dynperf.session.plan import Settings
    from pytest_dynperf.verdict.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What every case of a process shares. ``progress`` is told case, run number, runs and the progress within the run."""

    settings: Settings
    run_directory: RunDirectory
    deployments: Deployments
    progress: Callable[[Case, int, int, Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A session of runs with what it ran on. ``environment`` is ``None`` where nothing could be deployed."""

    measurement: Measurement
    environment: Environment | None
    records: tuple[str, ...]
    logs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict and what it was made of."""

    verdict: Verdict
    confirmation: Measured | None
    baseline_provenance: Mapping[str, str]


def measure(case: Case, conduct: Conduct, *, fresh: bool = False) -> Measured:
    """R valid runs of ``case``; an invalid run is repeated once, a second invalid one ends the measurement.

    ``fresh`` starts a new deployment first, so that the runs share no state with earlier ones.

    :raises DynperfError: when the deployment cannot be had or requests cannot be made.
    """
    deployments = conduct.deployments
    deployment = deployments.restart(case.topology) if fresh else deployments.get(case.topology)
    environment = Environment(
        platform=case.platform,
        key=dict(deployment.key),
        provenance={**deployment.provenance, **commit_facts(conduct.settings.rootdir), **_asked(case)},
        may_be_baseline=not conduct.settings.attached or conduct.settings.environment_name is not None,
    )
    runs: list[Run] = []
    discarded: list[Run] = []
    names: list[str] = []
    problems: tuple[str, ...] = ()
    while len(runs) < case.traffic.runs and not problems:
        number = len(runs) + 1
        name = f"{'fresh' if fresh else 'run'}-{number}{'-repeated' if discarded and discarded[-1].name.endswith(f'-{number}') else ''}"
        names.append(name)
        run = one_run(case, conduct, deployment, name=name, number=number)
        if not run.problems:
            runs.append(run)
            continue
        discarded.append(run)
        gone = deployment.incident()
        if gone is not None or len(discarded) > 1:
            problems = (gone,) if gone is not None else tuple(f"{bad.name}: {problem}" for bad in discarded for problem in bad.problems)
    logs = deployments.logs
    if problems:
        deployments.discard()  # what made two runs invalid must not meet the next case
    return Measured(
        measurement=Measurement(runs=tuple(runs), discarded=tuple(discarded), problems=problems),
        environment=environment,
        records=tuple(_relative(conduct, case, name) for name in names),
        logs=logs,
    )


def one_run(case: Case, conduct: Conduct, deployment: Deployment, *, name: str, number: int) -> Run:
    """Load, and the summary of what was seen. Prompts are new for every run, also for a repeated one."""
    settings = conduct.settings
    source = prompt_source(settings, deployment.endpoint)
    before = deployment.witness()
    recording = run_closed_loop(
        deployment.endpoint,
        synthetic_requests(source, isl=case.traffic.isl, osl=case.traffic.osl, seed=stream_seed(settings.seed, case.name, name)),
        case.traffic,
        run=name,
        records_path=conduct.run_directory.records(case.suite, case.case_id, name),
        progress=lambda progress: conduct.progress(case, number, case.traffic.runs, progress),
        incident=deployment.incident,
    )
    after = deployment.witness()
    recording = replace(recording, witness={key: after[key] - before[key] for key in after if key in before})
    recording = replace(recording, incidents=(*recording.incidents, *absent_witnesses(case, recording)))
    endpoint = with_gpu_count(deployment.endpoint, case.topology)
    return summarise(recording, traffic=case.traffic, expectation=case.expectation, facts=RunFacts(gpu_count=endpoint.gpu_count))


def absent_witnesses(case: Case, recording: Recording) -> tuple[str, ...]:
    """Why a plane that the topology names did not take part. A request over NATS is at least one message into the server."""
    if case.topology.planes != "nats" or recording.incidents or "nats.in_msgs" not in recording.witness:
        return ()
    messages, requests = recording.witness["nats.in_msgs"], len(recording.measured)
    if messages >= requests:
        return ()
    return (
        f"NATS took in {messages:.0f} messages while {requests} requests were answered: they did not go over NATS, although planes = nats",
    )


def check(case: Case, measured: Measured, conduct: Conduct) -> Judged:
    """Judge, and measure a fresh session where a suspect asks for it."""
    if measured.environment is None:
        return Judged(verdict=invalid(measured.measurement.problems, case.expectation), confirmation=None, baseline_provenance={})
    key = binding_key(case, measured.environment)
    try:
        found = read(conduct.settings.baselines, suite=case.suite, case_id=case.case_id, key=key)
    except BaselineError as error:
        return Judged(verdict=invalid((str(error),), case.expectation), confirmation=None, baseline_provenance={})
    verdict = judge(measured.measurement, found, case.expectation, key=key)
    provenance = found.documents[-1].provenance if found.documents else {}
    if next_step(verdict) is Step.ENOUGH:
        return Judged(verdict=verdict, confirmation=None, baseline_provenance=provenance)
    return _confirmed(case, verdict, found.documents, conduct, provenance)


def _confirmed(case: Case, suspect: Verdict, documents: tuple[Baseline, ...], conduct: Conduct, provenance: Mapping[str, str]) -> Judged:
    try:
        fresh = measure(case, conduct, fresh=True)
    except DynperfError as error:
        text = f"suspect, and the fresh session that was to confirm it could not be measured: {error}"
        return Judged(verdict=invalid((text,), case.expectation), confirmation=None, baseline_provenance=provenance)
    verdict = confirm(suspect, fresh.measurement, documents, case.expectation)
    if conduct.settings.attached:
        verdict = replace(
            verdict, reasons=(*verdict.reasons, "the fresh session met the same endpoint: an attached server is not restarted")
        )
    return Judged(verdict=verdict, confirmation=fresh, baseline_provenance=provenance)


def failed_deployment(error: DynperfError) -> Measured:
    """What stands in for a measurement where there was nothing to measure."""
    return Measured(measurement=Measurement(runs=(), problems=(str(error),)), environment=None, records=(), logs=())


def _asked(case: Case) -> dict[str, str]:
    """What was asked for by hand: it may be what is under test, so it explains and does not bind."""
    arguments = {f"{name}.args": " ".join(role.args) for name, role in case.topology.roles.items() if role.args}
    if case.topology.router_args:
        arguments["router.args"] = " ".join(case.topology.router_args)
    if case.overrides:
        arguments["dynperf.set"] = "; ".join(case.overrides)
    return arguments


def _relative(conduct: Conduct, case: Case, name: str) -> str:
    return str(conduct.run_directory.records(case.suite, case.case_id, name).relative_to(conduct.run_directory.root))
