"""Runs that other tools made, as a session of ours: cases by what was asked, judged by the same verdicts, written as the same files.

::

    files ── ForeignRun ──▶ groups by what was asked ── Case, Measured ──▶ verdict ── CaseResult ──▶ SessionReport

Nothing is measured here, so nothing can be measured again: the files of a second session decide a suspect where they are given.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.attached import UNKNOWN
from pytest_dynperf.endpoint import shown
from pytest_dynperf.environment import Environment
from pytest_dynperf.errors import UsageError
from pytest_dynperf.measurement.foreign import to_run, traffic_of
from pytest_dynperf.measurement.measurement import MINIMUM_RUNS, Measurement
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.observation.record_file_writing import write_records
from pytest_dynperf.report.session_report import CaseResult, SessionReport
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.session.baselines import EXPECTATION as USUAL
from pytest_dynperf.session.baselines import waived
from pytest_dynperf.session.closing import versions
from pytest_dynperf.session.imported_files import Known, found_files, read_runs
from pytest_dynperf.session.judging import Judged, Measured, first_look, suspicions_of, terms_for
from pytest_dynperf.verdict.confirmation import confirm
from pytest_dynperf.verdict.sequential import Step, next_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pytest_dynperf.measurement.foreign import ForeignRun
    from pytest_dynperf.scenario.traffic import Traffic
    from pytest_dynperf.session.plan import Settings
    from pytest_dynperf.verdict.verdict import Verdict

PLATFORM = "imported"

# Other tools let their load drain: 96 % with eight rounds of equal requests, less with unequal ones.
EXPECTATION = replace(USUAL, min_in_flight_share=0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What to import. ``fresh`` are files of a second session, measured after a restart, which decide a suspect of the first.
    ``case_id`` of ``None`` follows from model, lengths and load. ``gpus`` are behind the endpoint; ``None``: unknown.
    """

    paths: tuple[Path, ...]
    fresh: tuple[Path, ...] = ()
    suite: str = PLATFORM
    case_id: str | None = None
    gpus: int | None = None
    known: Known = field(default_factory=Known)


def imported(request: Import, settings: Settings) -> SessionReport:
    """Read, group, judge. Records of requests are written into the run directory, everything else is left to ``closing.close``.

    :raises UsageError: for files that cannot be read, name no load, or are runs of several cases where one is named.
    """
    begun_s = time.monotonic()
    first, fresh = (_grouped(paths, request) for paths in (request.paths, request.fresh))
    if request.case_id is not None and len(first) > 1:
        msg = f"--case-id names one case, and the files are of {len(first)}: {', '.join(first)}. Import them one by one."
        raise UsageError(msg)
    if strangers := sorted(fresh.keys() - first.keys()):
        msg = f"--fresh holds runs of {', '.join(strangers)}, and the first session has none of them (it has {', '.join(first)})"
        raise UsageError(msg)
    results = tuple(_result(name, runs, fresh.get(name, []), request, settings) for name, runs in first.items())
    return SessionReport(
        session_id=settings.session_id,
        stamp=settings.stamp,
        command=settings.command,
        seed=settings.seed,
        platform=PLATFORM,
        simulated=False,
        results=results,
        missing=(),
        interrupted=None,
        versions=versions(results),
        duration_s=time.monotonic() - begun_s,
        baseline_directory=str(settings.baselines),
        run_directory=str(settings.run_directory),
    )


def _grouped(paths: Sequence[Path], request: Import) -> dict[str, list[ForeignRun]]:
    """Runs by the id of their case. Runs with one id that asked for different things are refused: they are not runs of one case."""
    groups: dict[str, list[ForeignRun]] = {}
    for file in found_files(paths):
        for run in read_runs(file, request.known):
            groups.setdefault(_case_id(run, traffic_of(run.asked, file=run.file, runs=1)), []).append(run)
    for runs in groups.values():
        for run in runs[1:]:
            ours, theirs = (traffic_of(one.asked, file=one.file, runs=1) for one in (runs[0], run))
            same = ours.workload_hash == theirs.workload_hash and runs[0].asked.objectives == run.asked.objectives
            if not same or runs[0].tool != run.tool:
                msg = (
                    f"{runs[0].file} and {run.file} are not runs of one case: {_difference(runs[0], run)}. "
                    "Import them one by one, each with its --case-id."
                )
                raise UsageError(msg)
    return groups


def _difference(first: ForeignRun, other: ForeignRun) -> str:
    names = ("isl_stddev", "osl_stddev", "arrival", "requests", "warmup_requests", "ignore_eos", "dataset", "objectives")
    found = [f"{name} is {getattr(first.asked, name)} and {getattr(other.asked, name)}" for name in names]
    differing = [text for name, text in zip(names, found, strict=True) if getattr(first.asked, name) != getattr(other.asked, name)]
    return "; ".join(differing) or f"made by {first.generator} and {other.generator}"


def _case_id(run: ForeignRun, traffic: Traffic) -> str:
    model = re.sub(r"[^a-z0-9.]+", "-", (run.asked.model or "model-unknown").lower()).strip("-")
    return f"{model}-isl{traffic.isl}-osl{traffic.osl}-{traffic.load_name}"


def _result(name: str, runs: Sequence[ForeignRun], fresh: Sequence[ForeignRun], request: Import, settings: Settings) -> CaseResult:
    begun_s = time.monotonic()
    case = _case(request.case_id or name, runs, request)
    measured = _measured(case, runs, "run", request, settings)
    confirmation = _measured(case, fresh, "fresh", request, settings) if fresh else None
    terms = terms_for(settings.baselines, measured.environment, duet=False, session_id=settings.session_id)
    verdict, documents = first_look(case, measured, settings.baselines, terms)
    decided = next_step(verdict).step is Step.FRESH_SESSION and confirmation is not None
    if decided and confirmation is not None:
        verdict = confirm(verdict, confirmation.measurement, documents, case.expectation, terms=terms)
    verdict = waived(verdict, case, settings)
    judged = Judged(
        verdict=verdict,
        confirmation=confirmation if decided else None,
        baseline_provenance=documents[-1].provenance if documents else {},
        terms=terms,
        documents=documents,
    )
    return CaseResult(
        case=case,
        node_id=f"imported from {', '.join(run.file for run in (*runs, *fresh))}",
        verdict=verdict.under(*_notes(verdict, runs, decided=decided)),
        measurement=measured.measurement,
        confirmation=confirmation.measurement if decided and confirmation is not None else None,
        environment=measured.environment,
        baseline_provenance=judged.baseline_provenance,
        duration_s=time.monotonic() - begun_s,
        reproduce=settings.command,
        accept=f"{settings.command} --update-baselines",
        records=(*measured.records, *(confirmation.records if confirmation is not None else ())),
        confirmed_by="the files of a second session" if decided else "",
        suspicions=suspicions_of(judged, measured),
        prior_sd=terms.prior_sd,
    )


def _case(case_id: str, runs: Sequence[ForeignRun], request: Import) -> Case:
    traffic = traffic_of(runs[0].asked, file=runs[0].file, runs=len(runs))
    return Case(
        suite=request.suite,
        case_id=case_id,
        question=f"Is what {runs[0].tool} measured different from the baseline?",
        platform=PLATFORM,
        topology=Topology(
            engine="unknown",
            model=runs[0].asked.model or "unknown",
            worker=Role(gpus=request.gpus or 0),
            router_mode="unknown",
            planes="unknown",
        ),
        traffic=traffic,
        expectation=replace(EXPECTATION, objectives=runs[0].asked.objectives),
    )


def _measured(case: Case, runs: Sequence[ForeignRun], kind: str, request: Import, settings: Settings) -> Measured:
    """As for our own: one invalid run is left out, a second one makes the measurement invalid, and so do too few that are left."""
    made = [
        to_run(run, name=f"{kind}-{number}", traffic=case.traffic, expectation=case.expectation, gpu_count=request.gpus)
        for number, run in enumerate(runs, start=1)
    ]
    valid, bad = ([run for run in made if bool(run.problems) is flawed] for flawed in (False, True))
    problems: tuple[str, ...] = ()
    if len(bad) > 1 or (bad and len(valid) < MINIMUM_RUNS):
        problems = tuple(f"{run.name}: {problem}" for run in bad for problem in run.problems)
    return Measured(
        measurement=Measurement(runs=tuple(valid), discarded=tuple(bad), problems=problems),
        environment=_environment(runs, settings),
        records=tuple(_written(case, run, f"{kind}-{number}", settings) for number, run in enumerate(runs, start=1) if run.records),
        logs=(),
    )


def _written(case: Case, run: ForeignRun, name: str, settings: Settings) -> str:
    directory = RunDirectory(settings.run_directory)
    path = directory.records(case.suite, case.case_id, name)
    write_records(path, (replace(record, run=name) for record in run.records))
    return str(path.relative_to(directory.root))


def _environment(runs: Sequence[ForeignRun], settings: Settings) -> Environment:
    """The tool binds: its latencies hold its own lags. Its version explains."""
    name = {} if settings.environment_name is None else {"name": settings.environment_name}
    return Environment(
        platform=PLATFORM,
        key={**name, "model": runs[0].asked.model or "unknown", "load_generator": runs[0].tool},
        provenance={
            "launcher": "imported",
            "load_generator.version": _joined(run.version or "unknown" for run in runs),
            "endpoint": _joined(shown(run.asked.url) for run in runs if run.asked.url) or UNKNOWN,
            "input_sequence_length": _prompt_lengths(runs),
            **dict.fromkeys(("engine", "engine.version", "topology", "gpu.sku"), UNKNOWN),
        },
        may_be_baseline=settings.environment_name is not None,
    )


def _prompt_lengths(runs: Sequence[ForeignRun]) -> str:
    """Asked and found: other tools count prompts without the chat template, or by a tokenizer of their own."""
    found = [run.values.get(Cell("input_sequence_length.v1", "mean")) for run in runs]
    return f"asked {runs[0].asked.isl}, found {_joined('unknown' if value is None else f'{value:.4g}' for value in found)} on average"


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(sorted(set(texts)))


def _notes(verdict: Verdict, runs: Sequence[ForeignRun], *, decided: bool) -> tuple[str, ...]:
    generators = _joined(run.generator for run in runs)
    notes = [f"the load generator was {generators}; its lags are not known", *dict.fromkeys(note for run in runs for note in run.notes)]
    seeds = {run.asked.random_seed for run in runs}
    if len(runs) > 1 and len(seeds) == 1 and None not in seeds:
        notes.append(f"every run asked the same prompts (random seed {seeds.pop()}): from the second run on, a prefix cache is warm")
    if next_step(verdict).step is Step.FRESH_SESSION and not decided:
        notes.append("the files of a second session, measured after a restart, decide a suspect: give them with --fresh")
    return tuple(notes)
