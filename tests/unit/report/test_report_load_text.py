"""One load in words: what is absent stands with its reason, what is narrow is stacked, and nothing steers the terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.measurement.measurement import Run
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.observation.recording import Certificate, ProcessUsage
from pytest_dynperf.quantity import Absent
from pytest_dynperf.report.load_report import CellOverRuns, LoadReport
from pytest_dynperf.report.load_text import asked_lines, load_lines, progress_line
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.traffic import Arrival, Traffic, Workload
from pytest_dynperf.session.load_once import cells_over_runs

CERTIFICATE = Certificate(
    send_lag_p99_s=0.0002,
    receive_lag_p99_s=None,
    mean_in_flight=3.98,
    coalesced_share=0.021,
    clock_step_s=0.0,
    processes=(ProcessUsage(cpu_s=0.5, run_delay_s=0.01), ProcessUsage(cpu_s=0.5, run_delay_s=0.02)),
)
TTFT, ITL, RATE = "time_to_first_token.v1", "inter_token_latency.v1", "output_token_throughput.v1"
VALUES = {
    **{Cell(TTFT, name): value for name, value in (("mean", 0.0312), ("p50", 0.03), ("p90", 0.04))},
    **{Cell(ITL, name): value for name, value in (("mean", 0.00512), ("p50", 0.005), ("p90", 0.006))},
    Cell(RATE, "value"): 1234.0,
}
ENDPOINT = Endpoint(base_url="http://h:1", model="m")


def run(name: str = "run-1", *, factor: float = 1.0, problems: tuple[str, ...] = (), errors: int = 0) -> Run:
    values = {cell: value * factor for cell, value in VALUES.items()} if errors < 40 else {}
    return Run(
        name=name,
        values=values,
        absent={Cell(metric, tail): Absent("too few for a tail") for metric in (TTFT, ITL) for tail in ("p95", "p99")},
        distributions={},
        requests=40,
        errors=errors,
        error_kinds={"timeout": errors} if errors else {},
        duration_s=5.0,
        certificate=CERTIFICATE,
        witness={},
        problems=problems,
    )


def report(*runs: Run) -> LoadReport:
    return LoadReport(
        endpoint=ENDPOINT,
        traffic=Traffic(isl=20, osl=4, concurrency=4, runs=len(runs)),
        expectation=Expectation(gates=()),
        seed=1,
        processes=2,
        prompts="?",
        runs=runs,
        cells=cells_over_runs(runs),
        stamp="20260101T000000Z",
    )


def test_one_run() -> None:
    lines = load_lines(report(run()), width=100)
    assert lines[0] == "40 measured requests in 5.0 s, none failed"
    assert lines[2].split() == ["mean", "p50", "p90", "p95", "p99"]
    assert lines[3].split() == ["TTFT", "(ms)", "31.2", "30.0", "40.0", "–", "–"]
    assert lines[4].split() == ["ITL", "(ms)", "5.12", "5.00", "6.00", "–", "–"]
    assert "throughput  1,234 tok/s" in lines
    assert "– too few for a tail: TTFT, TTFT, ITL, ITL" not in lines, "each name once"
    assert "– too few for a tail: TTFT, ITL" in lines
    assert "  send lag         p99 0.200 ms, allowed 1.00 ms" in lines
    assert "  receive lag      not known: stamps are taken in the program, as over TLS" in lines
    assert "  in flight        3.98 of 4 on average" in lines
    assert "  CPU              2 processes, 1.00 s (20 % of a core), waited 0.03 s for one" in lines
    assert lines[-1] == "valid"


def test_the_mean_of_runs_and_their_cv() -> None:
    lines = load_lines(report(run(), run("run-2", factor=1.1)), width=120)
    title = next(line for line in lines if line.startswith("mean of 2 runs"))
    assert title.endswith("run CV of p50")
    assert next(line for line in lines if line.startswith("TTFT")).split()[2:] == ["32.8", "31.5", "42.0", "–", "–", "6.7", "%"]
    assert "throughput  1,296 tok/s  (run CV 6.7 %)" in lines
    assert "load generator, run-2" in lines


def test_a_cell_that_one_run_lacks_has_no_mean() -> None:
    lacking = run("run-2")
    lacking = replace(
        lacking,
        values={cell: value for cell, value in lacking.values.items() if cell != Cell(TTFT, "p90")},
        absent={**lacking.absent, Cell(TTFT, "p90"): Absent("9 values")},
    )
    lines = load_lines(report(run(), lacking), width=120)
    assert next(line for line in lines if line.startswith("TTFT")).split()[2:5] == ["31.2", "30.0", "–"]
    assert "– run run-2: 9 values: TTFT" in lines


def test_where_nothing_succeeded_there_is_no_number() -> None:
    lines = load_lines(report(run(errors=40, problems=("40 of 40 requests failed",))), width=100)
    assert lines[0] == "40 measured requests in 5.0 s, 40 failed: 40 timeout"
    assert "no successful request: there is no latency and no throughput" in lines
    assert not [line for line in lines if "TTFT" in line or "tok/s" in line]
    assert "INVALID: 40 of 40 requests failed" in lines
    assert "valid" not in lines


def test_problems_name_their_run_where_there_are_several() -> None:
    lines = load_lines(report(run(), run("run-2", problems=("the clock was stepped",))), width=100)
    assert "INVALID: run-2: the clock was stepped" in lines
    assert lines[-1] == "What is printed above was measured, and must not be judged."


@pytest.mark.parametrize("width", [1, 40, 60, 79])
def test_a_narrow_terminal_is_kept_to(width: int) -> None:
    lines = load_lines(report(run(problems=("requests were sent late " * 10,)), run("run-2")), width=width)
    assert max(map(len, lines)) <= max(width, 40)
    assert any("p50 30.0" in line for line in lines) == (width <= 40), "stacked only where rows do not fit"


def test_a_server_cannot_steer_the_terminal() -> None:
    text = "\n".join(load_lines(report(run(problems=("HTTP 500: \x1b[2J\x07",))), width=100))
    assert "\x1b" not in text
    assert "\\x1b[2J" in text


@pytest.mark.parametrize(
    ("arrival", "concurrency", "said"),
    [
        (Arrival(), 4, "closed loop, 4 in flight"),
        (Arrival(ramp_s=5.0), 4, "closed loop, 4 in flight, growing over 5 s"),
        (Arrival(process="constant", rate_per_s=2.5), None, "open loop, 2.5 requests/s, equal gaps"),
        (Arrival(process="gamma", rate_per_s=2.0, burstiness=0.5), None, "open loop, 2 requests/s, gamma with burstiness 0.5"),
        (Arrival(process="poisson", rate_per_s=2.0, max_in_flight=9), None, "Poisson, at most 9 in flight"),
        (Arrival(process="sinusoidal", min_rate_per_s=1.0, max_rate_per_s=9.0, period_s=60.0), None, "1 to 9 requests/s every 60 s"),
        (Arrival(process="trace", speedup=2.0), None, "at the times of the trace, 2 times as fast"),
    ],
)
def test_when_it_is_asked(arrival: Arrival, concurrency: int | None, said: str) -> None:
    traffic = Traffic(isl=20, osl=4, concurrency=concurrency, arrival=arrival, requests=30)
    assert said in "\n".join(asked_lines(ENDPOINT, traffic, seed=1, prompts=None, width=100))


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        (Workload(isl_stddev=3.0, osl_stddev=1.5), "random prompts, ISL 2,000 ± 3, OSL 4 ± 1.5"),
        (Workload(kind="shared-prefix", prefix_ratio=0.5), "50 % of each prompt from 1 shared prefix,"),
        (Workload(kind="shared-prefix", prefix_ratio=0.5, prefix_count=2), "50 % of each prompt from 2 shared prefixes,"),
        (Workload(kind="conversation", turns=3, turn_delay_s=0.5), "conversations of 3 turns with 0.5 s between"),
        (Workload(kind="conversation", file="t.jsonl"), "conversations of t.jsonl, on average ISL"),
        (Workload(kind="trace", file="t.jsonl"), "requests of t.jsonl, on average ISL 2,000, OSL 4"),
        (Workload(kind="images", file="d", image_count=2), "2 pictures with each random prompt"),
    ],
)
def test_what_is_asked(workload: Workload, said: str) -> None:
    traffic = Traffic(isl=2000, osl=4, concurrency=1, workload=workload)
    assert said in "\n".join(asked_lines(ENDPOINT, traffic, seed=1, prompts=None, width=100))


def test_the_lags_of_another_load_generator_are_not_known() -> None:
    foreign = replace(report(run()), generator="AIPerf 0.13.0", processes=None)
    lines = load_lines(foreign, width=100)
    begin = lines.index("load generator")
    assert lines[begin + 1 : begin + 4] == [
        "  made by          AIPerf 0.13.0; its lags are not known",
        "  in flight        3.98 of 4 on average",
        "",
    ]
    asked = asked_lines(ENDPOINT, foreign.traffic, seed=1, prompts=None, width=100, generator=foreign.generator)
    assert asked[-1] == "load generator: AIPerf 0.13.0; its lags are not known"


def test_a_load_that_ended_early_is_not_valid() -> None:
    lines = load_lines(replace(report(run()), ended="run-2: it failed"), width=100)
    assert "INVALID: run-2: it failed" in lines
    assert "valid" not in lines
    assert load_lines(replace(report(), ended="run-1: it failed"), width=100) == ["", "INVALID: run-1: it failed"]


def test_the_live_line_leaves_out_what_is_not_known() -> None:
    begun = {"done": 0, "total": 40, "in_flight": 4, "troubles": {"failed": 0}}
    assert progress_line(run=1, runs=1, **begun, tokens_per_s=None, seconds_left=None) == "0 of 40 requests · 4 in flight"  # type: ignore[arg-type]
    assert progress_line(run=1, runs=1, **{**begun, "in_flight": None}, tokens_per_s=None, seconds_left=None) == "0 of 40 requests"  # type: ignore[arg-type]
    text = progress_line(
        run=2, runs=3, done=20, total=40, in_flight=4, tokens_per_s=812.0, troubles={"failed": 1, "late": 0}, seconds_left=90.0
    )
    assert text == "run 2/3 · 20 of 40 requests · 4 in flight · 812 tok/s · 1 failed · 1 min 30 s left"


def test_a_cell_over_runs_is_none_without_runs() -> None:
    assert {entry.mean for entry in cells_over_runs(())} == {None}
    assert isinstance(cells_over_runs(())[0], CellOverRuns)
