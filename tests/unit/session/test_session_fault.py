"""A case with a fault, from the deployment to the run that is judged: a real process is killed and comes back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.found import Found
from pytest_dynperf.errors import UnsupportedFaultError
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.quantity import Absent
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.scenario.traffic import Arrival, Traffic
from pytest_dynperf.session.conduct import Conduct, measure, one_run
from pytest_dynperf.session.deployments import Deployments
from pytest_dynperf.session.plan import Settings
from pytest_dynperf.verdict.judge import judge
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.observations import document_of, measurement_of
from tests.fakes.served import MODEL, Served, served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.endpoint import Endpoint

RECOVERY, ERRORS = Cell("fault_recovery_time.v1", "value"), Cell("fault_error_rate.v1", "value")
CASE = Case(
    suite="fake",
    case_id="kill",
    question="?",
    platform="test",
    topology=Topology(engine="unknown", model=MODEL),
    traffic=Traffic(
        isl=20,
        osl=4,
        arrival=Arrival(process="constant", rate_per_s=50.0),
        requests=250,
        warmup_requests=0,
        request_timeout_s=5.0,
        max_failures_in_a_row=100_000,
    ),
    expectation=Expectation(
        gates=(Gate(cell=ERRORS, tolerance=0.5), Gate(cell=RECOVERY, tolerance=0.5)),
        max_error_share=0.95,
        max_send_lag_s=60,
        max_receive_lag_s=60,
        max_uncertain_share=0.99,
        max_late_share=0.99,
        min_rate_share=0.01,
    ),
    fault=Fault(inject="restart worker", after_share=0.1, restore_s=30.0),
)


class Given(Deployments):
    """Hands out one deployment, and counts how often it was discarded."""

    def __init__(self, deployment: Deployment, settings: Settings, run_directory: RunDirectory) -> None:
        super().__init__(settings, run_directory, lambda _text: None)
        self.given, self.discarded = deployment, 0

    def get(self, topology: Topology) -> Deployment:
        del topology
        return self.given

    def discard(self) -> None:
        self.discarded += 1


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "served") as running:
        yield running


@pytest.fixture
def conduct(tmp_path: Path, deployment: Served) -> Conduct:
    settings = Settings(
        session_id="s",
        stamp="20260101T000000Z",
        seed=1,
        command="pytest",
        rootdir=tmp_path,
        endpoint_url=deployment.endpoint.base_url,
        model=MODEL,
        environment_name="test",
        baselines=tmp_path / "baselines",
        run_directory=tmp_path / "run",
        cache_directory=tmp_path / "cache",
    )
    run_directory = RunDirectory(tmp_path / "run")
    given = Given(deployment, settings, run_directory)
    return Conduct(settings=settings, run_directory=run_directory, deployments=given, progress=lambda *_: None)


def discarded(conduct: Conduct) -> int:
    assert isinstance(conduct.deployments, Given)
    return conduct.deployments.discarded


def test_three_runs_each_with_its_fault(conduct: Conduct, deployment: Served) -> None:
    measured = measure(CASE, conduct)
    runs = measured.measurement.runs
    assert [run.problems for run in runs] == [()] * 3
    for run in runs:
        assert run.errors > 0
        assert run.witness["fault.injected"] == 1.0
        assert run.values[RECOVERY] > 0
        assert run.parts["fault_error_rate.v1"][0] == run.errors
    assert discarded(conduct) == 0
    assert deployment.incident() is None
    assert measured.environment is not None
    assert measured.environment.key["fault"] == "restart worker after 10% of the requests"


def test_errors_that_the_scenario_does_not_allow_are_a_problem_still(conduct: Conduct, deployment: Served) -> None:
    strict = replace(CASE, expectation=replace(CASE.expectation, max_error_share=0.0))
    run = one_run(strict, conduct, deployment, name="run-1", number=1)
    assert "requests failed" in run.problems[0]


def test_a_fault_that_did_not_happen_makes_the_run_invalid(conduct: Conduct, deployment: Served) -> None:
    late = replace(CASE, fault=Fault(inject="restart worker", at_s=600.0))
    run = one_run(late, conduct, deployment, name="run-1", number=1)
    assert run.values == {}
    assert "was not injected" in run.problems[0]
    assert isinstance(run.absent[RECOVERY], Absent)


def test_a_system_that_stays_broken_is_discarded_and_its_run_is_invalid(conduct: Conduct, deployment: Served) -> None:
    """Three workers are expected afterwards, and one is all that there is."""
    topology = replace(CASE.topology, worker=replace(CASE.topology.worker, count=3))
    fault = Fault(inject="restart worker", after_share=0.1, restore_s=1.0)
    run = one_run(replace(CASE, topology=topology, fault=fault), conduct, deployment, name="run-1", number=1)
    assert any("did not come back after the fault" in problem for problem in run.problems)
    assert discarded(conduct) == 1


def test_what_never_recovers_is_never_unchanged() -> None:
    """One run of three in which service did not come back."""
    measurement = measurement_of({ERRORS: [0.1, 0.1, 0.1], RECOVERY: [1.0, 1.0, 1.0]})
    baseline = document_of({ERRORS: [0.1, 0.1, 0.1], RECOVERY: [1.0, 1.0, 1.0]})
    assert judge(measurement, Found(documents=(baseline,)), CASE.expectation, key={}).outcome is Outcome.UNCHANGED
    first, second, third = measurement.runs
    never = replace(third, values={ERRORS: third.values[ERRORS]}, absent={RECOVERY: Absent("service did not recover within the run")})
    verdict = judge(replace(measurement, runs=(first, second, never)), Found(documents=(baseline,)), CASE.expectation, key={})
    assert verdict.outcome is Outcome.INVALID
    assert "service did not recover" in str(verdict)


@dataclass
class Attached:
    """Somebody else's: nothing here can be broken."""

    endpoint: Endpoint
    services: Mapping[str, Service] = field(default_factory=dict)
    key: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)

    def incident(self) -> str | None:
        return None

    def witness(self) -> Mapping[str, float]:
        return {}

    def stop(self) -> None:
        return


def test_an_endpoint_of_somebody_else_cannot_be_broken(conduct: Conduct, deployment: Served) -> None:
    with pytest.raises(UnsupportedFaultError, match="nothing here was started by this session"):
        one_run(CASE, conduct, Attached(deployment.endpoint), name="run-1", number=1)
