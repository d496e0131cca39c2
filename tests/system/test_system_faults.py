"""Faults of the real stack: what is lost, that it recovers, and that the deployment is afterwards what it was."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.embedded import start_embedded
from pytest_dynperf.deployment.readiness import complete_once
from pytest_dynperf.errors import UnsupportedFaultError
from pytest_dynperf.fault.injection import injected
from pytest_dynperf.load.run import run_load
from pytest_dynperf.metrics import fault as meaning
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.quantity import Absent
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.scenario.traffic import Arrival, Traffic
from pytest_dynperf.telemetry.sampler import sampled
from pytest_dynperf.workload.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.fault.injection import Injection
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import FailureKind

pytestmark = pytest.mark.system

FACTS = RunFacts(gpu_count=None)
TRAFFIC = Traffic(
    isl=40,
    osl=32,
    arrival=Arrival(process="constant", rate_per_s=8.0),
    requests=120,
    warmup_requests=4,
    ignore_eos=False,
    request_timeout_s=8.0,
    inter_token_timeout_s=4.0,
    max_failures_in_a_row=10_000,
)


@dataclass(frozen=True)
class Seen:
    """One run with a fault."""

    recording: Recording
    injection: Injection

    @property
    def failures(self) -> list[FailureKind]:
        return [record.error.kind for record in self.recording.measured if record.error is not None]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@contextmanager
def deployed(directory: Path, cache: Path, *, migration_limit: int) -> Iterator[Deployment]:
    asked = Topology(engine="mocker", model="m", worker=Role(count=2), planes="nats", migration_limit=migration_limit)
    running = start_embedded(asked, directory=directory, cache_directory=cache, log_path=lambda name: directory / f"{name}.log")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module", params=[0, 3], ids=["no migration", "migration"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("run"), cache, migration_limit=request.param) as running:
        yield running


def run(deployment: Deployment, fault: Fault) -> Seen:
    asked = (Request(index=index, content=f"word {index} " * 5, isl=40, osl=32) for index in count())
    with sampled(deployment.endpoint) as sampler, injected(fault, deployment, instances=2) as injection:
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
        series, _ = sampler.finish()
    return Seen(replace(recording, series=(*series, *injection.series)), injection)


def print_measured(what: str, seen: Seen) -> None:
    """For whoever chooses tolerances."""
    recovery, stall = meaning.recovery_s(seen.recording, FACTS), meaning.stall_s(seen.recording, FACTS)
    print(what, seen.failures, recovery, stall, meaning.migrations(seen.recording, FACTS), seen.injection.problems)


@pytest.mark.parametrize("inject", ["kill worker", "pause worker", "restart nats", "restart frontend"])
def test_it_is_lost_for_a_while_and_comes_back(deployment: Deployment, inject: str) -> None:
    seen = run(deployment, Fault(inject=inject, after_share=0.2, duration_s=3.0, restore_s=30.0))
    print_measured(inject, seen)
    assert seen.injection.problems == ()
    assert_it_came_back(seen, deployment)


def assert_it_came_back(seen: Seen, deployment: Deployment) -> None:
    assert seen.recording.incidents == ()
    assert not isinstance(meaning.recovery_s(seen.recording, FACTS), Absent)
    assert len(seen.failures) < len(seen.recording.measured)
    assert deployment.incident() is None
    assert complete_once(deployment.endpoint, content="hello", max_tokens=4, timeout_s=30).completion_tokens > 0


def test_etcd_that_restarts_is_survived_or_what_left_is_named(tmp_path: Path, cache: Path) -> None:
    """Dynamo's client of etcd reconnects one watch after the other with growing pauses; where the lease's turn comes after its end, the
    process leaves. That is chance, and Dynamo's; that nothing of it stays unsaid is ours.
    """
    with deployed(tmp_path, cache, migration_limit=3) as deployment:
        seen = run(deployment, Fault(inject="restart etcd", after_share=0.2, duration_s=3.0, restore_s=30.0))
        print_measured("restart etcd", seen)
        if seen.injection.broken is None:
            assert_it_came_back(seen, deployment)
            return
        left = [name for name, service in deployment.services.items() if service.ended()]
        assert left
        assert deployment.incident() is not None
        for name in left:
            assert "Unable to maintain lease" in (tmp_path / f"{name}.log").read_text("utf-8")
        assert any(name in problem for problem in seen.injection.problems for name in left)


def test_a_process_cannot_be_cut_off(deployment: Deployment) -> None:
    with pytest.raises(UnsupportedFaultError, match="needs containers"):
        run(deployment, Fault(inject="cut-off worker"))
