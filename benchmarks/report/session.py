"""A synthetic session of many cells and samples, as files: what a night on a GPU cluster leaves."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.environment import Environment
from pytest_dynperf.measurement.measurement import Distribution, Measurement, Run
from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.catalogue import MEANINGS, cells
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.observation.recording import Certificate, ProcessUsage
from pytest_dynperf.observation.run_columns import RequestColumns, RunColumns, SeriesColumn, encode
from pytest_dynperf.observation.series import SeriesKind
from pytest_dynperf.quantity import Absent, Unit
from pytest_dynperf.report.session_report import CaseResult, SessionReport
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNS, SUITES, GPUS = 3, 5, 8
GATES = tuple(
    Cell(*one)
    for one in (
        ("output_token_throughput.v1", "value"),
        ("inter_token_latency.v1", "p50"),
        ("time_to_first_token.v1", "p50"),
        ("time_to_first_token.v1", "p90"),
    )
)
_PERCENTILES = ("p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99")
_FOREIGN = ("kvbm", "lmcache", "external", "speculation", "fault", "hung", "request_migrations", "kv_transfer", "accuracy", "unreadable")
"""Metrics of what this topology has not."""
_REGRESSED, _INCONCLUSIVE = 25, 40
"""Of so many cases one is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """``samples`` are requests and readings together, shared equally by all runs; a tenth of them are readings."""

    cells: int = 1000
    samples: int = 1_000_000

    @property
    def cases(self) -> int:
        """Each is judged in four cells."""
        return max(1, self.cells // len(GATES))

    @property
    def a_run(self) -> int:
        """Samples of one run."""
        return max(20, self.samples // (self.cases * RUNS))


def make_session(root: Path, sizes: Sizes, *, seed: int = 1) -> SessionReport:
    """The report, and below ``root`` the course of each run. Takes 20 s for a million samples."""
    rng = random.Random(seed)
    directory = RunDirectory(root)
    results = []
    for number in range(sizes.cases):
        result = _result(number, rng)
        assert result.measurement is not None
        for run in result.measurement.runs:
            path = directory.columns(result.case.suite, result.case.case_id, run.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(_course(run.name, sizes.a_run, rng)))
        results.append(result)
    return SessionReport(
        session_id="bench",
        stamp="20261121T030501Z",
        command="pytest suites/ --gpu=h200",
        seed=seed,
        platform="h200",
        simulated=False,
        results=tuple(results),
        missing=(),
        interrupted=None,
        versions={"ai-dynamo": "1.4.2", "vllm": "0.31.0"},
        duration_s=28_800.0,
        baseline_directory="baselines",
        run_directory=str(root),
    )


def _case(number: int) -> Case:
    suite = f"suite_{number % SUITES}"
    concurrency = 2 ** (number // SUITES % 9)
    mode = ("agg", "disagg")[number // SUITES // 9 % 2]
    isl = 128 * (1 + number // SUITES // 18)
    return Case(
        suite=suite,
        case_id=f"{mode}-isl{isl}-osl128-c{concurrency}",
        question="How do throughput and latency change with concurrency?",
        platform="h200",
        topology=Topology(engine="vllm", model="Qwen/Qwen3-32B", mode=mode, worker=Role(count=4, gpus=2), router_mode="kv"),
        traffic=Traffic(isl=isl, osl=128, concurrency=concurrency),
        expectation=Expectation(gates=tuple(Gate(cell=cell, tolerance=0.03) for cell in GATES)),
        axes=(("topology.mode", mode), ("traffic.isl", str(isl)), ("traffic.concurrency", str(concurrency))),
    )


def _result(number: int, rng: random.Random) -> CaseResult:
    case = _case(number)
    outcome = Outcome.REGRESSED if number % _REGRESSED == 7 else Outcome.INCONCLUSIVE if number % _INCONCLUSIVE == 11 else Outcome.UNCHANGED
    factor = {Outcome.REGRESSED: 1.09, Outcome.INCONCLUSIVE: 1.03}.get(outcome, 1.0)
    level = {cell: _level(cell, case) for cell in cells()}
    runs = tuple(_run(f"run-{index}", level, factor, rng) for index in range(1, RUNS + 1))
    verdicts = tuple(_verdict(cell, runs, level[cell], outcome, rng) for cell in GATES)
    return CaseResult(
        case=case,
        node_id=f"suites/{case.suite}/test_{case.suite}.py::test_case[{case.case_id}]",
        verdict=Verdict(outcome=outcome, cells=verdicts, reasons=("ITL p50 is longer",) if factor > 1 else ()),
        measurement=Measurement(runs=runs),
        confirmation=None,
        environment=Environment(platform="h200", key={"gpu.name": "NVIDIA H200", "gpu.count": "8"}, provenance={"dynamo.version": "1.4.2"}),
        baseline_provenance={"dynamo.version": "1.4.1"},
        duration_s=96.0,
        reproduce=f"pytest 'suites/{case.suite}/test_{case.suite}.py::test_case[{case.case_id}]' --gpu=h200 --dynperf-seed=7",
        accept=f"pytest suites/{case.suite} -k {case.case_id} --gpu=h200 --update-baselines",
        records=tuple(f"records/{case.suite}/{case.case_id}/run-{index}.jsonl" for index in range(1, RUNS + 1)),
        logs=tuple(f"deployments/01-3f2a9c/{name}.log" for name in ("frontend", "worker-0", "worker-1")),
    )


def _level(cell: Cell, case: Case) -> float:
    unit = MEANINGS[cell.metric].unit
    concurrency = case.traffic.concurrency or 1
    return {Unit.SECONDS: 0.01 + 1e-4 * concurrency, Unit.RATIO: 0.4}.get(unit, 60.0 * concurrency / (1 + concurrency / 64))


def _run(name: str, level: dict[Cell, float], factor: float, rng: random.Random) -> Run:
    absent = {cell: Absent("the topology has none of it") for cell in level if cell.metric.startswith(_FOREIGN)}
    values = {
        cell: value * (factor if MEANINGS[cell.metric].unit is Unit.SECONDS else 1.0) * rng.gauss(1, 0.01)
        for cell, value in level.items()
        if cell not in absent
    }
    latencies = [cell for cell in level if cell.statistic == "p50"]
    return Run(
        name=name,
        values=values,
        absent=absent,
        distributions={cell.metric: _distribution(values[cell]) for cell in latencies},
        requests=1200,
        errors=0,
        error_kinds={},
        duration_s=30.0,
        certificate=Certificate(
            send_lag_p99_s=8e-5, receive_lag_p99_s=4e-5, mean_in_flight=63.7, coalesced_share=0.01, clock_step_s=1e-6,
            processes=(ProcessUsage(cpu_s=2.1, run_delay_s=0.02),),
        ),
        witness={"nats.in_msgs": 1234.0},
    )  # fmt: skip


def _distribution(p50: float) -> Distribution:
    percentiles = {name: p50 * (0.6 + 0.8 * float(name[1:]) / 100) for name in _PERCENTILES}
    return Distribution(n=1200, mean=p50 * 1.02, sd_log=0.2, minimum=p50 * 0.5, maximum=p50 * 3, percentiles=percentiles)


def _verdict(cell: Cell, runs: tuple[Run, ...], level: float, outcome: Outcome, rng: random.Random) -> CellVerdict:
    values = tuple(run.values[cell] for run in runs)
    candidate = sorted(values)[1]
    own = outcome if cell.metric == "inter_token_latency.v1" else Outcome.UNCHANGED
    sign = -1 if cell.metric == "output_token_throughput.v1" else 1
    delta = sign * math.log(candidate / level)
    return CellVerdict(
        cell=cell, outcome=own, decisive=cell.statistic != "p90", tolerance=0.03, candidate=candidate, values=values, baseline=level,
        delta=delta, interval=(delta - 0.02, delta + 0.02), limit=0.05, mde=0.075, p_value=0.4, run_cv=0.01, sessions=10,
        history=tuple(level * rng.gauss(1, 0.01) for _ in range(10)),
    )  # fmt: skip


def _course(name: str, samples: int, rng: random.Random) -> RunColumns:
    series = tuple(_series(max(4, samples // 10 // (5 * GPUS)), rng))
    count = max(10, samples - sum(len(one.at_s) for one in series))
    source = np.random.default_rng(rng.randrange(1 << 30))
    sent = np.sort(source.uniform(0, 30, count))
    first = sent + source.lognormal(-3, 0.4, count)
    end = first + source.lognormal(0, 0.1, count)
    ones = (1,) * count
    return RunColumns(
        run=name,
        duration_s=31.0,
        requests=RequestColumns(
            sent_s=_short(sent), first_s=_short(first), end_s=_short(end), tokens=(128,) * count, failed=(0,) * count, measured=ones
        ),
        series=series,
    )


def _series(count: int, rng: random.Random) -> Iterator[SeriesColumn]:
    """Five quantities of each GPU, or as much of engines."""
    at = _short(np.linspace(0, 31, count))
    levels = {
        ids.GPU_POWER: 620.0,
        ids.GPU_SM_CLOCK: 1.98e9,
        ids.GPU_TEMPERATURE: 61.0,
        ids.ENGINE_REQUESTS_RUNNING: 60.0,
        ids.ENGINE_KV_CACHE_USAGE: 0.6,
    }
    for name, level in levels.items():
        for index in range(GPUS):
            labels = {"gpu": str(index)} if name.startswith("gpu.") else {}
            values = tuple(float(f"{level * rng.gauss(1, 0.02):.6g}") for _ in range(count))
            yield SeriesColumn(id=name, source=f"worker-{index}", kind=SeriesKind.GAUGE, labels=labels, at_s=at, values=values)


def _short(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)
