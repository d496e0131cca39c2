"""Dynamo counts the prompts of every workload as we do, and its cache finds what they share."""

from __future__ import annotations

import json
import string
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.deployment.embedded import start_embedded
from pytest_dynperf.deployment.model_directory import make_model
from pytest_dynperf.deployment.readiness import complete_once
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.scenario.traffic import Traffic, Workload
from pytest_dynperf.session.prompts import source_for
from pytest_dynperf.workload.prompt_reuse import expected_hit_rate
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.stream import requests_of
from tests.fakes.model_directory import add_begin

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence
    from pathlib import Path

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.workload.request import Request

pytestmark = pytest.mark.system

BLOCK, DEADLINE_S = 16, 30.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model like ours, in whose vocabulary letters are words, as in those of real models, and whose tokenizer writes <s> by itself."""
    cache = tmp_path_factory.mktemp("cache")
    path = make_model(cache) / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary, merges = tokenizer["model"]["vocab"], tokenizer["model"]["merges"]
    for letter in string.ascii_lowercase:
        if f"Ġ{letter}" not in vocabulary:
            vocabulary[f"Ġ{letter}"] = len(vocabulary)
            merges.append(["Ġ", letter])
    path.write_text(json.dumps(tokenizer))
    add_begin(path.parent)
    return cache


@pytest.fixture(scope="module")
def endpoint(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    run = tmp_path_factory.mktemp("run")
    topology = Topology(engine="mocker", model="sim-8b", mode="agg", worker=Role(count=1), router_mode="kv", block_size=BLOCK)
    deployment = start_embedded(topology, directory=run, cache_directory=cache, log_path=lambda name: run / f"{name}.log")
    yield deployment.endpoint
    deployment.stop()


WORKLOADS = {
    "synthetic": Workload(isl_stddev=60.0, osl_stddev=2.0),
    "shared-prefix": Workload(kind="shared-prefix", prefix_ratio=0.5, prefix_count=2),
    "conversation": Workload(kind="conversation", turns=4),
    "trace": Workload(kind="trace", file="trace.jsonl", block_size=64),
}
TRACE = """\
{"timestamp": 0, "input_length": 200, "output_length": 4, "hash_ids": [1, 2, 3, 4]}
{"timestamp": 10, "input_length": 300, "output_length": 4, "hash_ids": [1, 2, 5, 6, 7]}
"""


@pytest.mark.parametrize("with_tokenizer", [True, False], ids=["tokenized", "calibrated"])
@pytest.mark.parametrize("kind", WORKLOADS)
def test_a_chat_is_counted_as_asked(endpoint: Endpoint, cache: Path, tmp_path: Path, kind: str, with_tokenizer: bool) -> None:
    (tmp_path / "trace.jsonl").write_text(TRACE)
    traffic = Traffic(isl=256, osl=8, concurrency=1, workload=WORKLOADS[kind])
    source = source_for(endpoint, make_model(cache) if with_tokenizer else None, traffic.workload)
    requests = list(islice(requests_of(traffic, source, seed=11, root=tmp_path), 5))
    counted = [
        complete_once(endpoint, content=request.content, history=request.history, max_tokens=4, timeout_s=30).prompt_tokens
        for request in requests
    ]
    assert counted == [request.isl for request in requests]


@pytest.mark.parametrize("with_tokenizer", [True, False], ids=["tokenized", "calibrated"])
def test_a_text_completion_is_counted_as_asked(endpoint: Endpoint, cache: Path, tmp_path: Path, with_tokenizer: bool) -> None:
    text = replace(endpoint, api="completions")
    source = source_for(text, make_model(cache) if with_tokenizer else None)
    [request] = islice(requests_of(Traffic(isl=256, osl=8, concurrency=1), source, seed=11, root=tmp_path), 1)
    assert complete_once(text, content=request.content, max_tokens=4, timeout_s=30).prompt_tokens == 256


def hit_tokens(endpoint: Endpoint, request: Request) -> int:
    """Tokens of the prompt that the router knows to be cached. It counts in blocks, a last one that is not full among them."""
    turns = [{"role": role, "content": text} for turn in request.history for role, text in zip(("user", "assistant"), turn, strict=True)]
    messages = [*turns, {"role": "user", "content": request.content}]
    body = dict(endpoint.extra_body) | {"model": endpoint.model, "max_tokens": 2, "messages": messages}
    reply = exchange("POST", endpoint.url("/v1/chat/completions"), timeout_s=30, body=body)
    assert reply.status == 200, reply.excerpt
    rate: float = json.loads(reply.body)["nvext"]["timing"]["kv_hit_rate"]
    return round(rate * -(-request.isl // BLOCK)) * BLOCK


@pytest.mark.parametrize("kind", WORKLOADS)
def test_the_router_finds_what_is_shared_and_nothing_else(endpoint: Endpoint, cache: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "trace.jsonl").write_text(TRACE)
    traffic = Traffic(isl=256, osl=8, concurrency=1, workload=WORKLOADS[kind])
    source = source_for(endpoint, make_model(cache))
    prompts: list[Sequence[Hashable]] = []
    found = 0
    for request in islice(requests_of(traffic, source, seed=stream_seed(0, kind), root=tmp_path), 5):
        found += hit_tokens(endpoint, request)
        prompts.append(source.tokens(request))
        rate = expected_hit_rate(prompts, block_size=BLOCK)
        assert rate is not None
        assert found == round(rate * sum(map(len, prompts)))
        # The router learns of cached blocks some time later: the same prompt is asked until all of it is found.
        deadline = time.monotonic() + DEADLINE_S
        while hit_tokens(endpoint, request) < request.isl // BLOCK * BLOCK:
            assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for the blocks of request {request.index}"
    assert (found > 0) == (kind != "synthetic")
