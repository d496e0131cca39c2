"""AIPerf's files: genuine ones give AIPerf's own numbers, and each way in which one can mislead is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pytest_dynperf.errors import UsageError
from pytest_dynperf.measurement.foreign import ForeignRun, to_run, traffic_of
from pytest_dynperf.measurement.foreign_aiperf import UNITS, looks_like, read_summary, with_records
from pytest_dynperf.measurement.foreign_aiperf_records import read_records
from pytest_dynperf.measurement.foreign_table import parse
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Cell, RunFacts
from pytest_dynperf.metrics.objectives import NOTHING_STATED, Objectives
from pytest_dynperf.observation.recording import Recording
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.traffic import Arrival
from tests.fakes.observations import CERTIFICATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.observation.request_record import RequestRecord

DATA = Path(__file__).parents[2] / "data" / "aiperf"
EXPECTATION = Expectation(gates=(), min_in_flight_share=0.8)
TTFT, ITL = Cell("time_to_first_token.v1", "p50"), Cell("inter_token_latency.v1", "p50")
THROUGHPUT = Cell("output_token_throughput.v1", "value")


def summary_of(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((DATA / name / "profile_export_aiperf.json").read_text())
    return table


def lines_of(name: str) -> list[str]:
    return (DATA / name / "profile_export.jsonl").read_text().splitlines()


def read(table: dict[str, Any]) -> ForeignRun:
    return read_summary(parse(json.dumps(table), file="summary.json"))


def records_of(lines: list[str], foreign: ForeignRun) -> tuple[tuple[RequestRecord, ...], frozenset[str]]:
    return read_records(lines, file="records.jsonl", run="run-1", traffic=traffic_of(foreign.asked, file=foreign.file, runs=1))


def whole(table: dict[str, Any], lines: list[str]) -> ForeignRun:
    foreign = read(table)
    records, unfounded = records_of(lines, foreign)
    return with_records(foreign, records, records_file="records.jsonl", unfounded=unfounded)


def run_of(foreign: ForeignRun) -> Run:
    traffic = traffic_of(foreign.asked, file=foreign.file, runs=1)
    return to_run(foreign, name="run-1", traffic=traffic, expectation=EXPECTATION)


# ---- the numbers


@pytest.mark.parametrize("name", ["c1", "c8"])
@pytest.mark.parametrize("detailed", [False, True])
def test_every_value_is_aiperfs_own(name: str, detailed: bool) -> None:
    table = summary_of(name)
    run = run_of(whole(table, lines_of(name)) if detailed else read(table))
    assert run.problems == ()
    compared = 0
    for cell, value in run.values.items():
        block = table.get(CATALOGUE[cell.metric].name)
        if block is None:
            assert detailed, cell  # ours alone: only requests can give it
            continue
        stated = block["avg" if cell.statistic in ("value", "mean") else cell.statistic] * UNITS[block["unit"]][1]
        assert value == pytest.approx(stated, rel=1e-6 if "effective" in cell.metric else 1e-12), cell
        compared += 1
    assert compared >= 30


@pytest.mark.parametrize("name", ["c1", "c8"])
def test_our_formulas_give_every_statistic_of_the_json_from_the_requests(name: str) -> None:
    table, facts = summary_of(name), RunFacts(gpu_count=None, objectives=read(summary_of(name)).asked.objectives)
    foreign = whole(table, lines_of(name))
    start_ns = min(record.sent_ns or 0 for record in foreign.records)
    recording = Recording(
        run="run-1",
        records=foreign.records,
        window_start_ns=start_ns,
        window_end_ns=start_ns + round(foreign.duration_s * 1e9),
        concurrency=None,
        certificate=CERTIFICATE,
    )
    seen = set()
    for definition in CATALOGUE.values():
        block = table.get(definition.name)
        if block is None:
            continue
        seen.add(definition.name)
        factor = UNITS[block["unit"]][1]
        if definition.value is not None:
            assert definition.value(recording, facts) == pytest.approx(block["avg"] * factor, rel=1e-8), definition.name
            continue
        assert definition.samples is not None
        samples = definition.samples(recording)
        ours: dict[str, float] = {
            "avg": samples.mean(),
            "min": samples.min(),
            "max": samples.max(),
            "std": samples.std(),
            "sum": samples.sum(),
        }
        ours |= {f"p{point}": float(np.percentile(samples, point)) for point in (1, 5, 10, 25, 50, 75, 90, 95, 99)}
        assert len(samples) == block["count"]
        for statistic, value in ours.items():
            # effective_latency: AIPerf subtracts wall clock times as floats, which are 256 ns apart
            allowed = 3e-7 if definition.name == "effective_latency" else 1e-12
            assert value == pytest.approx(block[statistic] * factor, rel=1e-9, abs=allowed * len(samples)), (definition.name, statistic)
    assert {"goodput"} - seen == ({"goodput"} if name == "c1" else set())
    assert len(seen - {"goodput"}) == 13


def test_distributions_follow_requests_where_there_are_any() -> None:
    stated, computed = run_of(read(summary_of("c8"))), run_of(whole(summary_of("c8"), lines_of("c8")))
    for metric, distribution in stated.distributions.items():
        ours = computed.distributions[metric]
        assert (ours.n, ours.minimum, ours.maximum) == pytest.approx((distribution.n, distribution.minimum, distribution.maximum), abs=1e-6)
        assert ours.sd == pytest.approx(distribution.sd, rel=1e-3, abs=1e-9)
        assert distribution.sd_log is None
    assert computed.distributions[ITL.metric].sd_log == pytest.approx(0.0088, rel=0.02)


def test_a_tail_that_aiperf_states_from_too_few_is_absent() -> None:
    run = run_of(read(summary_of("c8")))
    assert run.absent[Cell(TTFT.metric, "p99")].reason == "p99 needs 1000 samples, found 64"
    assert Cell("inter_chunk_latency.v1", "p99") in run.values  # 1,984 gaps
    assert "p99" not in run.distributions[TTFT.metric].percentiles


def test_throughput_is_read_as_stored_and_not_over_benchmark_duration() -> None:
    run = run_of(read(summary_of("c8")))
    assert run.values[THROUGHPUT] == 674.2732432107617
    assert run.duration_s == pytest.approx(3.037344312)  # benchmark_duration is 3.031568384


def test_what_is_not_known_is_none_and_no_flaw() -> None:
    run = run_of(whole(summary_of("c8"), lines_of("c8")))
    assert (run.certificate.send_lag_p99_s, run.certificate.receive_lag_p99_s, run.certificate.processes) == (None, None, ())
    assert run.certificate.mean_in_flight == pytest.approx(7.696, abs=1e-3)
    assert run.problems == ()


# ---- layouts and versions


def test_metrics_may_stand_under_records() -> None:
    table = summary_of("c8")
    metrics = {name: table.pop(name) for name, value in list(table.items()) if isinstance(value, dict) and "unit" in value}
    moved = {**table, "records": metrics}
    assert looks_like(parse(json.dumps(moved), file="x"))
    assert run_of(read(moved)).values == run_of(read(summary_of("c8"))).values


@pytest.mark.parametrize("version", [None, "1.0", "1.1", "1.2", "1.3", "1.4", "1.5"])
def test_versions_with_and_without_what_was_added_later(version: str | None) -> None:
    table = summary_of("c8")
    table["schema_version"] = version
    if version in (None, "1.0"):  # count and sum came with 1.1
        table = {
            k: {s: v for s, v in b.items() if s not in ("count", "sum")} if isinstance(b, dict) and "unit" in b else b
            for k, b in table.items()
        }
    if version == "1.5":
        table["runtime_submission_invalid_reasons"] = []
    run = run_of(read(table))
    assert run.values[TTFT] == pytest.approx(0.0539200155)
    assert run.requests == 64


def test_missing_metrics_are_absent_with_the_reason() -> None:
    table = {
        key: value for key, value in summary_of("c8").items() if key not in ("time_to_first_token", "goodput", "effective_concurrency")
    }
    run = run_of(read(table))
    assert TTFT not in run.values
    assert run.absent[TTFT].reason == "the file of AIPerf does not hold it"
    assert run.certificate.mean_in_flight == pytest.approx(7.69641959)  # Little: the same number as AIPerf's


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1.0), ("sec", 1e-3), ("s", 1e-3), ("us", 1e3), ("ns", 1e6)])
def test_the_unit_says_what_a_number_is(unit: str, factor: float) -> None:
    table = summary_of("c8")
    block = table["time_to_first_token"]
    table["time_to_first_token"] = {k: v * factor if k not in ("unit", "count") else v for k, v in block.items()} | {"unit": unit}
    assert run_of(read(table)).values[TTFT] == pytest.approx(0.0539200155, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "place", "found"),
    [
        (lambda t: t["time_to_first_token"].update(unit="tokens"), "'time_to_first_token.unit'", '"tokens"'),
        (lambda t: t["time_to_first_token"].update(unit=None), "'time_to_first_token.unit'", "null"),
        (lambda t: t["inter_token_latency"].update(p50="fast"), "'inter_token_latency.p50'", '"fast"'),
        (lambda t: t["inter_token_latency"].update(avg=True), "'inter_token_latency.avg'", "true"),
        (lambda t: t.update(request_latency=[1]), "'request_latency'", "[1]"),
        (lambda t: t.update(error_summary=[3]), "'error_summary[0]'", "3"),
        (lambda t: t["input_config"]["datasets"][0]["prompts"].update(isl="long"), "'input_config.datasets[0].prompts.isl'", '"long"'),
    ],
)
def test_what_is_not_as_it_must_be_is_named(change: Callable[[dict[str, Any]], None], place: str, found: str) -> None:
    table = summary_of("c8")
    change(table)
    with pytest.raises(UsageError, match=r"^summary\.json: key") as caught:
        read(table)
    assert place in str(caught.value)
    assert found in str(caught.value)


def test_what_was_asked_in_the_layout_of_today() -> None:
    asked = read(summary_of("errors")).asked
    assert (asked.model, asked.isl, asked.osl, asked.concurrency, asked.requests, asked.warmup_requests) == ("fake", 100, 8, 4, 32, 4)
    assert asked.ignore_eos
    assert asked.random_seed == 7
    assert read(summary_of("c8")).asked.objectives == Objectives(time_to_first_token_s=0.06, inter_token_latency_s=0.011)


def test_what_was_asked_in_the_layout_of_earlier_versions() -> None:
    table = summary_of("c1")
    table["input_config"] = {
        "endpoint": {"model_names": ["m"], "url": "http://h:1", "streaming": True},
        "input": {
            "extra": [["ignore_eos", True]],
            "random_seed": 3,
            "prompt": {"input_tokens": {"mean": 512, "stddev": 9.5}, "output_tokens": {"mean": 64}},
        },
        "loadgen": {"request_rate": 12.5, "request_rate_mode": "constant", "request_count": 99, "warmup_request_count": 5},
    }
    asked = read(table).asked
    assert (asked.model, asked.url, asked.isl, asked.isl_stddev, asked.osl) == ("m", "http://h:1", 512, 9.5, 64)
    assert asked.arrival == Arrival(process="constant", rate_per_s=12.5)
    assert (asked.requests, asked.warmup_requests, asked.ignore_eos, asked.random_seed) == (99, 5, True, 3)


def test_rates_data_sets_and_objectives_that_we_do_not_know() -> None:
    table = summary_of("c8")
    table["input_config"]["phases"] = [
        {"name": "p", "kind": "profiling", "type": "gamma", "rate": 20.0, "smoothness": 0.5, "concurrency": 16}
    ]
    table["input_config"]["datasets"] = [{"name": "main", "type": "public", "path": "sharegpt"}]
    table["input_config"]["slos"] = {"time_to_first_token": 60.0, "output_token_throughput_per_user": 9.0}
    asked = read(table).asked
    assert asked.arrival == Arrival(process="gamma", rate_per_s=20.0, burstiness=0.5, max_in_flight=16)
    assert asked.dataset == "public main sharegpt"
    assert asked.objectives == NOTHING_STATED
    with pytest.raises(UsageError, match=r"does not say ISL: give it with --isl TOKENS"):
        traffic_of(asked, file="f", runs=1)


# ---- what must not be judged


def test_tokens_counted_by_another_tokenizer_are_found() -> None:
    run = run_of(read(summary_of("c8_clienttok")))
    [problem] = run.problems
    assert "output_sequence_length is 36 tokens on average, usage_completion_tokens is 32: off by +12.5%" in problem
    assert "--use-server-token-count" in problem
    assert run.values == {}
    assert run.distributions == {}


def test_a_count_within_one_percent_is_no_contradiction() -> None:
    table = summary_of("c8")
    table["usage_completion_tokens"]["avg"] = 31.8
    assert run_of(read(table)).problems == ()


def test_answers_that_broke_off_and_that_aiperf_counts_as_successes_are_found() -> None:
    for foreign in (read(summary_of("errors")), whole(summary_of("errors"), lines_of("errors"))):
        problems = run_of(foreign).problems
        assert len(problems) == 2
        assert "2 of 31 requests that AIPerf counts as successful have no token count" in problems[0]
        assert problems[1].startswith("1 of 32 requests failed (3.1%, allowed 0.0%); most often: overloaded (1 times): HTTP 503")


def test_a_run_in_which_every_request_failed_has_no_latency() -> None:
    table = {key: value for key, value in summary_of("errors").items() if not (isinstance(value, dict) and "unit" in value)}
    table |= {"request_count": {"unit": "requests", "avg": 0.0}, "error_request_count": {"unit": "requests", "avg": 32.0}}
    table |= {"time_to_first_token": {"unit": "ms", "avg": 0.0, "p50": 0.0}, "request_throughput": {"unit": "requests/sec", "avg": 0.0}}
    run = run_of(read(table))
    assert run.problems[0].startswith("no request of 32 succeeded, so there is no latency; most often: overloaded")
    assert run.values == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"was_cancelled": True}, "was_cancelled is true"),
        ({"is_complete": False, "incomplete_reason": "stalled"}, "is_complete is false: stalled"),
        ({"request_count": {"unit": "requests", "avg": 29.0}}, "29 requests were measured, needed are 32"),
        ({"effective_concurrency": {"unit": "requests", "avg": 6.3}}, "6.3 requests were in flight on average, needed are 6.4"),
        ({"request_throughput": None, "benchmark_duration": None}, "the phase window is 0.0 s long"),
    ],
)
def test_a_planted_defect_is_found(change: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in run_of(read({**summary_of("c8"), **change})).problems)


def test_other_lengths_than_asked_are_found_where_the_end_was_ignored() -> None:
    table = summary_of("c8")
    assert run_of(read(table)).problems == ()
    table["input_config"]["endpoint"]["extra"] = {"ignore_eos": True}
    assert run_of(read(table)).problems == ()
    table["output_sequence_length"]["min"] = 31
    assert "output_sequence_length is 31 to 32 tokens, asked was OSL 32 exactly" in run_of(read(table)).problems[0]


def test_requests_of_another_run_are_found() -> None:
    problems = run_of(whole(summary_of("c8"), lines_of("c8")[:-1])).problems
    assert problems == ("summary.json counts 64 requests, records.jsonl holds 63: the files do not belong to one run, or one is cut short",)
    table = summary_of("c8")
    table["inter_token_latency"]["p50"] *= 1.02
    assert (
        run_of(whole(table, lines_of("c8")))
        .problems[0]
        .startswith("summary.json states 0.0101974 for inter_token_latency p50, the requests")
    )


# ---- requests


def test_stamps_are_exact_and_warm_up_is_not_measured() -> None:
    records, _ = records_of(lines_of("errors"), read(summary_of("errors")))
    assert [record.measured for record in records].count(False) == 4
    assert [record.sent_ns for record in records] == sorted(record.sent_ns or 0 for record in records)
    first = json.loads(lines_of("c8")[0])
    record = next(r for r in records_of(lines_of("c8"), read(summary_of("c8")))[0] if r.request_id == first["metadata"]["x_request_id"])
    assert record.sent_ns == 1795233785814094113
    assert record.chunk_ns[0] - record.sent_ns == 69_726_423
    assert record.chunk_ns[-1] - record.sent_ns == 370_709_921 == round(first["metrics"]["request_latency"]["value"] * 1e6)
    assert record.scheduled_ns == first["metadata"]["credit_issued_ns"]
    assert (record.prompt_tokens, record.completion_tokens, len(record.chunk_ns)) == (115, 32, 32)


def test_errors_become_failures_and_never_latencies() -> None:
    foreign = whole(summary_of("errors"), lines_of("errors"))
    [failed] = [record for record in foreign.records if record.error is not None]
    assert failed.error is not None
    assert (failed.error.kind, failed.http_status, failed.chunk_ns) == (FailureKind.OVERLOADED, 503, ())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "type": "Too Many", "message": "later"}, FailureKind.OVERLOADED),
        ({"code": 404, "type": "Not Found", "message": "no"}, FailureKind.HTTP_STATUS),
        ({"code": 499, "type": "RequestCancellationError", "message": "cancelled"}, FailureKind.CANCELLED),
        ({"type": "TimeoutError", "message": "TimeoutError()"}, FailureKind.TIMEOUT),
        ({"type": "ClientPayloadError", "message": "not completed"}, FailureKind.TRUNCATED),
        ({"code": 502, "type": "SSEResponseError", "message": "bad"}, FailureKind.HTTP_STATUS),
        ({"type": "ClientConnectorError", "message": "refused"}, FailureKind.CONNECTION),
        ({"type": "InvalidInferenceResultError", "message": "no content"}, FailureKind.NO_TOKENS),
        ({"message": "who knows"}, FailureKind.CONNECTION),
    ],
)
def test_kinds_of_errors(error: dict[str, Any], kind: FailureKind) -> None:
    line = json.loads(lines_of("errors")[0]) | {"error": error, "metrics": {}}
    [record], _ = records_of([json.dumps(line)], read(summary_of("errors")))
    assert record.error is not None
    assert record.error.kind is kind


def test_requests_without_gaps_leave_the_metrics_of_chunks_as_stated() -> None:
    lines = [json.loads(line) for line in lines_of("c8")]
    for line in lines:
        del line["metrics"]["inter_chunk_latency"]
    table = summary_of("c8")
    foreign = whole(table, [json.dumps(line) for line in lines])
    assert foreign.problems == ()
    assert foreign.values[Cell("inter_chunk_latency.v1", "p50")] == pytest.approx(table["inter_chunk_latency"]["p50"] / 1e3)
    assert foreign.values[ITL] == pytest.approx(table["inter_token_latency"]["p50"] / 1e3)
    assert Cell("stall.v1", "mean") not in foreign.values


def test_a_first_chunk_of_several_tokens_leaves_itl_as_stated() -> None:
    """With --per-chunk-usage AIPerf divides by OSL − tokens of the first chunk, and does not write how many these were."""
    table, lines = summary_of("c8"), [json.loads(line) for line in lines_of("c8")]
    for line in lines:
        line["metrics"]["inter_token_latency"]["value"] *= 31 / 28
    table["inter_token_latency"] = {k: v * 31 / 28 if k not in ("unit", "count") else v for k, v in table["inter_token_latency"].items()}
    table["output_token_throughput_per_user"] = {
        k: v * 28 / 31 if k not in ("unit", "count") else v for k, v in table["output_token_throughput_per_user"].items()
    }
    foreign = whole(table, [json.dumps(line) for line in lines])
    assert foreign.problems == ()
    assert foreign.values[ITL] == pytest.approx(table["inter_token_latency"]["p50"] / 1e3)


A_GAP_OF_NULL = json.dumps(
    {
        "metadata": {"request_start_ns": 1},
        "metrics": {"time_to_first_token": {"value": 3, "unit": "ms"}, "inter_chunk_latency": {"value": [1, None], "unit": "ms"}},
    }
)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"metadata": {"request_start_ns": 1', r"records.jsonl:2: not JSON"),
        ("[]", r"records.jsonl:2: holds list, expected is a JSON object"),
        ('{"metrics": {}}', r"records.jsonl:2: key 'metadata' holds null"),
        ('{"metadata": {"request_start_ns": 1.5}}', r"records.jsonl:2: key 'metadata.request_start_ns' holds 1.5"),
        (
            '{"metadata": {"request_start_ns": 1}, "metrics": {"time_to_first_token": {"value": 3, "unit": "parsec"}}}',
            r"records.jsonl:2: key 'metrics.time_to_first_token.unit' holds \"parsec\", expected is a unit of time",
        ),
        (
            A_GAP_OF_NULL,
            r"records.jsonl:2: key 'metrics.inter_chunk_latency.value\[1\]' holds null",
        ),
    ],
)
def test_a_line_that_is_no_record_is_named(line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        records_of([lines_of("c8")[0], line], read(summary_of("c8")))


def test_several_turns_keep_their_conversation() -> None:
    lines = [json.loads(line) for line in lines_of("c8")[:2]]
    lines[1]["metadata"] |= {"turn_index": 1, "conversation_id": "session_000000"}
    records, _ = records_of([json.dumps(line) for line in lines], read(summary_of("c8")))
    assert [(record.conversation, record.turn) for record in records] == [("session_000000", 0), ("session_000000", 1)]
    alone, _ = records_of(lines_of("c8")[:1], read(summary_of("c8")))
    assert alone[0].conversation is None


def test_the_version_of_the_tool_is_said() -> None:
    assert read(summary_of("c8")).generator == "AIPerf 0.13.0"
    assert replace(read(summary_of("c8")), version=None).generator == "AIPerf (version unknown)"
