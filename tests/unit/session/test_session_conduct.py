"""Runs, their repetition, and what ends a measurement, with the real load generator against a scripted server."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import psutil
import pytest

from pytest_dynperf.baseline.proposal import binding_key, propose
from pytest_dynperf.baseline.store import write
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.observation.record_file import read_records
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.scenario.topology import Speculation, Topology
from pytest_dynperf.scenario.traffic import Arrival, Traffic, Workload
from pytest_dynperf.session.budget import Budget
from pytest_dynperf.session.conduct import Conduct, absent_witnesses, check, measure, one_run
from pytest_dynperf.session.deployments import Deployments
from pytest_dynperf.session.plan import Settings
from pytest_dynperf.telemetry.host import BUSY, CAPACITY, STOLEN
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.session.judging import Measured

REQUESTS = 30
GATE = Gate(cell=Cell("inter_token_latency.v1", "p50"), tolerance=0.5)
CASE = Case(
    suite="fake",
    case_id="c1",
    question="?",
    platform="test",
    topology=Topology(engine="unknown", model="fake"),
    traffic=Traffic(isl=20, osl=4, concurrency=1, requests=REQUESTS, warmup_requests=0),
    expectation=Expectation(gates=(GATE,), max_send_lag_s=60, max_receive_lag_s=60, min_in_flight_share=0.01, max_uncertain_share=1),
)
FINE, BROKEN = Behaviour(itl_s=0.001), Behaviour(stop_after=1)


@dataclass
class Standing:
    """A deployment that is there already; ``words`` are what ``incident`` says, one after the other, and then the last again."""

    endpoint: Endpoint
    words: list[str | None] = field(default_factory=lambda: [None])
    key: Mapping[str, str] = field(default_factory=lambda: {"name": "test"})
    provenance: Mapping[str, str] = field(default_factory=dict)
    stopped: int = 0
    services: Mapping[str, Service] = field(default_factory=dict)

    def incident(self) -> str | None:
        return self.words.pop(0) if len(self.words) > 1 else self.words[0]

    def witness(self) -> Mapping[str, float]:
        return {}

    def stop(self) -> None:
        self.stopped += 1


class Given(Deployments):
    """Hands out one deployment and counts how often a new one was asked for."""

    def __init__(self, deployment: Standing, settings: Settings, run_directory: RunDirectory) -> None:
        super().__init__(settings, run_directory, lambda _text: None)
        self.given, self.restarts = deployment, 0

    def get(self, topology: Topology) -> Deployment:
        del topology
        return self.given

    def restart(self, topology: Topology) -> Deployment:
        self.restarts += 1
        return self.get(topology)

    def discard(self) -> None:
        self.given.stop()


def _conduct(tmp_path: Path, url: str, words: list[str | None] | None = None) -> tuple[Conduct, Given]:
    settings = Settings(
        session_id="s",
        stamp="20260101T000000Z",
        seed=1,
        command="pytest",
        rootdir=tmp_path,
        endpoint_url=url,
        model="fake",
        environment_name="test",
        baselines=tmp_path / "baselines",
        run_directory=tmp_path / "run",
        cache_directory=tmp_path / "cache",
    )
    run_directory = RunDirectory(tmp_path / "run")
    deployments = Given(Standing(Endpoint(base_url=url, model="fake"), words or [None]), settings, run_directory)
    return Conduct(settings=settings, run_directory=run_directory, deployments=deployments, progress=lambda *_: None), deployments


CALIBRATION = (FINE, FINE)


def test_three_valid_runs(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, deployments = _conduct(tmp_path, server.url)
        measured = measure(CASE, conduct)
    assert [run.name for run in measured.measurement.runs] == ["run-1", "run-2", "run-3"]
    assert measured.measurement.discarded == ()
    assert deployments.given.stopped == 0
    assert all((tmp_path / "run" / name).is_file() for name in measured.records)


def test_an_invalid_run_is_repeated_once_with_new_prompts(tmp_path: Path) -> None:
    with sse_server(*CALIBRATION, FINE, FINE, BROKEN, FINE) as server:
        conduct, _ = _conduct(tmp_path, server.url)
        measured = measure(CASE, conduct)
        prompts = [request.body["messages"][0]["content"] for request in server.requests[2:]]
    assert [run.name for run in measured.measurement.runs] == ["run-1-repeated", "run-2", "run-3"]
    (discarded,) = measured.measurement.discarded
    assert discarded.name == "run-1"
    assert discarded.values == {}
    assert measured.measurement.problems == ()
    assert len(set(prompts)) == len(prompts), "no two runs share a prompt"


def test_a_second_invalid_run_makes_the_case_invalid_and_ends_the_deployment(tmp_path: Path) -> None:
    with sse_server(*CALIBRATION, FINE, BROKEN, *[FINE] * 70, BROKEN) as server:
        conduct, deployments = _conduct(tmp_path, server.url)
        measured = measure(CASE, conduct)
        judged = check(CASE, measured, conduct)
    assert len(measured.measurement.discarded) == 2
    assert judged.verdict.outcome is Outcome.INVALID
    assert any("truncated" in reason for reason in judged.verdict.reasons), judged.verdict.reasons
    assert deployments.given.stopped == 1


def test_a_service_that_goes_away_is_not_measured_again(tmp_path: Path) -> None:
    slow = replace(FINE, itl_s=0.02)
    with sse_server(*CALIBRATION, slow) as server:
        conduct, deployments = _conduct(tmp_path, server.url, words=[None, None, "worker-1 ended with SIGKILL"])
        measured = measure(CASE, conduct)
        judged = check(CASE, measured, conduct)
    assert measured.measurement.runs == ()
    assert len(measured.measurement.discarded) == 1
    assert judged.verdict.outcome is Outcome.INVALID
    assert judged.verdict.reasons[0] == "worker-1 ended with SIGKILL"
    assert deployments.given.stopped == 1


@pytest.mark.parametrize(("messages", "accused"), [(0.0, True), (REQUESTS - 1, True), (REQUESTS, False)])
def test_messages_that_do_not_move_are_an_incident(tmp_path: Path, messages: float, accused: bool) -> None:
    with sse_server(FINE) as server:
        conduct, _ = _conduct(tmp_path, server.url)
        from pytest_dynperf.load.run import run_load
        from pytest_dynperf.session.prompts import prompt_source
        from pytest_dynperf.workload.synthetic import synthetic_requests

        endpoint = Endpoint(base_url=server.url, model="fake")
        requests = synthetic_requests(prompt_source(conduct.settings, endpoint), isl=20, osl=4, seed=1)
        recording = run_load(endpoint, requests, CASE.traffic, run="r", seed=1, records_path=None)
    over_nats = replace(CASE, topology=replace(CASE.topology, planes="nats"))
    witnessed = replace(recording, witness={"nats.in_msgs": messages})
    assert bool(absent_witnesses(over_nats, witnessed)) is accused
    assert absent_witnesses(CASE, witnessed) == ()


def test_a_plane_that_nobody_could_look_at_is_not_shown(tmp_path: Path) -> None:
    """NATS runs, and its monitor did not answer."""
    over_nats = replace(CASE, topology=replace(CASE.topology, planes="nats"))
    counts = iter((7.0, 7.0 + REQUESTS))
    with sse_server(FINE) as server:
        conduct, deployments = _conduct(tmp_path, server.url)
        deployments.given.services = {"nats": cast("Service", object())}
        silent = one_run(over_nats, conduct, deployments.given, name="run-1", number=1)
        deployments.given.witness = lambda: {"nats.in_msgs": next(counts)}  # type: ignore[method-assign]
        told = one_run(over_nats, conduct, deployments.given, name="run-2", number=2)
    assert silent.problems == (
        "topology.planes = 'nats' cannot be shown: NATS did not tell before and after the run how many messages it took in",
    )
    assert told.problems == ()


def test_amounts_and_times_of_a_run_are_the_same_in_every_session(tmp_path: Path) -> None:
    traffic = replace(
        CASE.traffic,
        concurrency=None,
        arrival=Arrival(process="poisson", rate_per_s=200.0),
        workload=Workload(isl_stddev=4.0, osl_stddev=1.0),
    )
    case = replace(CASE, traffic=traffic)

    def asked(seed: int) -> tuple[list[tuple[int, int]], list[int], set[str]]:
        with sse_server(FINE) as server:
            conduct, deployments = _conduct(tmp_path, server.url)
            conduct = replace(conduct, settings=replace(conduct.settings, seed=seed))
            one_run(case, conduct, deployments.given, name="run-1", number=1)
            contents = {request.body["messages"][0]["content"] for request in server.requests[len(CALIBRATION) :]}
        found = read_records(conduct.run_directory.records(case.suite, case.case_id, "run-1"))
        records = sorted((record for record in found if record.measured), key=lambda record: record.index)
        gaps = [late.scheduled_ns - early.scheduled_ns for early, late in pairwise(records)]
        return [(record.isl_requested, record.osl_requested) for record in records], gaps, contents

    (amounts, gaps, texts), (again, gaps_again, other_texts) = asked(1), asked(2)
    assert amounts == again
    assert len(set(amounts)) > 3
    assert gaps == gaps_again
    assert not texts & other_texts


# ---- what the machine did meanwhile


def _readings(*stolen_s: float) -> list[object]:
    times = namedtuple("scputimes", ("user", "idle", "steal"))  # type: ignore[name-match]
    return [times(user=10.0 * number, idle=90.0 * number, steal=stolen) for number, stolen in enumerate(stolen_s, start=1)]


def test_each_run_witnesses_what_the_machine_did(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, deployments = _conduct(tmp_path, server.url)
        deployments.given.witness = lambda: {"nats.in_msgs": 7.0}  # type: ignore[method-assign]
        run = one_run(CASE, conduct, deployments.given, name="run-1", number=1)
    assert run.witness["nats.in_msgs"] == 0.0, "the counters of the services are there all the same"
    assert 0 < run.witness[BUSY] <= run.witness[CAPACITY]


@pytest.mark.parametrize(("stolen_s", "noted"), [(50.0, True), (1.0, False)])
def test_a_neighbour_on_the_machine_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stolen_s: float, noted: bool) -> None:
    with sse_server(FINE) as server:
        conduct, deployments = _conduct(tmp_path, server.url)
        readings = iter(_readings(0.0, stolen_s))
        monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))
        run = one_run(CASE, conduct, deployments.given, name="run-1", number=1)
    assert run.problems == ()
    assert run.witness[STOLEN] == stolen_s
    assert any("hypervisor" in note for note in run.notes) is noted


def test_a_claim_that_no_counter_shows_makes_a_run_invalid(tmp_path: Path) -> None:
    """Of services that were started for the case; what somebody else runs need not be what the topology says."""
    claims = replace(CASE, topology=replace(CASE.topology, engine="vllm", speculation=Speculation(method="ngram", tokens=4)))
    with sse_server(FINE) as server:
        conduct, deployments = _conduct(tmp_path, server.url)
        theirs = one_run(claims, conduct, deployments.given, name="run-1", number=1)
        deployments.given.services = {"worker-0": cast("Service", object())}
        ours = one_run(claims, conduct, deployments.given, name="run-2", number=2)
        unclaimed = one_run(CASE, conduct, deployments.given, name="run-3", number=3)
    assert theirs.problems == unclaimed.problems == ()
    assert [problem.partition(":")[0] for problem in ours.problems] == ["topology.speculation.method = 'ngram' cannot be shown"]
    assert ours.values == {}


# ---- a suspect with a budget


class Refusing(Budget):
    """Refuses as many steps as it is told to, and counts what was asked."""

    def __init__(self, refusals: int) -> None:
        super().__init__(None)
        self.refusals, self.asked_s = refusals, list[float]()

    def refusal(self, expected_s: float) -> str | None:
        self.asked_s.append(expected_s)
        return "the budget is spent" if len(self.asked_s) <= self.refusals else None


def _faster_baseline(tmp_path: Path, measured: Measured) -> None:
    """A tenth of what was measured: whatever the machine does, the case is a suspect, and a fresh session confirms it."""
    assert measured.environment is not None
    key = binding_key(CASE, measured.environment)
    runs = tuple(
        replace(run, values={GATE.cell: run.values[GATE.cell] / 10}, distributions={}, parts={}) for run in measured.measurement.runs
    )
    faster = replace(measured.measurement, runs=runs)
    document = propose(faster, case=CASE, environment=measured.environment, key=key, session_id="before", stamp="20251231T000000Z")
    write(tmp_path / "baselines", document)


@pytest.mark.parametrize(("refusals", "outcome"), [(1, Outcome.REGRESSED), (2, Outcome.INCONCLUSIVE)])
def test_where_the_budget_does_not_reach_the_first_look_a_fresh_session_may_fit(tmp_path: Path, refusals: int, outcome: Outcome) -> None:
    with sse_server(FINE) as server:
        conduct, _ = _conduct(tmp_path, server.url)
        budget = Refusing(refusals)
        conduct = replace(conduct, settings=replace(conduct.settings, control=("endpoint=http://127.0.0.1:9",)), budget=budget)
        measured = measure(CASE, conduct)
        _faster_baseline(tmp_path, measured)
        judged = check(CASE, measured, conduct)
    assert judged.verdict.outcome is outcome, judged.verdict.reasons
    assert judged.duet is None
    assert (judged.confirmation is not None) is (refusals == 1)
    assert "no pairs with the control were measured: the budget is spent" in judged.verdict.reasons
    pairs_s, fresh_s = budget.asked_s
    assert 0 < fresh_s < pairs_s
