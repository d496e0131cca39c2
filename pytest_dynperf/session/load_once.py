"""One load without a case: the server is looked at, R runs are made, nothing is judged.

::

    Load ── prepared ──▶ Prepared ── one_run ──▶ Loaded (R times) ── report_of ──▶ LoadReport
         (server, model,            (load, cells)
          lengths of prompts)
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.attached import COMPLETION_S, LIST_S
from pytest_dynperf.deployment.inspection import host_facts, package_versions
from pytest_dynperf.deployment.readiness import check_serves, complete_once, served_models
from pytest_dynperf.endpoint import shown
from pytest_dynperf.errors import EndpointError, WorkloadError
from pytest_dynperf.load.run import default_processes, run_load
from pytest_dynperf.measurement.cell_values import values
from pytest_dynperf.measurement.measurement import Measurement
from pytest_dynperf.measurement.run import cells_of, summarise
from pytest_dynperf.measurement.server_count import disagreement
from pytest_dynperf.metrics.catalogue import cells
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.quantity import Absent
from pytest_dynperf.report.load_report import CellOverRuns, LoadReport
from pytest_dynperf.session.prompts import source_for
from pytest_dynperf.telemetry.host import grown, host_counters, stolen_note
from pytest_dynperf.telemetry.sampler import sampled
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.stream import requests_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.load.progress import Progress
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.scenario.expectation import Expectation
    from pytest_dynperf.scenario.traffic import Traffic
    from pytest_dynperf.workload.prompt import PromptSource

METRICS_EVERY_S = 1.0
"""How often the server's own metrics are read during a run."""

_PROBE_ISL = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to conduct. The endpoint's model is an empty text where the server is to be asked. Relative files are relative to ``root``.
    ``processes`` of ``None``: as many as the load needs. ``tokenizer`` of ``None``: the server's counts calibrate the prompts.
    """

    endpoint: Endpoint
    traffic: Traffic
    expectation: Expectation
    seed: int
    root: Path
    tokenizer: Path | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A load whose server answers, whose model has a name, and whose prompts have the length that the server counts."""

    load: Load
    source: PromptSource
    prompts: str
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One run. Unlike anywhere else, ``run`` keeps its values where it has problems: nothing judges it."""

    recording: Recording
    run: Run


def answered(load: Load) -> Load:
    """Ask the server for its model, which the endpoint of the load then names, and for one completion.

    :raises EndpointError: when it does not answer as it must, or serves no or several models and none was named.
    """
    endpoint = load.endpoint if load.endpoint.model else replace(load.endpoint, model=_only_model(load.endpoint))
    check_serves(endpoint, timeout_s=LIST_S)
    complete_once(endpoint, content="ready?", max_tokens=4, timeout_s=COMPLETION_S)
    return replace(load, endpoint=endpoint)


def prepared(load: Load) -> Prepared:
    """As :func:`answered`; and find out what a prompt costs.

    :raises EndpointError: as :func:`answered`.
    :raises WorkloadError: when prompts of an exact length cannot be had, or the tokenizer is not the one of the model.
    """
    load = answered(load)
    source = source_for(load.endpoint, load.tokenizer, load.traffic.workload)
    if load.tokenizer is not None:
        _check_tokenizer(load, source)
    prompts = "calibrated by the server's own counts (no tokenizer)" if load.tokenizer is None else f"tokenizer in {load.tokenizer}"
    return Prepared(load=load, source=source, prompts=prompts, processes=processes_of(load))


def processes_of(load: Load) -> int:
    """As many as were asked for, or as the rate of chunks needs on this machine."""
    return load.processes if load.processes is not None else default_processes(load.traffic, int(host_facts()["cpu.count"]))


def one_run(
    ready: Prepared,
    number: int,
    *,
    records_path: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    incident: Callable[[], str | None] | None = None,
) -> Loaded:
    """Run ``number``, from 1: the lengths of every run in the same order, with words of its own. ``incident`` is asked all the time: a text
    from it ends the run.

    :raises DynperfError: as :func:`~pytest_dynperf.load.run.run_load`.
    """
    load, name = ready.load, f"run-{number}"
    seed = stream_seed(load.seed, name)
    before = host_counters()
    with sampled(load.endpoint, interval_s=METRICS_EVERY_S) as sampler:
        recording = run_load(
            load.endpoint,
            requests_of(load.traffic, ready.source, seed=seed, shape_seed=load.seed, root=load.root),
            load.traffic,
            run=name,
            seed=seed,
            records_path=records_path,
            processes=ready.processes,
            progress=progress,
            incident=incident,
        )
        series, notes = sampler.finish()
    recording = replace(recording, series=series, witness=grown(before, host_counters()))
    facts = facts_of(load)
    run = summarise(recording, traffic=load.traffic, expectation=load.expectation, facts=facts)
    if run.problems:
        found = cells_of(recording, facts)
        run = replace(run, values=found.values, absent=found.absent, distributions=found.distributions)
    counts = disagreement(recording)
    notes = (*notes, *((counts,) if counts else ()), *stolen_note(recording.witness))
    return Loaded(recording=recording, run=replace(run, notes=notes))


def facts_of(load: Load) -> RunFacts:
    """What metrics need beside a recording."""
    return RunFacts(gpu_count=load.endpoint.gpu_count, objectives=load.expectation.objectives)


def report_of(ready: Prepared, done: Sequence[Loaded], *, interrupted: bool = False) -> LoadReport:
    """All runs together; they need not be all that were asked for."""
    runs = [loaded.run for loaded in done]
    processes = max((len(run.certificate.processes) for run in runs), default=ready.processes)
    return report_on(ready.load, runs, prompts=ready.prompts, processes=processes, interrupted=interrupted)


def report_on(load: Load, runs: Sequence[Run], *, prompts: str, processes: int | None, interrupted: bool) -> LoadReport:
    """What was made of ``load``, whoever made it. ``processes`` of ``None``: not known."""
    return LoadReport(
        endpoint=load.endpoint,
        traffic=load.traffic,
        expectation=load.expectation,
        seed=load.seed,
        processes=processes,
        prompts=prompts,
        runs=tuple(runs),
        cells=cells_over_runs(runs),
        stamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        interrupted=interrupted,
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
        software={**host_facts(), **package_versions(("pytest-dynperf", "uvloop", "httptools", "numpy"))},
    )


def cells_over_runs(runs: Sequence[Run]) -> tuple[CellOverRuns, ...]:
    """All cells of the catalogue, in its order."""
    return tuple(_over_runs(runs, cell) for cell in cells())


def _over_runs(runs: Sequence[Run], cell: Cell) -> CellOverRuns:
    found = values(Measurement(runs=tuple(runs)), cell)
    if isinstance(found, Absent):
        everywhere = not any(cell in run.values for run in runs)
        reason = found.reason.removeprefix(f"run {runs[0].name}: ") if runs and everywhere else found.reason
        return CellOverRuns(cell=cell, mean=None, run_cv=None, absent=reason)
    mean = fmean(found)
    return CellOverRuns(cell=cell, mean=mean, run_cv=stdev(found) / mean if len(found) > 1 and mean else None, absent=None)


def _only_model(endpoint: Endpoint) -> str:
    served = served_models(endpoint, timeout_s=LIST_S)
    if len(served) == 1:
        return served[0]
    url = shown(endpoint.base_url)
    if not served:
        msg = f"{url} lists no model at all: its workers are not there yet, or have gone"
        raise EndpointError(msg)
    msg = f"{url} serves {len(served)} models: {', '.join(served)}. Give --model NAME."
    raise EndpointError(msg)


def _check_tokenizer(load: Load, source: PromptSource) -> None:
    """One prompt counted twice: by the tokenizer, and by the server."""
    rng = random.Random(stream_seed(load.seed, "tokenizer"))
    wanted = min(max(load.traffic.isl, source.overhead() + 1), _PROBE_ISL)
    answer = complete_once(load.endpoint, content=source.assemble([], wanted, rng), max_tokens=1, timeout_s=COMPLETION_S)
    if abs(answer.prompt_tokens - wanted) > max(1.0, 0.01 * wanted):
        msg = (
            f"the tokenizer in {load.tokenizer} counts {wanted} tokens for a prompt of which {shown(load.endpoint.base_url)} counts "
            f"{answer.prompt_tokens} (usage.prompt_tokens): it is not the one of {load.endpoint.model}. Give --tokenizer DIR, the "
            f"directory of the model that is served, or leave it out."
        )
        raise WorkloadError(msg)
