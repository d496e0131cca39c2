"""What is refused, and that the sentence names the key and the way out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.deployment.combination import check_combination, flaws
from pytest_dynperf.deployment.versions import DIALECTS, dialect_of
from pytest_dynperf.errors import UsageError
from pytest_dynperf.scenario.topology import KvCache, Role, Router, Speculation, Topology
from tests.golden.matrix import cases

NEWEST = DIALECTS[-1]
MOCKER = Topology(engine="mocker", model="m")
VLLM = Topology(engine="vllm", model="m", worker=Role(gpus=4))
SGLANG = replace(VLLM, engine="sglang")
TRTLLM = replace(VLLM, engine="trtllm")
CPU = replace(VLLM, worker=Role())
SPLIT = replace(VLLM, mode="disagg", prefill=Role(gpus=1), decode=Role(gpus=1))
KV = replace(VLLM, router_mode="kv")
HOST = KvCache(connector="lmcache", host_gib=1)


def spec(**values: object) -> Speculation:
    return Speculation(**values)  # type: ignore[arg-type]  # a test's words


BAD = [
    pytest.param(replace(MOCKER, engine="unknown"), r"topology\.engine 'unknown'.*--dynperf-endpoint", id="unknown engine"),
    pytest.param(replace(SGLANG, worker=Role()), r"topology\.worker\.gpus is 0, and sglang needs GPUs", id="sglang on a CPU"),
    pytest.param(replace(MOCKER, encode=Role(count=1)), r"topology\.encode\.count.*mocker has no encode", id="mocker encodes"),
    pytest.param(replace(MOCKER, served_by="engine"), r"served_by 'engine'.*mocker has none", id="mocker alone"),
    pytest.param(replace(SPLIT, served_by="engine"), r"served_by 'engine'.*set topology\.mode to 'agg'", id="engine alone disagg"),
    pytest.param(replace(VLLM, served_by="engine", frontends=2), r"leave topology\.frontends at 1", id="engine alone frontends"),
    pytest.param(replace(VLLM, served_by="engine", migration_limit=1), r"migration_limit out", id="engine alone migration"),
    pytest.param(replace(KV, served_by="engine"), r"there is no router", id="engine alone router"),
    pytest.param(replace(VLLM, router=Router(temperature=0.5)), r"router\.temperature has no effect.*'round-robin'", id="kv words"),
    pytest.param(replace(VLLM, router=Router(replica_sync=True), frontends=2), r"router\.replica_sync has no effect", id="kv sync"),
    pytest.param(replace(KV, router=Router(ttl_s=5.0)), r"router\.ttl_s.*set topology\.router\.kv_events to false", id="ttl with events"),
    pytest.param(replace(KV, router=Router(replica_sync=True)), r"replica_sync: there is one frontend", id="sync with one"),
    pytest.param(
        replace(KV, router=Router(kv_events=True), kv_cache=KvCache(prefix_caching=False)),
        r"kv_events with .*prefix_caching",
        id="no events",
    ),
    pytest.param(replace(KV, router=Router(reset_states=True)), r"reset_states: Dynamo 1\.6 keeps no state", id="reset"),
    pytest.param(replace(VLLM, worker=Role(gpus=4, tensor_parallel=3)), r"gpus is 4.*3 \(tensor\) x 1 .* = 3: make them equal", id="TP"),
    pytest.param(
        replace(VLLM, worker=Role(gpus=4, tensor_parallel=4, data_parallel=2)),
        r"4 \(tensor\) x 1 \(pipeline\) x 2 \(data\) = 8",
        id="TP x DP",
    ),
    pytest.param(replace(TRTLLM, worker=Role(gpus=4, tensor_parallel=4, data_parallel=2)), r"data_parallel 2.*1 or 4", id="attention DP"),
    pytest.param(replace(VLLM, worker=Role(gpus=4, tensor_parallel=4, expert_parallel=2)), r"expert_parallel 2.*set 4 or 1", id="vllm EP"),
    pytest.param(replace(SGLANG, worker=Role(gpus=4, tensor_parallel=4, expert_parallel=3)), r"3 does not divide the 4 ranks", id="EP"),
    pytest.param(replace(MOCKER, worker=Role(tensor_parallel=2)), r"worker\.tensor_parallel: the mocker", id="mocker TP"),
    pytest.param(replace(MOCKER, kv_cache=HOST), r"connector 'lmcache': mocker has", id="mocker tier"),
    pytest.param(replace(SGLANG, kv_cache=KvCache(connector="kvbm", host_gib=1)), r"connector 'kvbm': sglang has", id="kvbm on sglang"),
    pytest.param(replace(TRTLLM, kv_cache=HOST), r"connector 'lmcache': trtllm has", id="lmcache on trtllm"),
    pytest.param(SPLIT, r"'disagg' without a transfer connector.*'nixl'", id="disagg without transfer"),
    pytest.param(replace(CPU, kv_cache=HOST), r"'lmcache' with .*gpus 0.*in silence.*'lmcache-mp'", id="lmcache on a CPU"),
    pytest.param(replace(CPU, kv_cache=KvCache(connector="kvbm", host_gib=1)), r"KVBM needs CUDA", id="kvbm on a CPU"),
    pytest.param(
        replace(SPLIT, engine="trtllm", kv_cache=KvCache(connector="kvbm", host_gib=1)), r"takes one connector", id="trtllm kvbm disagg"
    ),
    pytest.param(
        replace(VLLM, kv_cache=KvCache(host_gib=1)), r"kv_cache\.host_gib has no effect with connector 'none'", id="tier of nothing"
    ),
    pytest.param(
        replace(VLLM, kv_cache=KvCache(connector="lmcache-mp")), r"'lmcache-mp'.*set topology\.kv_cache\.host_gib", id="mp memory"
    ),
    pytest.param(
        replace(VLLM, kv_cache=KvCache(connector="lmcache-mp", host_gib=1, object_store_url="s3://b")), r"object_store_url", id="mp store"
    ),
    pytest.param(replace(VLLM, kv_cache=KvCache(connector="kvbm")), r"'kvbm' without a tier", id="kvbm of nothing"),
    pytest.param(
        replace(VLLM, kv_cache=KvCache(connector="kvbm", host_gib=1, chunk_tokens=16)),
        r"chunk_tokens.*topology\.block_size",
        id="kvbm chunks",
    ),
    pytest.param(replace(VLLM, kv_cache=replace(HOST, disk_path="/d")), r"disk_path without disk_gib", id="disk without size"),
    pytest.param(
        replace(VLLM, kv_cache=replace(HOST, prefix_caching=False)), r"prefix_caching false with connector", id="tier without hashes"
    ),
    pytest.param(replace(VLLM, speculation=spec(tokens=3)), r"speculation\.tokens has no effect with .*'none'", id="tokens of nothing"),
    pytest.param(replace(VLLM, speculation=spec(method="ngram")), r"'ngram' without tokens", id="no tokens"),
    pytest.param(replace(VLLM, speculation=spec(method="ngram", tokens=0)), r"'ngram' without tokens.*at least 1", id="tokens 0"),
    pytest.param(
        replace(VLLM, speculation=spec(method="eagle3", tokens=3)), r"'eagle3' without a draft.*model", id="eagle3 without a model"
    ),
    pytest.param(
        replace(VLLM, speculation=spec(method="ngram", tokens=3, model="d")), r"speculation\.model: n-grams", id="ngram with a model"
    ),
    pytest.param(
        replace(VLLM, speculation=spec(method="eagle3", tokens=3, model="d", lookup_max=2)), r"lookup_max: only 'ngram'", id="eagle3 lookup"
    ),
    pytest.param(replace(SGLANG, speculation=spec(method="ngram", tokens=3, lookup_max=2)), r"SGLang names its bounds", id="sglang lookup"),
    pytest.param(replace(VLLM, speculation=spec(method="ngram", tokens=3, lookup_min=4, lookup_max=2)), r"4 is larger than", id="lookup"),
    pytest.param(replace(TRTLLM, speculation=spec(method="ngram", tokens=3, lookup_min=1)), r"upper bound alone", id="trtllm lookup"),
    pytest.param(replace(MOCKER, speculation=spec(method="ngram", tokens=3)), r"mocker drafts nothing", id="mocker drafts"),
]


@pytest.mark.parametrize(("topology", "sentence"), BAD)
def test_bad_combinations_are_refused(topology: Topology, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        check_combination(topology, NEWEST)


OF_VERSION = [
    pytest.param(
        "0.9.1", replace(MOCKER, router_mode="power-of-two", planes="nats"), r"router_mode 'power-of-two': Dynamo 0\.9 has", id="mode"
    ),
    pytest.param("1.0.2", replace(VLLM, encode=Role(count=1, gpus=1), planes="nats"), r"with Dynamo 1\.0 no encode worker", id="encode"),
    pytest.param("1.2.1", replace(SGLANG, encode=Role(count=1, gpus=1)), r"sglang from 1\.3 on", id="sglang encode"),
    pytest.param("0.9.1", replace(MOCKER, migration_limit=1, planes="nats"), r"migration_limit: in Dynamo 0\.9", id="migration"),
    pytest.param("1.1.1", MOCKER, r"planes 'default': Dynamo 1\.1 sends events over NATS", id="planes"),
]


@pytest.mark.parametrize(("version", "topology", "sentence"), OF_VERSION)
def test_what_a_version_lacks_is_refused_there_and_not_in_the_newest(version: str, topology: Topology, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        check_combination(topology, dialect_of(version).dialect)
    check_combination(topology, NEWEST)


@pytest.mark.parametrize("name", cases())
def test_what_is_written_down_has_no_flaw(name: str) -> None:
    case = cases()[name]
    found = list(flaws(case.topology, dialect_of(case.version).dialect if case.version else NEWEST))
    assert found == []


def test_every_sentence_names_a_key_that_exists() -> None:
    from pytest_dynperf.scenario.keys import KEYS, TABLES

    for parameter in BAD:
        topology = parameter.values[0]
        assert isinstance(topology, Topology)
        sentence = next(flaws(topology, NEWEST))
        named = sentence.split()[0].removesuffix(":")
        assert named in KEYS or named in TABLES, sentence
