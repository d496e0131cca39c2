"""The public fixtures: ``perf`` for suites; etcd, NATS and a Dynamo deployment for anybody's tests."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import DynperfError
from pytest_dynperf.plugin.performance import Perf
from pytest_dynperf.plugin.state import STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from pytest_dynperf.deployment.infrastructure import Server
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.fault.proxy import FaultProxy
    from pytest_dynperf.plugin.state import State
    from pytest_dynperf.scenario.topology import Topology


@pytest.fixture
def perf(request: pytest.FixtureRequest) -> Perf:
    """Measures and judges the case that the plugin made of ``scenario.toml`` beside the test module.

    A test may bring its own cases: ``@pytest.mark.parametrize("perf", [Case(...)], indirect=True)``.
    """
    case = getattr(request, "param", None)
    if case is None:
        pytest.fail(
            f"{request.node.nodeid} asks for `perf`, but there is no scenario.toml in {request.path.parent}: write one, "
            'or pass cases with @pytest.mark.parametrize("perf", [Case(...)], indirect=True)',
            pytrace=False,
        )
    if case.skip is not None:
        pytest.skip(f"{case.suite} cannot be answered on {case.platform}: {case.skip}")
    return Perf(case, request.config.stash[STATE], request.node)


@pytest.fixture
def dynamo_topology() -> Topology:
    """What ``dynamo_deployment`` runs: two mocker workers, aggregated, over NATS. Override this fixture for another topology."""
    from pytest_dynperf.scenario.topology import Role, Topology

    return Topology(engine="mocker", model="dynperf/tiny", worker=Role(count=2), planes="nats")


@pytest.fixture
def dynamo_deployment(dynamo_topology: Topology, request: pytest.FixtureRequest) -> Deployment:
    """A running Dynamo: etcd, NATS, frontend and workers. Reused by the tests that follow with an equal topology, stopped after them."""
    state = request.config.stash[STATE]
    try:
        return state.the_conduct().deployments.get(dynamo_topology)
    except DynperfError as error:
        pytest.fail(str(error), pytrace=False)
    finally:
        if state.live is not None:
            state.live.clear()


@pytest.fixture
def dynamo_endpoint(dynamo_deployment: Deployment) -> Endpoint:
    """Base URL and model of ``dynamo_deployment``."""
    return dynamo_deployment.endpoint


@pytest.fixture
def faults() -> ModuleType:
    """Breaks services of ``dynamo_deployment`` and puts them right again: ``kill``, ``restart``, ``restarted``, ``paused``, ``cut_off``."""
    from pytest_dynperf.fault import toolbox

    return toolbox


@pytest.fixture
def fault_proxy() -> Iterator[Callable[[str], FaultProxy]]:
    """``fault_proxy(url)`` starts a proxy before ``url`` that breaks what passes through it, as told; stopped after the test."""
    from pytest_dynperf.fault.proxy import fault_proxy as running

    with ExitStack() as proxies:
        yield lambda upstream: proxies.enter_context(running(upstream))


@pytest.fixture(scope="session")
def etcd_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an etcd server of its own, for the whole session."""
    from pytest_dynperf.deployment.infrastructure import start_etcd

    yield from _standalone(start_etcd, tmp_path_factory.mktemp("etcd"), request.config.stash[STATE])


@pytest.fixture(scope="session")
def nats_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a NATS server with JetStream of its own, for the whole session."""
    from pytest_dynperf.deployment.infrastructure import start_nats

    yield from _standalone(start_nats, tmp_path_factory.mktemp("nats"), request.config.stash[STATE])


def _standalone(start: Callable[[Path, str], Server], directory: Path, state: State) -> Iterator[str]:
    try:
        state.hold_session()
        server = start(directory, state.identity["session_id"])
    except DynperfError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        yield server.url
    finally:
        server.stop()
