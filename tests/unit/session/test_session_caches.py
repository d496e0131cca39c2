"""What is done before a run so that its caches hold what was asked, against a deployment whose caches are lists."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.scenario.topology import KvCache, Router, Topology
from pytest_dynperf.scenario.traffic import Traffic, Workload
from pytest_dynperf.session.caches import Asked, emptied, meets_itself, ready_caches, restarts, tiers_of, words_of
from tests.fakes.observations import failed, record, recording
from tests.fakes.session_reports import a_case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.scenario.case import Case

TRAFFIC = Traffic(isl=64, osl=8, concurrency=1)
LMCACHE = Topology(engine="vllm", model="m", kv_cache=KvCache(connector="lmcache-mp", host_gib=1, disk_gib=1))


class Caches:
    """What was done to them, in order."""

    def __init__(self, recording: Recording, error: DeploymentError | None = None) -> None:
        self.done: list[str] = []
        self._recording = recording
        self._error = error

    def reset(self, deployment: Deployment, *, tiers: Sequence[str]) -> None:
        assert deployment is SERVED
        if self._error is not None:
            raise self._error
        self.done.append(f"reset {' '.join(tiers)}")

    def ask(self) -> Recording:
        self.done.append("ask")
        return self._recording


class _Served:
    pass


SERVED: Deployment = _Served()  # type: ignore[assignment]  # nothing of it is used: it is handed on
FINE = recording([record(0), record(1)])


@pytest.mark.parametrize(
    ("cache", "done"),
    [("as-is", []), ("cold", ["reset device host"]), ("warm", ["ask"]), ("disk", ["ask", "reset device host"])],
)
def test_what_each_state_takes(cache: str, done: list[str]) -> None:
    caches = Caches(FINE)
    assert ready_caches(replace(TRAFFIC, cache=cache), LMCACHE, SERVED, reset=caches.reset, ask=caches.ask) == ()
    assert caches.done == done


@pytest.mark.parametrize(
    ("connector", "tiers"), [("none", ("device",)), ("nixl", ("device",)), ("lmcache", ("device", "host")), ("kvbm", ("device", "host"))]
)
def test_only_tiers_that_there_are_must_be_empty(connector: str, tiers: tuple[str, ...]) -> None:
    assert tiers_of(replace(LMCACHE, kv_cache=KvCache(connector=connector))) == tiers


@pytest.mark.parametrize("cache", ["warm", "disk"])
def test_caches_that_were_warmed_with_nothing_are_not_warm(cache: str) -> None:
    caches = Caches(recording([]))
    found = ready_caches(replace(TRAFFIC, cache=cache), LMCACHE, SERVED, reset=caches.reset, ask=caches.ask)
    assert found == ("nothing was asked while the caches were warmed",)
    assert caches.done == ["ask"]


@pytest.mark.parametrize("cache", ["warm", "disk"])
def test_caches_that_were_not_warmed_are_not_called_warm(cache: str) -> None:
    caches = Caches(recording([record(0), failed(1)]))
    (why,) = ready_caches(replace(TRAFFIC, cache=cache), LMCACHE, SERVED, reset=caches.reset, ask=caches.ask)
    assert why == "1 of 2 requests failed while the caches were warmed; the first: overloaded: HTTP 529 busy"


def test_a_server_that_goes_away_meanwhile_is_named() -> None:
    caches = Caches(replace(FINE, incidents=("worker-0 ended with SIGKILL",)))
    found = ready_caches(replace(TRAFFIC, cache="warm"), LMCACHE, SERVED, reset=caches.reset, ask=caches.ask)
    assert found == ("while the caches were warmed: worker-0 ended with SIGKILL",)


def test_what_cannot_be_emptied_is_an_error() -> None:
    caches = Caches(FINE, DeploymentError("there is no such call"))
    with pytest.raises(DeploymentError, match="no such call"):
        ready_caches(replace(TRAFFIC, cache="cold"), LMCACHE, SERVED, reset=caches.reset, ask=caches.ask)


# ---- what was asked before

QUESTIONS, DEALT, LINES = Workload(kind="fact-table"), Workload(kind="fact-table", deal=True), Workload(kind="prompts", file="p.jsonl")
DEVICE = Topology(engine="vllm", model="m")
OTHER: Deployment = _Served()  # type: ignore[assignment]  # as SERVED


def case_of(workload: Workload = QUESTIONS, topology: Topology = DEVICE, *, cache: str = "as-is", case_id: str = "c1") -> Case:
    return replace(a_case(), case_id=case_id, topology=topology, traffic=replace(TRAFFIC, workload=workload, cache=cache, runs=3))


@pytest.mark.parametrize(
    ("workload", "runs", "points"),
    [(Workload(), False, False), (QUESTIONS, True, True), (LINES, True, True), (DEALT, False, True)],
)
def test_which_runs_ask_the_same(workload: Workload, runs: bool, points: bool) -> None:
    """Random words are new in every run and at every point; questions are the same ones, dealt ones in the same run of every point."""
    case, other = case_of(workload), case_of(workload, case_id="c2")
    first = words_of(case, "run-1", 1)
    assert (first == words_of(case, "run-2", 2)) is runs
    assert (first == words_of(other, "run-1", 1)) is points
    assert first == words_of(replace(case, topology=LMCACHE), "run-1", 1), "arms of a point are asked the same"
    assert words_of(case_of(DEALT), "run-1-repeated", 1) == words_of(case_of(DEALT), "pair-04", 4) == words_of(case_of(DEALT), "run-1", 1)


def test_other_files_and_other_sets_are_other_prompts() -> None:
    assert (
        len({words_of(case_of(one), "run-1", 1) for one in (QUESTIONS, LINES, replace(LINES, file="q.jsonl"), Workload(kind="mmlu"))}) == 4
    )


def test_what_was_asked_is_known_of_each_deployment_until_it_is_emptied() -> None:
    asked, case = Asked(), case_of()

    def meets(deployment: Deployment) -> bool:
        return meets_itself(case, asked, deployment, prompts="run-2", number=2)

    assert not meets(SERVED)
    asked.note(SERVED, words_of(case, "run-1", 1))
    asked.note(OTHER, "something else")
    assert meets(SERVED)
    assert not meets(OTHER)
    asked.forget(SERVED)
    assert not meets(SERVED)


NOTHING_KEPT = replace(DEVICE, kv_cache=KvCache(prefix_caching=False))


@pytest.mark.parametrize(
    ("cache", "topology", "expected"),
    [
        ("as-is", DEVICE, True),
        ("as-is", LMCACHE, True),
        ("as-is", NOTHING_KEPT, False),
        ("as-is", replace(NOTHING_KEPT, kv_cache=KvCache(prefix_caching=False, connector="lmcache")), True),
        ("cold", DEVICE, False),
        ("cold", LMCACHE, True),  # its disk is not emptied
        ("warm", DEVICE, False),
        ("disk", LMCACHE, False),
    ],
)
def test_which_state_must_not_find_what_was_asked(cache: str, topology: Topology, expected: bool) -> None:
    asked, case = Asked(), case_of(topology=topology, cache=cache)
    asked.note(SERVED, words_of(case, "run-1", 1))
    assert meets_itself(case, asked, SERVED, prompts="run-2", number=2) is expected


MP = replace(LMCACHE, kv_cache=KvCache(connector="lmcache-mp", host_gib=1))


@pytest.mark.parametrize(
    ("topology", "done"),
    [
        (DEVICE, "reset device"),
        (MP, "reset device host"),
        (replace(DEVICE, router_mode="kv"), "reset device"),
        (replace(DEVICE, router_mode="kv", router=Router(kv_events=False)), None),  # it would go on guessing
        (LMCACHE, None),
        (replace(DEVICE, kv_cache=KvCache(connector="lmcache")), None),
        (replace(DEVICE, engine="sglang"), None),
        (replace(DEVICE, served_by="engine"), None),
        (replace(DEVICE, engine="mocker"), None),
    ],
)
def test_what_can_be_emptied_where_it_runs(topology: Topology, done: str | None) -> None:
    caches = Caches(FINE)
    assert emptied(topology, SERVED, reset=caches.reset) is (done is not None)
    assert caches.done == ([] if done is None else [done])
    assert restarts(case_of(topology=topology), 3) == (2 if done is None else 0)


def test_what_was_to_be_emptied_and_was_not_takes_a_new_deployment() -> None:
    assert not emptied(DEVICE, SERVED, reset=Caches(FINE, DeploymentError("in use")).reset)


def test_new_deployments_are_for_those_who_ask_the_same_again() -> None:
    mocker = replace(DEVICE, engine="mocker")
    assert [restarts(case_of(workload, mocker), 3) for workload in (QUESTIONS, LINES, DEALT, Workload())] == [2, 2, 0, 0]
    assert restarts(case_of(topology=mocker, cache="warm"), 3) == 0
    assert restarts(case_of(topology=mocker), 0) == 0
