"""Synthetic session reports: what a session on the mocker looks like, without running one."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import median, stdev
from typing import TYPE_CHECKING

from pytest_dynperf.environment import Environment
from pytest_dynperf.measurement.measurement import Distribution, Duet, Measurement, Pair, Run
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.observation.recording import Certificate, ProcessUsage
from pytest_dynperf.quantity import Absent
from pytest_dynperf.report.session_report import CaseResult, SessionReport
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.verdict.suspicion import Suspicion
from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

THROUGHPUT = Cell("output_token_throughput.v1", "value")
PER_USER = Cell("output_token_throughput_per_user.v1", "p50")
PER_GPU = Cell("output_token_throughput_per_gpu.v1", "value")
ITL = Cell("inter_token_latency.v1", "p50")
TTFT = Cell("time_to_first_token.v1", "p50")
TTFT_P90 = Cell("time_to_first_token.v1", "p90")
TTFT_P99 = Cell("time_to_first_token.v1", "p99")
GATES = (
    Gate(cell=THROUGHPUT, tolerance=0.03),
    Gate(cell=ITL, tolerance=0.03),
    Gate(cell=TTFT, tolerance=0.05),
    Gate(cell=TTFT_P90, tolerance=0.08, decisive=False),
)
WOBBLE = (0.996, 1.0, 1.005)


def a_case(concurrency: int = 4, *, suite: str = "concurrency_sweep", model: str = "Qwen/Qwen3-0.6B", mode: str = "agg") -> Case:
    return Case(
        suite=suite,
        case_id=f"{mode}-isl256-osl32-c{concurrency}",
        question="How do throughput and latency change with concurrency?",
        platform="mocker",
        topology=Topology(engine="mocker", model=model, mode=mode, worker=Role(count=2, args=("--speedup-ratio", "1.0"))),
        traffic=Traffic(isl=256, osl=32, concurrency=concurrency),
        expectation=Expectation(gates=GATES),
        axes=(("topology.mode", mode), ("traffic.concurrency", str(concurrency))),
    )


def a_certificate() -> Certificate:
    return Certificate(
        send_lag_p99_s=8.1e-5,
        receive_lag_p99_s=4.4e-5,
        mean_in_flight=3.97,
        coalesced_share=0.012,
        processes=(ProcessUsage(cpu_s=0.84, run_delay_s=0.02),),
        clock_step_s=1.2e-6,
    )


def a_run(name: str, values: Mapping[Cell, float], *, problems: tuple[str, ...] = ()) -> Run:
    return Run(
        name=name,
        values=values,
        absent={PER_GPU: Absent("the topology uses no GPU"), TTFT_P99: Absent("p99 needs 1000 values, found 30")},
        distributions={cell.metric: a_distribution(values[cell]) for cell in (ITL, TTFT) if cell in values},
        requests=30,
        errors=len(problems),
        error_kinds={"connection": 1} if problems else {},
        duration_s=4.21,
        certificate=a_certificate(),
        witness={"nats.in_msgs": 1234.0},
        problems=problems,
        parts={"prefix_cache_hit_rate.v1": (60.0, 100.0)},
    )


def a_distribution(p50: float) -> Distribution:
    return Distribution(
        n=30,
        mean=p50 * 1.01,
        sd_log=0.05,
        minimum=p50 * 0.9,
        maximum=p50 * 1.3,
        percentiles={"p1": p50 * 0.91, "p50": p50, "p90": p50 * 1.1},
    )


def the_values(concurrency: int, factor: float, wobble: float = 1.0) -> dict[Cell, float]:
    """A plausible mocker: ``factor`` above 1 makes tokens slower and leaves the first one alone."""
    itl = (5.2e-3 + 1.6e-4 * concurrency) * factor * wobble
    return {
        THROUGHPUT: concurrency / (itl * 1.15),
        PER_USER: 1 / itl,
        ITL: itl,
        TTFT: (0.024 + 0.0016 * concurrency) * wobble,
        TTFT_P90: (0.031 + 0.002 * concurrency) * wobble,
    }


def a_measurement(concurrency: int = 4, factor: float = 1.0) -> Measurement:
    runs = tuple(a_run(f"run-{index}", the_values(concurrency, factor, wobble)) for index, wobble in enumerate(WOBBLE, 1))
    return Measurement(runs=runs)


def a_cell(gate: Gate, measurement: Measurement, concurrency: int, outcome: Outcome) -> CellVerdict:
    values = tuple(run.values[gate.cell] for run in measurement.runs)
    candidate = median(values)
    cell = CellVerdict(
        cell=gate.cell,
        outcome=outcome,
        decisive=gate.decisive,
        tolerance=gate.tolerance,
        candidate=candidate,
        values=values,
        run_cv=stdev(values) / candidate,
    )
    if outcome in (Outcome.NO_BASELINE, Outcome.INCOMPARABLE):
        return cell
    baseline = the_values(concurrency, 1.0)[gate.cell]
    delta = math.log(candidate / baseline) * (-1 if gate.cell in (THROUGHPUT, PER_USER) else 1)
    return replace(
        cell,
        baseline=baseline,
        delta=delta,
        interval=(delta - 0.019, delta + 0.019),
        limit=0.05,
        mde=0.075,
        p_value=0.0001 if outcome is Outcome.REGRESSED else 0.4,
        sessions=5,
        suspect=outcome in (Outcome.REGRESSED, Outcome.INCONCLUSIVE),
        history=(baseline * 0.99, baseline, baseline * 1.01),
    )


def a_result(concurrency: int = 4, outcome: Outcome = Outcome.UNCHANGED, *, factor: float = 1.0, case: Case | None = None) -> CaseResult:
    case = case or a_case(concurrency)
    measurement = a_measurement(concurrency, factor)
    compared = outcome not in (Outcome.NO_BASELINE, Outcome.INCOMPARABLE)
    cells = tuple(
        a_cell(gate, measurement, concurrency, outcome if gate.cell in (THROUGHPUT, ITL) or not compared else Outcome.UNCHANGED)
        for gate in GATES
    )
    reasons = {
        Outcome.REGRESSED: ("ITL p50 is 11.9 % longer in both sessions",),
        Outcome.INVALID: ("worker 1 (dynamo.mocker) ended with exit status 137 during run 2",),
        Outcome.INCONCLUSIVE: ("a suspect, and the budget for a fresh session is spent",),
        Outcome.INCOMPARABLE: ("baselines exist under other environments: cpu.count 2 → 16",),
    }
    return CaseResult(
        case=case,
        node_id=f"suites/{case.suite}/test_{case.suite}.py::test_case[{case.case_id}]",
        verdict=Verdict(
            outcome=outcome,
            cells=cells,
            reasons=reasons.get(outcome, ()),
            means=Means.FRESH_SESSION if outcome is Outcome.REGRESSED else None,
        ),
        measurement=measurement,
        confirmation=a_measurement(concurrency, factor) if outcome is Outcome.REGRESSED else None,
        environment=an_environment(),
        baseline_provenance={"dynamo.version": "1.4.1", "commit": "0a1b2c3"} if compared else {},
        duration_s=31.4,
        reproduce=f"pytest 'suites/{case.suite}/test_{case.suite}.py::test_case[{case.case_id}]' --gpu=mocker --dynperf-seed=7",
        accept=f'pytest suites/{case.suite} -k {case.case_id} --gpu=mocker --accept-regression "reason" --update-baselines'
        if outcome is Outcome.REGRESSED
        else f"pytest suites/{case.suite} -k {case.case_id} --gpu=mocker --update-baselines",
        records=(f"records/{case.suite}/{case.case_id}/run-1.jsonl.gz",),
        logs=("deployments/3f2a/frontend.log", "deployments/3f2a/worker-1.log"),
        confirmed_by="a fresh session" if outcome is Outcome.REGRESSED else "",
    )


def a_pair(number: int, factor: float, *, problems: tuple[str, ...] = ()) -> Pair:
    """``problems`` are the candidate's. Values differ from pair to pair."""
    wobble = 1 + number / 1000
    return Pair(
        candidate=a_run(f"pair-{number}-candidate", the_values(4, factor, wobble), problems=problems),
        control=a_run(f"pair-{number}-control", the_values(4, 1.0, wobble)),
        candidate_first=number % 2 == 0,
    )


def a_duet(factor: float = 1.0, pairs: int = 5) -> Duet:
    return Duet(
        pairs=tuple(a_pair(number, factor) for number in range(1, pairs + 1)),
        control="image registry.example/dynamo:1.4.1",
        control_provenance={"dynamo.version": "1.4.1"},
    )


def decided_by_duet() -> CaseResult:
    """A regression of ITL that five pairs with the control showed."""
    result = a_result(4, Outcome.REGRESSED, factor=1.119)
    cells = tuple(replace(cell, pairs=5, control_values=(0.0058,) * 5) if cell.cell == ITL else cell for cell in result.verdict.cells)
    decode = Suspicion(what="decode", sentence="decode takes longer, not prefill", cell=ITL, before=0.00584, now=0.00653, delta=0.112)
    version = Suspicion(what="recorded change", sentence="Dynamo changed", name="dynamo.version", text_before="1.4.1", text_now="1.4.2")
    return replace(
        result,
        verdict=replace(result.verdict, cells=cells, means=Means.DUET),
        confirmation=None,
        duet=a_duet(1.119),
        duet_possible=True,
        prior_sd={ITL.metric: 0.015},
        suspicions=(decode, version),
        confirmed_by="5 pairs with image registry.example/dynamo:1.4.1",
    )


def an_environment() -> Environment:
    return Environment(
        platform="mocker",
        key={"cpu.model": "Intel Xeon", "cpu.count": "2", "model.name": "Qwen/Qwen3-0.6B"},
        provenance={"dynamo.version": "1.4.2", "commit": "0a1b2c3", "host": "perf-1"},
    )


def a_report(*results: CaseResult, missing: tuple[str, ...] = (), interrupted: str | None = None) -> SessionReport:
    return SessionReport(
        session_id="3f2a9c",
        stamp="20261121T030501Z",
        command="pytest suites/ --gpu=mocker",
        seed=7,
        platform="mocker",
        simulated=True,
        results=results,
        missing=missing,
        interrupted=interrupted,
        versions={"ai-dynamo": "1.4.2", "pytest-dynperf": "0.1.0.dev0"},
        duration_s=200.0,
        baseline_directory="baselines",
        run_directory="reports/20261121T030501Z-3f2a9c",
    )


def a_regressed_sweep() -> SessionReport:
    """Four concurrencies, one of them regressed."""
    return a_report(
        a_result(1),
        a_result(4, Outcome.REGRESSED, factor=1.119),
        a_result(16),
        a_result(64),
    )


def every_outcome() -> SessionReport:
    """One case of each outcome."""
    factors = {Outcome.REGRESSED: 1.119, Outcome.IMPROVED: 0.88, Outcome.INCONCLUSIVE: 1.04}
    return a_report(*(a_result(2**outcome, outcome, factor=factors.get(outcome, 1.0)) for outcome in Outcome))
