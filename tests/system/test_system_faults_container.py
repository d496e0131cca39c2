"""Faults that need containers: a worker that no packet reaches."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.container_stack import start_contained
from pytest_dynperf.deployment.readiness import complete_once
from pytest_dynperf.fault.injection import injected
from pytest_dynperf.load.run import run_load
from pytest_dynperf.metrics import fault as meaning
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.quantity import Absent
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.scenario.traffic import Arrival, Traffic
from pytest_dynperf.workload.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_dynperf.deployment.running import Deployment
    from tests.images.engine import Image

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

TRAFFIC = Traffic(
    isl=40,
    osl=16,
    arrival=Arrival(process="constant", rate_per_s=8.0),
    requests=160,
    warmup_requests=4,
    ignore_eos=False,
    request_timeout_s=4.0,
    inter_token_timeout_s=2.0,
    max_failures_in_a_row=10_000,
)


@pytest.fixture
def deployment(tmp_path: Path, test_images: Mapping[str, Image]) -> Iterator[Deployment]:
    running = start_contained(
        Topology(engine="mocker", model="m", planes="nats", worker=Role(count=2), image=test_images["dynamo"].reference),
        images={role: test_images[role].reference for role in ("etcd", "nats")},
        directory=tmp_path / "run",
        cache_directory=tmp_path / "cache",
        log_path=lambda name: tmp_path / "run" / f"{name}.log",
        session="faults",
    )
    try:
        yield running
    finally:
        running.stop()


def test_a_worker_that_is_cut_off(deployment: Deployment) -> None:
    asked = (Request(index=index, content=f"word {index} " * 5, isl=40, osl=16) for index in count())
    with injected(Fault(inject="cut-off worker", after_share=0.1, duration_s=4.0), deployment, instances=2) as injection:
        recording = run_load(
            deployment.endpoint,
            asked,
            TRAFFIC,
            run="1",
            seed=1,
            records_path=None,
            progress=injection.watching(lambda _: None),
            incident=deployment.incident,
        )
    seen = replace(recording, series=injection.series)
    kinds = [record.error.kind.value for record in recording.measured if record.error is not None]
    recovery, hung = meaning.recovery_s(seen, RunFacts(gpu_count=None)), meaning.hung_of_all(seen, RunFacts(gpu_count=None))
    print("cut off:", kinds, recovery, hung)
    assert injection.problems == ()
    assert kinds, "nobody noticed that a worker was gone"
    assert not isinstance(recovery, Absent)
    assert deployment.incident() is None
    assert complete_once(deployment.endpoint, content="hello", max_tokens=4, timeout_s=30).completion_tokens > 0
