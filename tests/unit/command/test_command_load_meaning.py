"""What the options of `dynperf load` mean, and which combinations mean nothing. Nothing is sent."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command.load_meaning import in_options, load_of
from pytest_dynperf.command.load_options import KEYED, add_options
from pytest_dynperf.errors import DynperfError
from pytest_dynperf.metrics.objectives import Objectives
from pytest_dynperf.scenario.expectation import Parity
from pytest_dynperf.scenario.keys import KEYS
from pytest_dynperf.scenario.traffic import Arrival, Traffic, Workload

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.session.load_once import Load

URL = "http://127.0.0.1:9"
SIZES = ("--isl", "20", "--osl", "4")
CLOSED = (*SIZES, "--concurrency", "2")


def meant(*argv: str, url: str = URL) -> Load:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser)
    return load_of(parser.parse_args([url, *argv]))


def refusal(*argv: str, url: str = URL) -> str:
    with pytest.raises(DynperfError) as refused:
        meant(*argv, url=url)
    return str(refused.value)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    lines = [
        {"timestamp": at, "input_length": isl, "output_length": 10, "hash_ids": [at]} for at, isl in ((0, 100), (500, 200), (900, 300))
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_every_keyed_option_belongs_to_a_key_and_no_two_to_one() -> None:
    assert {keyed.key for keyed in KEYED} <= set(KEYS)
    assert len({keyed.key for keyed in KEYED}) == len(KEYED) == len({keyed.option for keyed in KEYED})


def test_every_key_of_traffic_and_of_the_bounds_can_be_said() -> None:
    otherwise = {
        "traffic.ignore_eos",  # --no-ignore-eos
        "traffic.max_failures_in_a_row",  # for a scenario that breaks what it measures
        "traffic.arrival.process",  # --concurrency, --arrival, --sine, --trace
        "traffic.arrival.min_rate_per_s",
        "traffic.arrival.max_rate_per_s",
        "traffic.arrival.period_s",  # --sine
        "traffic.workload.kind",  # --prefix-ratio, --turns, --images, --trace
        *(f"expect.objectives.{field.name}" for field in fields(Objectives)),  # --goodput
        *(f"expect.parity.{field.name}" for field in fields(Parity)),  # one run of load has no arms
        "traffic.cache",  # nor a deployment whose caches are its own
        *(f"traffic.workload.{name}" for name in ("shots", "limit", "subjects")),  # questions are for arms and baselines
        "traffic.workload.deal",  # run and pair numbers are a session's
        "expect.min_active_share",  # what a feature of the topology must have done
        "traffic.keep_text",
        "traffic.temperature",
    }
    keys = {name for name in KEYS if name.startswith(("traffic.", "expect."))}
    assert keys - {keyed.key for keyed in KEYED} == otherwise


def test_a_closed_loop() -> None:
    assert meant(*CLOSED, "--requests", "50", "--warmup", "0", "--timeout", "9").traffic == Traffic(
        isl=20, osl=4, concurrency=2, requests=50, warmup_requests=0, runs=1, request_timeout_s=9.0
    )


@pytest.mark.parametrize(
    ("argv", "arrival"),
    [
        (("--rate", "5"), Arrival(process="poisson", rate_per_s=5.0)),
        (("--rate", "5", "--arrival", "constant"), Arrival(process="constant", rate_per_s=5.0)),
        (("--rate", "5", "--burstiness", "0.5"), Arrival(process="gamma", rate_per_s=5.0, burstiness=0.5)),
        (("--sine", "1", "9", "60"), Arrival(process="sinusoidal", min_rate_per_s=1.0, max_rate_per_s=9.0, period_s=60.0)),
        (("--rate", "5", "--ramp", "3", "--max-in-flight", "7"), Arrival(process="poisson", rate_per_s=5.0, ramp_s=3.0, max_in_flight=7)),
    ],
)
def test_open_loops(argv: tuple[str, ...], arrival: Arrival) -> None:
    traffic = meant(*SIZES, *argv).traffic
    assert (traffic.arrival, traffic.concurrency) == (arrival, None)


@pytest.mark.parametrize(
    ("argv", "workload"),
    [
        (("--isl-stddev", "3", "--osl-stddev", "1"), Workload(isl_stddev=3.0, osl_stddev=1.0)),
        (("--prefix-ratio", "0.5", "--prefixes", "3"), Workload(kind="shared-prefix", prefix_ratio=0.5, prefix_count=3)),
        (("--turns", "3", "--turn-delay", "0.1"), Workload(kind="conversation", turns=3, turn_delay_s=0.1)),
        (("--images", "pictures", "--images-per-request", "2"), Workload(kind="images", file="pictures", image_count=2)),
    ],
)
def test_workloads(argv: tuple[str, ...], workload: Workload) -> None:
    assert meant(*CLOSED, *argv).traffic.workload == workload


def test_a_duration_is_a_number_of_requests() -> None:
    assert meant(*SIZES, "--rate", "2.5", "--duration", "10").traffic.request_count == 25
    assert meant(*SIZES, "--sine", "1", "3", "60", "--duration", "10").traffic.request_count == 20


def test_a_trace_is_replayed_to_its_end_at_its_times(trace: Path) -> None:
    traffic = meant("--trace", str(trace), "--speedup", "2").traffic
    assert traffic.arrival == Arrival(process="trace", speedup=2.0)
    assert traffic.workload == Workload(kind="trace", file=str(trace))
    assert (traffic.requests, traffic.warmup_count, traffic.isl, traffic.osl) == (3, 0, 200, 10)


def test_a_trace_in_a_closed_loop_lends_its_requests_alone(trace: Path) -> None:
    traffic = meant("--trace", str(trace), "--concurrency", "1", "--conversations").traffic
    assert (traffic.arrival.process, traffic.workload.kind) == ("concurrency", "conversation")
    assert traffic.requests == 1, "two of three are the warm-up"


def test_a_seed_is_new_each_time_unless_it_is_given() -> None:
    assert meant(*CLOSED).seed != meant(*CLOSED).seed
    assert meant(*CLOSED, "--seed", "7").seed == 7


def test_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "k")
    argv = ("--header", "X-A: b: c", "--extra-body", '{"nvext": {}}', "--metrics-url", "f=http://h:1/metrics", "--gpus", "2")
    endpoint = meant(*CLOSED, *argv, "--api", "completions", "--api-key-env", "A_KEY", url="https://h/team/v1/").endpoint
    assert endpoint.base_url == "https://h/team"
    assert (endpoint.model, endpoint.api, endpoint.api_key_variable, endpoint.gpu_count) == ("", "completions", "A_KEY", 2)
    assert (endpoint.headers, endpoint.extra_body) == ((("X-A", "b: c"),), (("nvext", {}),))
    assert endpoint.metrics_urls == (("f", "http://h:1/metrics"),)


def test_objectives() -> None:
    argv = ("--goodput", "ttft=0.5s", "tpot=20ms", "--goodput", "e2el=3s", "effective=3000ms")
    assert meant(*CLOSED, *argv).expectation.objectives == Objectives(
        time_to_first_token_s=0.5, inter_token_latency_s=0.02, request_latency_s=3.0, effective_latency_s=3.0
    )


@pytest.mark.parametrize("text", ["ttft", "ttft=5", "ttft=5m", "ttft=-1s", "ttft=0s", "tfft=1s", "ttft=1e9s", "=1s", "ttft=1.1.1s"])
def test_objectives_that_are_none(text: str) -> None:
    assert "--goodput: found" in refusal(*CLOSED, "--goodput", text)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "when are requests sent? Give --concurrency"),
        (("--concurrency", "2"), "--isl and --osl is missing"),
        (("--concurrency", "0", *SIZES), "--concurrency: found 0, allowed is an integer of at least 1"),
        (("--concurrency", "two", *SIZES), "--concurrency: found 'two', allowed is an integer"),
        ((*CLOSED, "--rate", "3"), "--concurrency and --rate exclude each other"),
        ((*SIZES, "--rate", "3", "--sine", "1", "2", "3"), "--rate and --sine exclude each other"),
        ((*SIZES, "--sine", "3", "1", "9"), "MIN of --sine = 3 is above MAX of --sine = 1; exchange them"),
        ((*SIZES, "--sine", "1", "x", "9"), "--sine: found 'x', allowed is a number greater than 0"),
        ((*SIZES, "--rate", "-1"), "--rate: found -1.0, allowed is a number greater than 0"),
        ((*SIZES, "--rate", "nan"), "--rate: found nan"),
        ((*CLOSED, "--arrival", "constant"), "--arrival has a meaning only with --rate"),
        ((*SIZES, "--rate", "1", "--arrival", "constant", "--burstiness", "2"), "--burstiness belongs to --arrival gamma"),
        ((*CLOSED, "--duration", "9"), "--duration has a meaning only with --rate or --sine"),
        ((*SIZES, "--rate", "1", "--duration", "9", "--requests", "9"), "--duration and --requests exclude each other"),
        ((*SIZES, "--rate", "1", "--duration", "inf"), "--duration: found 'inf', allowed is a number of seconds"),
        ((*CLOSED, "--max-in-flight", "9"), "--max-in-flight has a meaning only with --rate or --sine or --trace"),
        ((*CLOSED, "--speedup", "9"), "--speedup has a meaning only with --trace"),
        ((*CLOSED, "--block-size", "9"), "--block-size has a meaning only with --trace"),
        ((*CLOSED, "--conversations"), "--conversations has a meaning only with --trace"),
        ((*CLOSED, "--turn-delay", "1"), "--turn-delay has a meaning only with --turns"),
        (("--trace", "t", "--concurrency", "2", "--speedup", "9"), "--speedup has no meaning with --concurrency: the trace lends"),
        (("--trace", "t", "--concurrency", "2", "--max-in-flight", "9"), "--max-in-flight has no meaning with --concurrency"),
        ((*CLOSED, "--prefixes", "9"), "--prefixes has a meaning only with --prefix-ratio"),
        ((*CLOSED, "--prefix-ratio", "1"), "--prefix-ratio: found 1.0, allowed is a number from 0 to below 1"),
        ((*CLOSED, "--prefix-ratio", "0.5", "--turns", "2"), "--turns and --prefix-ratio cannot be combined"),
        ((*SIZES, "--rate", "3", "--turns", "2"), "conversations run with --concurrency, or at the times of a --trace"),
        ((*CLOSED, "--seed", "-1"), "--seed: found '-1', allowed is an integer of at least 0"),
        ((*CLOSED, "--processes", "0"), "--processes: found '0', allowed is an integer of at least 1"),
        ((*CLOSED, "--gpus", "none"), "--gpus: found 'none'"),
        ((*CLOSED, "--header", "secret"), "--header: found"),
        ((*CLOSED, "--extra-body", "{"), "--extra-body: not JSON"),
        ((*CLOSED, "--extra-body", "[1]"), "allowed is a JSON object"),
        ((*CLOSED, "--metrics-url", "http://h/metrics"), "--metrics-url: found"),
        ((*CLOSED, "--api-key-env", "NOT_SET_ANYWHERE"), "the environment variable 'NOT_SET_ANYWHERE' is not set"),
        ((*CLOSED, "--tokenizer", "/not/there"), "--tokenizer: /not/there is not a directory"),
        ((*CLOSED, "--ca-file", "/not/there"), "--ca-file: /not/there cannot be used: No such file"),
        ((*CLOSED, "--ca-file", __file__), "Give certificates in PEM"),
        (("--trace", "/not/there"), "/not/there cannot be read"),
        (("--trace", "/not/there", "--isl", "9"), "--isl has no meaning with --trace"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(argv: tuple[str, ...], said: str) -> None:
    assert said in refusal(*argv)


@pytest.mark.parametrize("url", ["localhost:8000", "127.0.0.1", "ftp://h", "http://", "http://h:99999", "http://[::1"])
def test_what_is_no_url_of_a_server(url: str) -> None:
    assert "is not a URL of a server: it must be of the form http://HOST" in refusal(*CLOSED, url=url)


def test_a_password_in_a_url_or_a_header_is_refused_without_repeating_it() -> None:
    assert "hunter2" not in refusal(*CLOSED, url="http://me:hunter2@h:1")
    assert "hunter2" not in refusal(*CLOSED, "--metrics-url", "f=http://me:hunter2@h/metrics")
    assert "hunter2" not in refusal(*CLOSED, "--header", "A: hunter2\nB: c")


def test_sentences_about_keys_and_plugin_options_become_ones_about_these_options() -> None:
    assert in_options("traffic.workload.file is missing; traffic.isl") == "--images is missing; --isl"
    assert in_options("Give --dynperf-tokenizer DIR") == "Give --tokenizer DIR"
    assert {in_options(keyed.key) for keyed in KEYED} == {keyed.option for keyed in KEYED}
