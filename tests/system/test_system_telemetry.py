"""What the real services say of themselves, read while they serve."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.deployment.embedded import start_embedded
from pytest_dynperf.deployment.readiness import complete_once
from pytest_dynperf.measurement.server_count import disagreement
from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.quantity import Absent
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.telemetry.prometheus import parse
from pytest_dynperf.telemetry.sampler import sampled
from tests.fakes.observations import record, recording

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.observation.recording import Recording

pytestmark = pytest.mark.system

REQUESTS, TOKENS = 24, 16
DEADLINE_S = 30.0


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    topology = Topology(engine="mocker", model="m", planes="nats", router_mode="kv", worker=Role(count=2))
    started = start_embedded(
        topology, directory=tmp_path / "run", cache_directory=tmp_path / "cache", log_path=lambda name: tmp_path / f"{name}.log"
    )
    yield started
    started.stop()


def counted(deployment: Deployment) -> float:
    """The frontend's counter, as it stands."""
    url = dict(deployment.endpoint.metrics_urls)["frontend"]
    page = parse(exchange("GET", url, timeout_s=10).body.decode(), wanted={"dynamo_frontend_requests_total"})
    return sum(sample.value for sample in page.samples)


def observed(deployment: Deployment) -> tuple[Recording, tuple[str, ...]]:
    """The services' series over a window that holds all the requests, and the notes."""

    def ask(number: int) -> int:
        content = f"{number % 2} " + "hello world " * 60
        return complete_once(
            deployment.endpoint, content=content, max_tokens=TOKENS, timeout_s=DEADLINE_S, ignore_eos=True
        ).completion_tokens

    before = counted(deployment)
    with sampled(deployment.endpoint, interval_s=0.05) as sampler:
        start_ns = time.monotonic_ns()
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(ask, range(REQUESTS))) == {TOKENS}
        deadline = time.monotonic() + DEADLINE_S
        while counted(deployment) < before + REQUESTS:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        end_ns = time.monotonic_ns()
        series, notes = sampler.finish()
    print(f"CPU of the reader: {sampler.cpu_s:.3f} s")
    sent = [replace(record(n), sent_ns=start_ns, end_ns=start_ns + 1) for n in range(REQUESTS)]
    return replace(recording(sent), window_start_ns=start_ns, window_end_ns=end_ns, series=series), notes


def test_the_services_say_what_was_done(deployment: Deployment) -> None:
    assert [name for name, _ in deployment.endpoint.metrics_urls] == ["frontend", "worker-0", "worker-1"]
    seen, notes = observed(deployment)
    assert notes == ()

    last = {series.id: series.values[-1] for series in seen.series if series.source == "frontend"}
    assert last[ids.FRONTEND_REQUESTS] == REQUESTS
    assert last[ids.FRONTEND_OUTPUT_TOKENS] == REQUESTS * TOKENS
    assert last[ids.FRONTEND_TIME_TO_FIRST_TOKEN + ids.COUNT] == REQUESTS
    assert last[ids.ROUTER_OVERHEAD + ids.COUNT] == REQUESTS
    assert disagreement(seen) is None
    assert "somebody else" in str(disagreement(replace(seen, records=seen.records[1:])))
    for gauge in (ids.ENGINE_KV_CACHE_USAGE, ids.ENGINE_REQUESTS_WAITING, ids.ENGINE_REQUESTS_RUNNING):
        assert {series.source for series in seen.series if series.id == gauge} == {"worker-0", "worker-1"}
    usage = [value for series in seen.series if series.id == ids.ENGINE_KV_CACHE_USAGE for value in series.values]
    assert 0 < max(usage) <= 1

    values: dict[str, float] = {}
    for name in ("router_overhead", "router_hit_rate", "frontend_time_to_first_token", "frontend_inter_token_latency"):
        function = CATALOGUE[f"{name}.v1"].value
        assert function is not None
        found = function(seen, RunFacts(gpu_count=None))
        assert not isinstance(found, Absent), found
        values[name] = found
    print(values)
    assert 0 < values["router_hit_rate"] < 1, "two prompts, asked twelve times each"
