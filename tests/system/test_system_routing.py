"""The KV router of the suite `routing` finds what workers hold, by its own counters; blind to prefixes, it finds less of the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.deployment.embedded import start_embedded
from pytest_dynperf.deployment.model_directory import make_model
from pytest_dynperf.load.run import run_load
from pytest_dynperf.scenario.search import find_platforms
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_scenario
from pytest_dynperf.telemetry.prometheus import parse
from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
from pytest_dynperf.workload.stream import requests_of
from pytest_dynperf.workload.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.scenario.case import Case

pytestmark = pytest.mark.system

SUITES = Path(__file__).parents[2] / "suites"
QUICK = ("topology.worker.args=--speedup-ratio 10", "traffic.requests=64")
HIT_RATE = "dynamo_component_router_kv_hit_rate"


def of_kv_router(*overrides: str) -> Case:
    """The suite's case for the KV router where nine tenths of a prompt are shared, quicker than the suite has it."""
    mocker = next(platform for platform in find_platforms(near=SUITES) if platform.name == "mocker")
    scenario = load_scenario(SUITES / "routing" / "scenario.toml")
    found = expand(scenario, mocker, overrides=[*QUICK, *overrides], environ={"PREFIX_RATIOS": "0.9"})
    return next(case for case in found if case.arm == "kv")


def expected_share(deployment: Deployment) -> float:
    """Which share of a prompt the router expected in the cache of the worker that it chose, on average."""
    url = dict(deployment.endpoint.metrics_urls)["frontend"]
    names = {f"{HIT_RATE}_sum", f"{HIT_RATE}_count"}
    page = parse(exchange("GET", url, timeout_s=10).body.decode(), wanted=names)
    summed, count = (sum(sample.value for sample in page.samples if sample.name == name) for name in sorted(names, reverse=True))
    assert count >= 64, "one decision per request"
    return summed / count


def hit_rate(case: Case, directory: Path) -> float:
    directory.mkdir()
    cache = directory.parent / "cache"
    source = TokenizedPrompts(load_tokenizer(make_model(cache)))
    deployment = start_embedded(
        case.topology, directory=directory / "run", cache_directory=cache, log_path=lambda name: directory / f"{name}.log"
    )
    try:
        requests = requests_of(case.traffic, source, seed=5, root=directory)
        recording = run_load(deployment.endpoint, requests, case.traffic, run="run-1", seed=5, records_path=None)
        assert not recording.incidents
        assert all(record.error is None for record in recording.measured)
        return expected_share(deployment)
    finally:
        deployment.stop()


def test_the_kv_router_finds_what_a_router_that_does_not_look_misses(tmp_path: Path) -> None:
    looking = hit_rate(of_kv_router(), tmp_path / "looking")
    blind = hit_rate(of_kv_router("topology.router.overlap_weight=0"), tmp_path / "blind")
    assert looking > blind + 0.1, (looking, blind)
    assert looking > 0.45
