"""Runs measured by AIPerf instead of by our own load generator: one of them, and a load of several.

::

    find_aiperf ──▶ AiperfDriver ── one_aiperf_run ──▶ Run, ForeignRun (R times) ── aiperf_report_of ──▶ LoadReport
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError
from pytest_dynperf.load.aiperf import RECORDS, probe, run_aiperf
from pytest_dynperf.load.aiperf_command import BUILTIN_TOKENIZER, aiperf_arguments, configuration
from pytest_dynperf.measurement.foreign import SAME, to_run
from pytest_dynperf.measurement.foreign_recording import computed
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.metrics.objectives import NOTHING_STATED
from pytest_dynperf.run_directory import redact_file
from pytest_dynperf.secret import known_secrets
from pytest_dynperf.session.imported_files import Known, read_runs
from pytest_dynperf.session.load_once import report_on
from pytest_dynperf.workload.seed import stream_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.measurement.foreign import ForeignRun
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.metrics.objectives import Objectives
    from pytest_dynperf.report.load_report import LoadReport
    from pytest_dynperf.scenario.expectation import Expectation
    from pytest_dynperf.scenario.traffic import Traffic
    from pytest_dynperf.session.load_once import Load

START_S = 180.0
"""What AIPerf may take beside the requests: its start, its tokenizer, its prompts."""

_GOODPUT = Cell("goodput.v1", "value")
_ISL = Cell("input_sequence_length.v1", "mean")
_HIDDEN = ".aiperf-configuration.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AiperfDriver:
    """An AIPerf that was looked at. ``tokenizer`` is a directory, or ``None`` for AIPerf's own."""

    executable: Path
    version: str
    flags: frozenset[str]
    tokenizer: Path | None = None

    @property
    def name(self) -> str:
        """``AIPerf 0.13.0``."""
        return f"AIPerf {self.version}"


def find_aiperf(executable: Path, *, tokenizer: Path | None = None) -> AiperfDriver:
    """:raises UsageError: when it does not run, is not AIPerf, or the tokenizer is not there."""
    if tokenizer is not None and not (tokenizer / "tokenizer.json").exists():
        msg = f"{tokenizer} has no tokenizer.json: give the directory of the model's tokenizer"
        raise UsageError(msg)
    version, flags = probe(executable)
    return AiperfDriver(executable=executable, version=version, flags=flags, tokenizer=tokenizer)


def check(driver: AiperfDriver, endpoint: Endpoint, traffic: Traffic, directory: Path) -> None:
    """Whether AIPerf could be started for a run into ``directory``. Starts and writes nothing.

    :raises UsageError: for traffic that AIPerf cannot make, a key variable that is not set, and a directory that holds a run of AIPerf.
    """
    if (directory / RECORDS).exists():
        msg = f"{directory} already holds a run of AIPerf, which it would add to: give an empty directory"
        raise UsageError(msg)
    if endpoint.api_key_variable is not None and not os.environ.get(endpoint.api_key_variable):
        msg = f"the environment variable {endpoint.api_key_variable} is not set"
        raise UsageError(msg)
    _arguments(driver, endpoint, traffic, directory=directory, seed=0)


def measured_by_aiperf(
    driver: AiperfDriver,
    endpoint: Endpoint,
    traffic: Traffic,
    *,
    name: str,
    seed: int,
    directory: Path,
    expectation: Expectation,
    deadline_s: float,
    progress: Callable[[int, float], None],
    judged: bool = True,
) -> tuple[Run, ForeignRun]:
    """One run into ``directory`` (its files, ``aiperf.log``): judged as an imported one, and what it was made from. An invalid run keeps
    its values where nobody is going to judge it (``judged``).

    :raises UsageError: as :func:`check`.
    :raises WorkloadError: when AIPerf fails, as where every request does, or passes the deadline.
    """
    check(driver, endpoint, traffic, directory)
    directory.mkdir(parents=True, exist_ok=True)
    hidden = configuration(endpoint, traffic)
    try:
        if hidden is not None:
            _write_hidden(directory / _HIDDEN, hidden)
        summary = run_aiperf(
            driver.executable,
            _arguments(driver, endpoint, traffic, directory=directory, seed=seed),
            directory=directory,
            log=directory / "aiperf.log",
            environment=_environment(endpoint),
            deadline_s=deadline_s,
            progress=progress,
        )
        [read] = read_runs(summary, Known())
    finally:
        (directory / _HIDDEN).unlink(missing_ok=True)
        _redact(directory, endpoint)
    foreign = _as_asked(read, name, expectation.objectives)
    return to_run(foreign, name=name, traffic=traffic, expectation=expectation, gpu_count=endpoint.gpu_count, judged=judged), foreign


def _arguments(driver: AiperfDriver, endpoint: Endpoint, traffic: Traffic, *, directory: Path, seed: int) -> list[str]:
    return aiperf_arguments(
        endpoint,
        traffic,
        flags=driver.flags,
        directory=directory,
        seed=seed,
        tokenizer=BUILTIN_TOKENIZER if driver.tokenizer is None else str(driver.tokenizer),
        configuration_file=None if configuration(endpoint, traffic) is None else directory / _HIDDEN,
    )


def _redact(directory: Path, endpoint: Endpoint) -> None:
    """Take secrets out of what AIPerf has written: it keeps its command line, its configuration and what servers say."""
    secrets = known_secrets(os.environ, variables=(endpoint.api_key_variable,), headers=endpoint.headers)
    for path in sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()):
        redact_file(path, secrets)


def _write_hidden(path: Path, text: str) -> None:
    """A file that its owner alone can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _environment(endpoint: Endpoint) -> dict[str, str]:
    """Ours, without a terminal to draw on. (``HF_HUB_OFFLINE`` would make AIPerf 0.13 refuse tokenizers of a directory.)"""
    certificates = {} if endpoint.ca_file is None else {"SSL_CERT_FILE": endpoint.ca_file}
    return {**os.environ, "NO_COLOR": "1", **certificates}


def _as_asked(foreign: ForeignRun, name: str, objectives: Objectives) -> ForeignRun:
    """With the run's name, and goodput by our objectives, which AIPerf was not told."""
    values = dict(foreign.values)
    if objectives != NOTHING_STATED:
        asked = replace(foreign.asked, objectives=objectives)
        goodput = computed(foreign.records, duration_s=foreign.duration_s, name=name, asked=asked).values.get(_GOODPUT)
        values |= {} if goodput is None else {_GOODPUT: goodput}
    return replace(foreign, values=values, records=tuple(replace(record, run=name) for record in foreign.records))


def one_aiperf_run(
    driver: AiperfDriver, load: Load, number: int, *, directory: Path, progress: Callable[[int, float], None]
) -> tuple[Run, ForeignRun]:
    """Run ``number`` of a load, from 1, with prompts of its own. An invalid run keeps its values, as in
    :class:`~pytest_dynperf.session.load_once.Loaded`.

    :raises DynperfError: as :func:`measured_by_aiperf`.
    """
    name = f"run-{number}"
    return measured_by_aiperf(
        driver,
        load.endpoint,
        load.traffic,
        name=name,
        seed=stream_seed(load.seed, name) % 2**31,
        directory=directory,
        expectation=load.expectation,
        deadline_s=longest_s(load.traffic),
        progress=progress,
        judged=False,
    )


def longest_s(traffic: Traffic) -> float:
    """What a run takes where every request takes all of its time, and AIPerf a while to start."""
    requests, timeout_s = traffic.request_count + traffic.warmup_count, traffic.request_timeout_s
    if traffic.arrival.closed:
        return START_S + math.ceil(requests / traffic.slots) * timeout_s
    return START_S + requests / (traffic.arrival.mean_rate_per_s or 1.0) + timeout_s


def prompts_of(driver: AiperfDriver) -> str:
    """Where the lengths of prompts come from, in words."""
    whose = "a tokenizer of its own" if driver.tokenizer is None else f"the tokenizer in {driver.tokenizer}"
    return f"made by AIPerf with {whose}; the server counts them"


def aiperf_report_of(
    driver: AiperfDriver, load: Load, done: Sequence[tuple[Run, ForeignRun]], *, ended: str | None = None, interrupted: bool = False
) -> LoadReport:
    """All runs together; ``ended`` says why they are not as many as were asked for."""
    notes = tuple(dict.fromkeys(note for run, foreign in done for note in (*_other_lengths(run, load.traffic), *foreign.notes)))
    report = report_on(load, [run for run, _ in done], prompts=prompts_of(driver), processes=None, interrupted=interrupted)
    return replace(report, generator=driver.name, ended=ended, notes=(*report.notes, *notes))


def _other_lengths(run: Run, traffic: Traffic) -> Iterator[str]:
    """AIPerf makes prompts by the tokenizer that it has; ours are counted beforehand."""
    found = run.values.get(_ISL)
    if found is not None and abs(found - traffic.isl) > SAME * traffic.isl:
        yield f"{run.name}: the server counts {found:.4g} tokens in a prompt on average, asked was ISL {traffic.isl}"
