"""Each launcher in turn. Without a container engine its tests skip, or fail in CI."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.contract.kinds import Kind, container_kind, process_kind
from tests.contract.leftovers import leaving_nothing
from tests.images.fixtures import engine, test_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from docker import DockerClient

    from pytest_dynperf.deployment.launcher import Group
    from pytest_dynperf.deployment.service import ServiceSpec
    from tests.images.engine import Image

__all__ = ["engine", "test_images"]


class Start(Protocol):
    """Starts services and stops them after the test."""

    def __call__(self, *specs: ServiceSpec, kind: Kind | None = None, before: Callable[[ServiceSpec, Group], None] | None = None) -> Group:
        """The running group."""
        ...


@pytest.fixture
def contained(engine: DockerClient, test_images: Mapping[str, Image]) -> Iterator[Kind]:
    """The container launcher; the test must leave nothing in the engine."""
    with leaving_nothing(engine) as session:
        yield container_kind(test_images["dynamo"].reference, session)


@pytest.fixture(params=["process", "container"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """Each launcher that starts something."""
    if request.param == "process":
        return process_kind(tmp_path, "contract")
    found = request.getfixturevalue("contained")
    assert isinstance(found, Kind)
    return found


@pytest.fixture
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts specs by ``kind`` (by default that of the test); logs go to ``tmp_path/logs``, state to ``tmp_path/state``."""
    default: Kind | None = request.getfixturevalue("kind") if "kind" in request.fixturenames else request.getfixturevalue("contained")
    with ExitStack() as stack:

        def run(*specs: ServiceSpec, kind: Kind | None = None, before: Callable[[ServiceSpec, Group], None] | None = None) -> Group:
            chosen = kind or default
            assert chosen is not None
            group = chosen.launcher.start(
                specs, directory=tmp_path / "state", log_path=lambda name: tmp_path / "logs" / f"{name}.log", before=before
            )
            stack.callback(group.stop)
            return group

        yield run
