"""What a topology says of itself: words that bind comparability, and counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.scenario.topology import KvCache, Role, Router, Speculation, Topology

MOCKER = Topology(engine="mocker", model="m", worker=Role(count=2), planes="nats")


def test_where_nothing_new_is_asked_the_words_are_the_old_ones() -> None:
    assert MOCKER.shape == "agg 2x worker, router round-robin, planes nats"
    split = Topology(engine="vllm", model="m", mode="disagg", prefill=Role(count=2, gpus=2), decode=Role(gpus=4), router_mode="kv")
    assert split.shape == "disagg 2x prefill on 2 GPU + 1x decode on 4 GPU, router kv, planes default"
    assert split.asked == {}


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        (replace(MOCKER, frontends=2), "frontends 2"),
        (replace(MOCKER, served_by="engine"), "served_by engine"),
        (replace(MOCKER, migration_limit=0), "migration_limit 0"),
        (replace(MOCKER, router=Router(kv_events=False, ttl_s=1.5)), "router.kv_events false, router.ttl_s 1.5"),
        (replace(MOCKER, kv_cache=KvCache(connector="kvbm", host_gib=20)), "kv_cache.connector kvbm, kv_cache.host_gib 20"),
        (replace(MOCKER, speculation=Speculation(method="ngram", tokens=4)), "speculation.method ngram, speculation.tokens 4"),
        (replace(MOCKER, worker=Role(count=2, tensor_parallel=2)), "worker.tensor_parallel 2"),
    ],
)
def test_what_is_asked_binds_in_the_words_of_its_key(topology: Topology, words: str) -> None:
    assert topology.shape == f"{MOCKER.shape}, {words}"


@pytest.mark.parametrize(
    "topology",
    [
        replace(MOCKER, worker=Role(count=2, args=("--speedup-ratio", "0.9"))),
        replace(MOCKER, router_args=("--router-temperature", "1")),
        replace(MOCKER, block_size=16),
        replace(MOCKER, image="i"),
        replace(MOCKER, dynamo_version="1.4.2"),
        replace(MOCKER, prefill=Role(tensor_parallel=8)),
    ],
)
def test_what_may_be_under_test_or_does_not_run_binds_nothing(topology: Topology) -> None:
    assert topology.shape == MOCKER.shape
    assert topology.deployment_key != MOCKER.deployment_key


def test_encode_workers_stand_beside_either_mode() -> None:
    topology = replace(MOCKER, encode=Role(count=1, gpus=1), worker=Role(count=2, gpus=2))
    assert list(topology.roles) == ["encode", "worker"]
    assert (topology.worker_count, topology.gpu_count) == (3, 5)
    assert topology.shape == "agg 1x encode on 1 GPU + 2x worker on 2 GPU, router round-robin, planes nats"


def test_keys_of_a_group() -> None:
    topology = replace(MOCKER, router=Router(temperature=0.5), kv_cache=KvCache(prefix_caching=False))
    assert topology.asked_of("router") == ("router.temperature",)
    assert topology.asked_of("speculation") == ()
