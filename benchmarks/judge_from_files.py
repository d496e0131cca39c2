"""How fast `dynperf judge` is: a synthetic session of 10,000 judged cells, ten baseline documents per case, all read from files.

    python benchmarks/judge_from_files.py [--cells 10000] [--gates 40] [--profile]

Prints CPU seconds (elapsed ones say more of the neighbours than of the judge) and cells per second: of reading the session, of reading the
baselines, of judging, and of all. Writing the files is not counted.
"""

from __future__ import annotations

import argparse
import cProfile
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from pytest_dynperf.baseline.document import Baseline, BaselineRun
from pytest_dynperf.baseline.proposal import binding_key
from pytest_dynperf.baseline.store import stored, write
from pytest_dynperf.environment import Environment
from pytest_dynperf.measurement.measurement import Distribution, Measurement, Run
from pytest_dynperf.metrics.catalogue import MEANINGS, cells
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.observation.recording import Certificate, ProcessUsage
from pytest_dynperf.quantity import Direction
from pytest_dynperf.report.json_file import encode_session, to_text
from pytest_dynperf.report.session_report import CaseResult, SessionReport
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.session.rejudged import Question, rejudge
from pytest_dynperf.session.session_files import read_sessions
from pytest_dynperf.verdict.judge import invalid
from pytest_dynperf.verdict.verdict import Outcome

NIGHT = "20261121T030501Z"
SESSIONS, RUNS = 10, 3
ENVIRONMENT = Environment(platform="mocker", key={"cpu.model": "synthetic"}, provenance={"dynamo.version": "1.4.2"})
CERTIFICATE = Certificate(
    send_lag_p99_s=1e-4,
    receive_lag_p99_s=1e-5,
    mean_in_flight=4.0,
    coalesced_share=0.0,
    processes=(ProcessUsage(cpu_s=1.0, run_delay_s=0.1),),
    clock_step_s=0.0,
)
JUDGEABLE = [
    cell for cell in cells() if MEANINGS[cell.metric].direction is not Direction.NEITHER and MEANINGS[cell.metric].kind is Kind.MAGNITUDE
]


def a_run(number: int, gates: int, rng: random.Random) -> Run:
    """A run with all cells of the catalogue that are gated, and a distribution of each metric."""
    values = {cell: rng.gauss(1.0, 0.02) * (1 + place) for place, cell in enumerate(JUDGEABLE[:gates])}
    names = {cell.metric for cell in values}
    percentiles = {f"p{share}": 1.0 + share / 100 for share in (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9)}
    spread = Distribution(n=2000, mean=1.0, sd=0.1, sd_log=0.1, minimum=0.5, maximum=2.0, percentiles=percentiles)
    return Run(
        name=f"run-{number}",
        values=values,
        absent={},
        distributions=dict.fromkeys(sorted(names), spread),
        requests=2000,
        errors=0,
        error_kinds={},
        duration_s=60.0,
        certificate=CERTIFICATE,
        witness={},
    )


def a_measurement(gates: int, rng: random.Random) -> Measurement:
    return Measurement(runs=tuple(a_run(number, gates, rng) for number in range(1, RUNS + 1)))


def a_case(number: int, gates: int) -> Case:
    return Case(
        suite="synthetic",
        case_id=f"case-{number:05d}",
        question="How fast is the judge?",
        platform="mocker",
        topology=Topology(engine="mocker", model="synthetic"),
        traffic=Traffic(isl=256, osl=32, concurrency=4),
        expectation=Expectation(gates=tuple(Gate(cell=cell, tolerance=0.03) for cell in JUDGEABLE[:gates])),
    )


def build(root: Path, count: int, gates: int) -> None:
    """``session/session.json`` and ``baselines/`` below ``root``."""
    rng = random.Random(7)
    results = []
    for number in range(count):
        case = a_case(number, gates)
        key = binding_key(case, ENVIRONMENT)
        for session in range(SESSIONS):
            write(root / "baselines", a_document(case, key, session, a_measurement(gates, rng)))
        results.append(
            CaseResult(
                case=case,
                node_id="none",
                verdict=replace(invalid(("not judged yet",), case.expectation), outcome=Outcome.NO_BASELINE),
                measurement=a_measurement(gates, rng),
                confirmation=None,
                environment=ENVIRONMENT,
                baseline_provenance={},
                duration_s=1.0,
                reproduce="",
                accept="",
            )
        )
    report = SessionReport(
        session_id="night",
        stamp=NIGHT,
        command="none",
        seed=7,
        platform="mocker",
        simulated=True,
        results=tuple(results),
        missing=(),
        interrupted=None,
        versions={},
        duration_s=1.0,
        baseline_directory=str(root / "baselines"),
        run_directory=str(root / "session"),
    )
    (root / "session").mkdir()
    (root / "session" / "session.json").write_text(to_text(encode_session(report)))


def a_document(case: Case, key: dict[str, str], session: int, measurement: Measurement) -> Baseline:
    return Baseline(
        suite=case.suite,
        case_id=case.case_id,
        session_id=f"s{session}",
        stamp=f"202611{session + 1:02d}T030000Z",
        environment_name=ENVIRONMENT.name,
        key=key,
        provenance=ENVIRONMENT.provenance,
        units={cell.metric: MEANINGS[cell.metric].unit.value for cell in measurement.runs[0].values},
        runs=tuple(
            BaselineRun(
                values=run.values, distributions=run.distributions, requests=run.requests, errors=run.errors, duration_s=run.duration_s
            )
            for run in measurement.runs
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000, help="judged cells in all (default: %(default)s)")
    parser.add_argument("--gates", type=int, default=40, help="judged cells of a case (default: %(default)s)")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    arguments = parser.parse_args()
    count = arguments.cells // arguments.gates
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        print(f"writing {count} cases of {arguments.gates} gates, {SESSIONS} documents each")
        build(root, count, arguments.gates)
        profiler = cProfile.Profile() if arguments.profile else None
        if profiler is not None:
            profiler.enable()
        start_s = time.process_time()
        (session,) = read_sessions([root / "session"])
        read_s = time.process_time()
        judged = rejudge(session, Question())
        end_s = time.process_time()
        if profiler is not None:
            profiler.disable()
            profiler.print_stats("tottime")
        alone_s = time.process_time()
        for result in session.report.results:
            stored(root / "baselines", suite=result.case.suite, case_id=result.case.case_id)
        stored_s = time.process_time() - alone_s
    done = sum(len(result.verdict.cells) for result in judged.report.results)
    compared = sum(cell.sessions == SESSIONS for result in judged.report.results for cell in result.verdict.cells)
    assert done == compared == count * arguments.gates, f"{done} cells were judged, {compared} of them with {SESSIONS} sessions"
    parts = (
        ("session.json", read_s - start_s),
        ("baselines", stored_s),
        ("judging", end_s - read_s - stored_s),
        ("in all", end_s - start_s),
    )
    for name, seconds in parts:
        print(f"{name:<13} {seconds:6.2f} s  {done / seconds:10,.0f} cells/s")


if __name__ == "__main__":
    main()
