"""Deployments that are there already: one server that a test scripts, handed out for every topology."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.session.conduct import Conduct
from pytest_dynperf.session.deployments import Deployments
from pytest_dynperf.session.plan import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.scenario.topology import Topology


@dataclass(eq=False)
class Standing:
    """A server that runs; ``incident`` says ``word``."""

    endpoint: Endpoint
    word: str | None = None
    key: Mapping[str, str] = field(default_factory=lambda: {"name": "test"})
    provenance: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)

    def incident(self) -> str | None:
        return self.word

    def witness(self) -> Mapping[str, float]:
        return {}

    def stop(self) -> None:
        pass


class StandingDeployments(Deployments):
    """A deployment for every topology, all of them one server; ``started`` counts those that were made. With ``services`` they are taken
    for our own, without for somebody else's. ``keys``: that of each one's environment.
    """

    def __init__(self, url: str, settings: Settings, run_directory: RunDirectory) -> None:
        super().__init__(settings, run_directory, lambda _text: None)
        self._url = url
        self.services: Mapping[str, Service] = {}
        self.keys: Iterator[Mapping[str, str]] = repeat({"name": "test"})
        self._running: tuple[Topology, Standing] | None = None
        self.started = 0

    def get(self, topology: Topology) -> Deployment:
        if self._running is None or self._running[0] != topology:
            self._running = topology, Standing(Endpoint(base_url=self._url, model="fake"), services=self.services, key=next(self.keys))
            self.started += 1
        return self._running[1]

    def restart(self, topology: Topology) -> Deployment:
        self.discard()
        return self.get(topology)

    def discard(self) -> None:
        self._running = None


def standing_conduct(directory: Path, url: str, *, attached: bool = False) -> tuple[Conduct, StandingDeployments]:
    """A process that measures against the server at ``url``; its prompts need no tokenizer where it is ``attached``."""
    settings = Settings(
        session_id="s",
        stamp="20260101T000000Z",
        seed=1,
        command="pytest",
        rootdir=directory,
        endpoint_url=url if attached else None,
        model="fake",
        environment_name="test",
        baselines=directory / "baselines",
        run_directory=directory / "run",
        cache_directory=directory / "cache",
    )
    run_directory = RunDirectory(directory / "run")
    deployments = StandingDeployments(url, settings, run_directory)
    return Conduct(settings=settings, run_directory=run_directory, deployments=deployments, progress=lambda *_: None), deployments
