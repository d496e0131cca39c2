"""What is done before a run so that its caches hold what was asked, against a deployment whose caches are lists."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.scenario.topology import KvCache, Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.session.caches import ready_caches, tiers_of
from tests.fakes.observations import failed, record, recording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.observation.recording import Recording

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
