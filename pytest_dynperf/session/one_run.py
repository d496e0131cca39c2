"""One run of a case on a deployment: the caches as asked, load, what was seen of it, and whether it may be judged."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import RunDirectoryError
from pytest_dynperf.fault.injection import injected
from pytest_dynperf.load.run import default_processes, run_load
from pytest_dynperf.measurement.activation import inactive
from pytest_dynperf.measurement.gpu_validity import gpu_notes
from pytest_dynperf.measurement.run import summarise
from pytest_dynperf.measurement.server_count import disagreement
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.observation.run_columns import encode, run_columns
from pytest_dynperf.run_directory import write_atomically
from pytest_dynperf.session.caches import ready_caches
from pytest_dynperf.session.deployments import with_gpu_count
from pytest_dynperf.session.prompts import prompt_source
from pytest_dynperf.telemetry.host import grown, host_counters, stolen_note
from pytest_dynperf.telemetry.rest import unrest
from pytest_dynperf.telemetry.sampler import sampled
from pytest_dynperf.telemetry.watch import watched
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.stream import requests_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.load.run import Progress
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.series import Series
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.plan import Settings
    from pytest_dynperf.session.shared import Conduct
    from pytest_dynperf.workload.request import Request


MESSAGES = "nats.in_msgs"
"""Counter of a witness: messages into NATS."""


def one_run(
    case: Case,
    conduct: Conduct,
    deployment: Deployment,
    *,
    name: str,
    number: int,
    prompts: str = "",
    source: Endpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Load, and the summary of what was seen. Prompts are new for every run, also for a repeated one; those of two runs are the same where
    both name the same ``prompts`` and ``source``, the endpoint for whose tokenizer they are made: all arms of a point do. What warms no
    cache (lengths, arrival times, which prefix comes when) is the same in run ``number`` of every case of the suite and of every session.
    """
    endpoint = with_gpu_count(deployment.endpoint, case.topology)
    # No seed of the session in it: run 1 of tonight and run 1 of the baselines ask for the same amounts at the same times.
    shape_seed = stream_seed(0, case.suite, str(number))
    seed = stream_seed(conduct.settings.seed, case.point, prompts or name)
    part = (number - 1) % case.traffic.runs  # pairs with a control go on after the last run of a session
    requests = partial(_requests, case, source or endpoint, conduct.settings, seed=seed, shape_seed=shape_seed, part=part)
    told = progress or (lambda told: conduct.progress(case, number, case.traffic.runs, told, ""))
    unready = _ready(case, conduct, deployment, requests, name=name, number=number, seed=shape_seed)
    before = _counters(deployment)
    with (
        _witnessed(endpoint, conduct, deployment) as seen,
        injected(case.fault, deployment, instances=case.topology.worker_count) as injection,
    ):
        recording = run_load(
            endpoint,
            requests(),
            case.traffic,
            run=name,
            seed=shape_seed,
            records_path=conduct.run_directory.records(case.suite, case.case_id, name),
            processes=default_processes(case.traffic, os.cpu_count() or 1),
            progress=injection.watching(told),
            incident=conduct.deadline.watching(deployment.incident),
            temporary=conduct.temporary,
        )
        series, notes = seen()
    witness = {**grown(before, _counters(deployment)), **injection.witness}
    if injection.broken is not None:
        conduct.deployments.discard()
    recording = replace(recording, series=(*series, *injection.series), witness=witness)
    _keep_course(conduct, case, recording)
    asleep = _asleep(case, deployment, recording)
    return _summary(case, recording, (*unready, *injection.problems, *asleep), notes, conduct, gpu_count=endpoint.gpu_count)


@contextmanager
def _witnessed(
    endpoint: Endpoint, conduct: Conduct, deployment: Deployment
) -> Iterator[Callable[[], tuple[tuple[Series, ...], tuple[str, ...]]]]:
    """Metrics of servers, of GPUs, and what extensions read; what is yielded, called once, gives their series, and notes."""
    gpus = conduct.deployments.gpus_of(deployment)
    with (
        sampled(endpoint, gpus=None if gpus is None else gpus.watch(deployment)) as sampler,
        watched(endpoint, conduct.settings.extensions.watches) as added,
    ):

        def seen() -> tuple[tuple[Series, ...], tuple[str, ...]]:
            (series, notes), (more, said) = sampler.finish(), added()
            return (*series, *more), (*notes, *said)

        yield seen


def _keep_course(conduct: Conduct, case: Case, recording: Recording) -> None:
    """What the page draws of the run. No verdict rests on it, so a disk that is full here costs a drawing and not the case."""
    with suppress(RunDirectoryError):
        path = conduct.run_directory.columns(case.suite, case.case_id, recording.run)
        write_atomically(path, encode(run_columns(recording)), durable=False)


def _requests(case: Case, made_for: Endpoint, settings: Settings, *, seed: int, shape_seed: int, part: int) -> Iterator[Request]:
    source = prompt_source(settings, made_for, case.traffic.workload, case.topology)
    makers = settings.extensions.workloads
    root = Path(case.directory)
    return requests_of(case.traffic, source, seed=seed, shape_seed=shape_seed, root=root, makers=makers, part=part)


def _ready(
    case: Case, conduct: Conduct, deployment: Deployment, requests: Callable[[], Iterator[Request]], *, name: str, number: int, seed: int
) -> tuple[str, ...]:
    """The caches hold what ``traffic.cache`` says, and engines rest; else why not.

    :raises DeploymentError: when caches cannot be emptied.
    """
    if deployment.services:
        unrest(deployment.endpoint)  # what still runs cannot be emptied, and would fill again what was
    flaws = ready_caches(
        case.traffic,
        case.topology,
        deployment,
        reset=conduct.reset,
        ask=lambda: run_load(
            with_gpu_count(deployment.endpoint, case.topology),
            requests(),
            case.traffic,
            run=f"{name}-warming",
            seed=seed,
            records_path=None,
            processes=default_processes(case.traffic, os.cpu_count() or 1),
            progress=lambda told: conduct.progress(case, number, case.traffic.runs, told, "warming its caches"),
            incident=conduct.deadline.watching(deployment.incident),
            temporary=conduct.temporary,
        ),
    )
    # What others ask of a server that is not ours goes on.
    at_work = unrest(deployment.endpoint) if deployment.services else None
    return (*flaws, *((at_work,) if at_work is not None else ()))


def _summary(
    case: Case, recording: Recording, problems: Sequence[str], notes: Sequence[str], conduct: Conduct, *, gpu_count: int | None
) -> Run:
    recording = replace(recording, incidents=(*recording.incidents, *problems, *absent_witnesses(case, recording)))
    facts, metrics = RunFacts(gpu_count=gpu_count), conduct.settings.extensions.catalogue
    run = summarise(recording, traffic=case.traffic, expectation=case.expectation, facts=facts, metrics=metrics)
    counts = disagreement(recording)
    return replace(run, notes=(*notes, *((counts,) if counts else ()), *stolen_note(recording.witness), *gpu_notes(recording)))


def _asleep(case: Case, deployment: Deployment, recording: Recording) -> tuple[str, ...]:
    """What was claimed and did not take part. What somebody else runs need not be what the topology says: of it nothing is claimed."""
    if not deployment.services:
        return ()
    found = inactive(case.topology, case.traffic, recording, min_active_share=case.expectation.min_active_share)
    faulted = case.fault is not None and case.fault.target == "nats"
    if case.topology.planes != "nats" or "nats" not in deployment.services or MESSAGES in recording.witness or faulted:
        return found
    return (*found, "topology.planes = 'nats' cannot be shown: NATS did not tell before and after the run how many messages it took in")


def _counters(deployment: Deployment) -> dict[str, float]:
    return {**deployment.witness(), **host_counters()}


def absent_witnesses(case: Case, recording: Recording) -> tuple[str, ...]:
    """Why a plane that the topology names did not take part. A request over NATS is at least one message into the server."""
    if case.fault is not None and case.fault.target == "nats":
        return ()  # its counters began anew
    if case.topology.planes != "nats" or recording.incidents or MESSAGES not in recording.witness:
        return ()
    messages, requests = recording.witness[MESSAGES], len(recording.measured)
    if messages >= requests:
        return ()
    return (
        f"NATS took in {messages:.0f} messages while {requests} requests were answered: they did not go over NATS, although planes = nats",
    )
