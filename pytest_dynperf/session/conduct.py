"""One case, from the deployment to the verdict. A reader who knows only this page knows the program.

::

    deployment ── endpoint ──▶ load ── Recording ──▶ measurement ── Measurement ──▶ verdict ── Verdict
    (get, restart)             R runs                (validity, one value per cell and run)  │ baseline documents
        ▲                                                                                    │
        └──────────────── fresh session: verdict.sequential asks for more ◀──────────────────┘
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.inspection import commit_facts
from pytest_dynperf.environment import Environment
from pytest_dynperf.errors import DynperfError
from pytest_dynperf.load.run import default_processes, run_load
from pytest_dynperf.measurement.measurement import Measurement
from pytest_dynperf.measurement.run import summarise
from pytest_dynperf.measurement.server_count import disagreement
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.session.deployments import with_gpu_count
from pytest_dynperf.session.judging import Judged, Measured, first_look
from pytest_dynperf.session.prompts import prompt_source
from pytest_dynperf.session.workload_file import workload_facts
from pytest_dynperf.telemetry.sampler import sampled
from pytest_dynperf.verdict.confirmation import confirm
from pytest_dynperf.verdict.judge import invalid
from pytest_dynperf.verdict.sequential import Step, next_step
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.stream import requests_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.load.run import Progress
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


def measure(case: Case, conduct: Conduct, *, fresh: bool = False) -> Measured:
    """R valid runs of ``case``; an invalid run is repeated once, a second invalid one ends the measurement.

    ``fresh`` starts a new deployment first, so that the runs share no state with earlier ones.

    :raises DynperfError: when the deployment cannot be had or requests cannot be made.
    """
    deployments = conduct.deployments
    deployment = deployments.restart(case.topology) if fresh else deployments.get(case.topology)
    environment = Environment(
        platform=case.platform,
        key={**deployment.key, **workload_facts(case)},
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
    """Load, and the summary of what was seen. Prompts are new for every run, also for a repeated one. What warms no cache (lengths, arrival
    times, which prefix comes when) is the same in run ``number`` of every case of the suite and of every session.
    """
    settings = conduct.settings
    endpoint = with_gpu_count(deployment.endpoint, case.topology)
    # No seed of the session in it: run 1 of tonight and run 1 of the baselines ask for the same amounts at the same times.
    shape_seed = stream_seed(0, case.suite, str(number))
    requests = requests_of(
        case.traffic,
        prompt_source(settings, endpoint, case.traffic.workload),
        seed=stream_seed(settings.seed, case.name, name),
        shape_seed=shape_seed,
        root=Path(case.directory),
    )
    before = deployment.witness()
    with sampled(endpoint) as sampler:
        recording = run_load(
            endpoint,
            requests,
            case.traffic,
            run=name,
            seed=shape_seed,
            records_path=conduct.run_directory.records(case.suite, case.case_id, name),
            processes=default_processes(case.traffic, os.cpu_count() or 1),
            progress=lambda progress: conduct.progress(case, number, case.traffic.runs, progress),
            incident=deployment.incident,
        )
        series, notes = sampler.finish()
    after = deployment.witness()
    recording = replace(recording, series=series, witness={key: after[key] - before[key] for key in after if key in before})
    recording = replace(recording, incidents=(*recording.incidents, *absent_witnesses(case, recording)))
    run = summarise(recording, traffic=case.traffic, expectation=case.expectation, facts=RunFacts(gpu_count=endpoint.gpu_count))
    counts = disagreement(recording)
    return replace(run, notes=notes if counts is None else (*notes, counts))


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
    verdict, documents = first_look(case, measured, conduct.settings.baselines)
    provenance = documents[-1].provenance if documents else {}
    if next_step(verdict).step is Step.ENOUGH:
        return Judged(verdict=verdict, confirmation=None, baseline_provenance=provenance)
    return _confirmed(case, verdict, documents, conduct, provenance)


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
