"""Features that only seem to be there, on the real engine: every answer is right, and no session passes, because counters say so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fakes.installed_cpu import Bench

pytestmark = pytest.mark.system

IN_PROCESS = json.dumps(
    {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both", "kv_connector_extra_config": {"lmcache.lookup_timeout_ms": 20}}
)
"""It waits for nobody, 3 s for each request; here 20 ms."""
DEAF = json.dumps({"enable_kv_cache_events": True, "publisher": "zmq", "endpoint": "tcp://127.0.0.1:9", "topic": "kv-events"})

CACHED = f"""
schema = 1
question = "Does the tier give anything?"

[topology]
worker.args = '''--num-gpu-blocks-override 18 --kv-transfer-config '{IN_PROCESS}' '''

[topology.kv_cache]
connector = "lmcache-mp"
host_gib = 1
chunk_tokens = 128

[traffic]
isl = 300
osl = 2
concurrency = 1
requests = 30
warmup_requests = 1
runs = 1
cache = "warm"

[[expect.gate]]
metric = "request_throughput.v1"
statistic = "value"
tolerance = 0.5
"""

FEW = ("--dynperf-set=traffic.requests=30", "--dynperf-set=traffic.runs=1", "--dynperf-set=topology.worker.count=1")


def test_a_cache_that_died_in_silence_is_invalid(cpu_bench: Bench) -> None:
    """LMCache's server is up; a free argument has put the connector that runs within the engine before it."""
    cpu_bench.write(CACHED)
    run = cpu_bench.run("--update-baselines")
    assert run.code == 1, run.text
    verdict = run.only()["verdict"]
    assert verdict["outcome"] == "invalid", run.text
    assert all("topology.kv_cache.connector = 'lmcache-mp'" in reason for reason in verdict["reasons"]), verdict
    assert cpu_bench.baselines() == []


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        pytest.param(f"--kv-events-config '{DEAF}'", "by KV events was not active: events that reached the router", id="deaf-events"),
        pytest.param(
            "--no-enable-prefix-caching",
            "by KV events was not active: 1 workers sent the router no KV events",
            id="no-prefix-caching",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_router_that_nobody_tells_anything_is_invalid(cpu_bench: Bench, argument: str, said: str) -> None:
    """The suite ``routing`` as it is shipped, with an argument too many."""
    cpu_bench.copy("routing")
    run = cpu_bench.run("-k", "kv and not approximate", *FEW, f"--dynperf-set=topology.worker.args={argument}", "--update-baselines")
    assert run.code == 1, run.text
    verdict = run.only()["verdict"]
    assert verdict["outcome"] == "invalid", run.text
    assert said in " ".join(verdict["reasons"]), verdict
    assert cpu_bench.baselines() == []
