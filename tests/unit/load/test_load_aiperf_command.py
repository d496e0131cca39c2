"""Command lines of AIPerf, as they are for the options of version 0.13.0 and of one that knows other names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import UsageError
from pytest_dynperf.load.aiperf_command import aiperf_arguments, configuration, known_flags
from pytest_dynperf.scenario.traffic import Arrival, Traffic, Workload

if TYPE_CHECKING:
    from collections.abc import Collection

FLAGS = known_flags(
    "--model --model-names --url --endpoint-type --streaming --use-server-token-count --tokenizer --apply-chat-template --isl --osl "
    "--isl-stddev --osl-stddev --concurrency --request-rate --arrival-pattern --request-rate-mode --arrival-smoothness --request-count "
    "--warmup-request-count --num-dataset-entries --random-seed --extra-inputs --request-timeout-seconds --output-artifact-dir "
    "--artifact-dir --ui --no-gpu-telemetry --no-server-metrics --config"
)
OLDER = known_flags(
    "--model --url --endpoint-type --streaming --use-server-token-count --tokenizer --synthetic-input-tokens-mean --output-tokens-mean "
    "--concurrency --request-rate --request-rate-mode --request-count --warmup-request-count --num-dataset-entries --random-seed "
    "--extra-inputs --artifact-dir"
)
ENDPOINT = Endpoint(base_url="http://127.0.0.1:8000", model="Qwen/Qwen3-0.6B")
TRAFFIC = Traffic(isl=256, osl=32, concurrency=8)


def line(traffic: Traffic = TRAFFIC, endpoint: Endpoint = ENDPOINT, *, flags: Collection[str] = FLAGS, tokenizer: str = "/model") -> str:
    arguments = aiperf_arguments(endpoint, traffic, flags=frozenset(flags), directory=Path("/out"), seed=7, tokenizer=tokenizer)
    return " ".join(arguments)


def test_a_closed_loop() -> None:
    assert line() == (
        "profile --model Qwen/Qwen3-0.6B --url http://127.0.0.1:8000 --endpoint-type chat --streaming --use-server-token-count "
        "--tokenizer /model --apply-chat-template --isl 256 --osl 32 --concurrency 8 --request-count 32 --warmup-request-count 8 "
        '--num-dataset-entries 40 --random-seed 7 --extra-inputs {"ignore_eos": true, "min_tokens": 32, "max_tokens": 32} '
        "--request-timeout-seconds 120 --output-artifact-dir /out --ui none --no-gpu-telemetry --no-server-metrics"
    )


def test_names_of_an_older_version_and_nothing_that_it_does_not_know() -> None:
    assert line(flags=OLDER) == (
        "profile --model Qwen/Qwen3-0.6B --url http://127.0.0.1:8000 --endpoint-type chat --streaming --use-server-token-count "
        "--tokenizer /model --synthetic-input-tokens-mean 256 --output-tokens-mean 32 --concurrency 8 --request-count 32 "
        '--warmup-request-count 8 --num-dataset-entries 40 --random-seed 7 --extra-inputs {"ignore_eos": true, "min_tokens": 32, '
        '"max_tokens": 32} --artifact-dir /out'
    )


def test_a_temperature_is_passed_on() -> None:
    assert '"max_tokens": 32, "temperature": 0.0}' in line(replace(TRAFFIC, temperature=0.0))


def test_open_loops() -> None:
    gamma = Traffic(
        isl=9, osl=8, arrival=Arrival(process="gamma", rate_per_s=2.5, burstiness=0.5, max_in_flight=16), requests=30, warmup_requests=0
    )
    assert "--request-rate 2.5 --arrival-pattern gamma --arrival-smoothness 0.5 --concurrency 16 --request-count 30 --num-" in line(gamma)
    poisson = replace(gamma, arrival=Arrival(process="poisson", rate_per_s=4.0))
    assert "--request-rate 4 --request-rate-mode poisson --request-count 30" in line(poisson, flags=OLDER)


def test_lengths_that_vary_are_not_pinned() -> None:
    text = line(replace(TRAFFIC, workload=Workload(isl_stddev=20.0, osl_stddev=4.0)))
    assert "--isl-stddev 20 --osl-stddev 4" in text
    assert '--extra-inputs {"ignore_eos": true} ' in text
    assert "--extra-inputs" not in line(replace(TRAFFIC, ignore_eos=False))


def test_text_completions_have_no_template_and_extra_fields_are_sent() -> None:
    text = line(endpoint=replace(ENDPOINT, api="completions", extra_body=(("nvext", {"a": 1}),)))
    assert "--endpoint-type completions" in text
    assert "--apply-chat-template" not in text
    assert '{"nvext": {"a": 1}, "ignore_eos": true' in text
    assert "--apply-chat-template" not in line(tokenizer="builtin")


def test_no_secret_stands_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    endpoint = replace(ENDPOINT, api_key_variable="MY_KEY", headers=(("X-Token", "other-secret"),))
    text = configuration(endpoint, TRAFFIC)
    assert text is not None
    assert json.loads(text)["benchmark"]["endpoint"] == {
        "url": "http://127.0.0.1:8000",
        "api_key": "${MY_KEY}",
        "headers": {"X-Token": "other-secret"},
    }
    arguments = aiperf_arguments(endpoint, TRAFFIC, flags=FLAGS, directory=Path("/out"), seed=7, configuration_file=Path("/out/c.json"))
    assert "secret" not in " ".join(arguments) + text.replace("other-secret", "")
    assert arguments[-2:] == ["--config", "/out/c.json"]
    assert configuration(ENDPOINT, TRAFFIC) is None


def test_what_the_configuration_says_of_the_load_bounds_no_open_loop() -> None:
    def phase(traffic: Traffic) -> dict[str, object]:
        text = configuration(replace(ENDPOINT, headers=(("X-Token", "v"),)), traffic)
        assert text is not None
        [found] = json.loads(text)["benchmark"]["phases"]
        return {name: found[name] for name in found if name not in {"name", "requests"}}

    assert phase(TRAFFIC) == {"type": "concurrency", "concurrency": 8}
    assert phase(Traffic(isl=9, osl=8, arrival=Arrival(process="poisson", rate_per_s=20.0))) == {"type": "poisson", "rate": 20.0}


def test_a_key_needs_a_version_that_reads_configurations() -> None:
    with pytest.raises(UsageError, match="this AIPerf has no --config"):
        aiperf_arguments(ENDPOINT, TRAFFIC, flags=OLDER, directory=Path("/out"), seed=7, configuration_file=Path("/c"))


@pytest.mark.parametrize("name", ["--use-server-token-count", "--streaming", "--url", "--random-seed", "--request-count"])
def test_what_must_be_there_is_asked_for_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=rf"this AIPerf has no {name}.*aiperf==0\.13\.0"):
        line(flags=FLAGS - {name})


@pytest.mark.parametrize(
    ("traffic", "said"),
    [
        (replace(TRAFFIC, workload=Workload(kind="shared-prefix", prefix_ratio=0.5)), "traffic.workload.kind = 'shared-prefix'"),
        (Traffic(isl=9, osl=8, arrival=Arrival(process="trace"), requests=30), "no arrival process 'trace'"),
        (replace(TRAFFIC, arrival=Arrival(ramp_s=3.0)), "traffic.arrival.ramp_s = 0"),
    ],
)
def test_what_aiperf_cannot_make_as_asked_is_refused(traffic: Traffic, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        line(traffic)


def test_options_are_read_from_the_help_text() -> None:
    text = "│ --output-artifact-dir --artifact-dir  Output (see --ui-type=none).\n│ -m --model-names│not-a-flag --x"
    assert known_flags(text) == {"--output-artifact-dir", "--artifact-dir", "--ui-type", "--model-names"}
