"""What a platform with its suites needs of a machine, read from their files. Pure but for those files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.dynamo import FIXED_PORTS, ports_needed
from pytest_dynperf.deployment.installed_engine import OWN_MODELS
from pytest_dynperf.errors import ScenarioError, UsageError, nearest
from pytest_dynperf.scenario.layer import read_layer
from pytest_dynperf.scenario.search import find_platforms
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_scenario
from pytest_dynperf.scenario.topology import Role, Topology

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.scenario.platform import Platform
    from pytest_dynperf.scenario.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """``topologies`` are all that the suites deploy, ``connections`` the most that one run holds. ``flaws``: suite to why it has no cases
    on the platform; ``named`` says that the suites were asked for by name.
    """

    platform: Platform
    topologies: tuple[Topology, ...]
    connections: int
    flaws: Mapping[str, str]
    named: bool = False

    @property
    def attached(self) -> bool:
        """Whether nothing is started."""
        return self.platform.launcher == "attached"

    @property
    def containers(self) -> bool:
        """Whether services run in containers."""
        return self.platform.launcher == "container"

    @property
    def images(self) -> tuple[str, ...]:
        """Images that containers are made of, each once, the engines' first."""
        topologies = self.topologies if self.containers else ()
        engines = [topology.image for topology in topologies if topology.image is not None]
        return tuple(dict.fromkeys((*engines, *(image for topology in topologies for image in _beside(topology)))))

    @property
    def engines(self) -> tuple[str, ...]:
        """What serves, each once."""
        return tuple({topology.engine: None for topology in self.topologies}) if not self.attached else ()

    @property
    def models(self) -> tuple[str, ...]:
        """Models whose weights are loaded, each once. The mocker has none, and those of an installed engine come with it."""
        found = {topology.model: None for topology in self.topologies if topology.engine not in {"mocker", "unknown"}}
        return () if self.attached else tuple(name for name in found if not (self.installed_engine and name.startswith(OWN_MODELS)))

    @property
    def installed_engine(self) -> bool:
        """Whether a real engine runs as processes: from the environment that ``dynperf engines install cpu`` makes."""
        return self.platform.launcher == "process" and any(engine not in {"mocker", "unknown"} for engine in self.engines)

    @property
    def gpu_count(self) -> int:
        """GPUs that the largest topology uses, at least those that the platform names."""
        return max([self.platform.gpu_count, *(topology.gpu_count for topology in self.topologies)]) if self.platform.gpu_pattern else 0

    @property
    def ports(self) -> int:
        """Ports of two deployments at once: candidate and control."""
        return 0 if self.attached else 2 * max((ports_needed(topology) for topology in self.topologies), default=FIXED_PORTS)


def _beside(topology: Topology) -> tuple[str, ...]:
    """Images of what runs beside the engine."""
    images = topology.images
    if topology.served_by == "engine":
        return (images.proxy,) if topology.worker_count > 1 else ()
    nats = (images.nats,) if topology.planes == "nats" else ()
    return (images.etcd, *nats, *((images.proxy,) if topology.frontends > 1 else ()))


def find_suites(names: Sequence[str], directory: Path) -> tuple[Scenario, ...]:
    """The suites ``names`` (a directory, or the name of one in ``suites/``); without names all in ``directory`` and its ``suites/``.

    :raises UsageError: for a name that is no suite.
    :raises ScenarioError: for a scenario that says something wrong.
    """
    files = {path.parent.name: path for place in (directory / "suites", directory) for path in sorted(place.glob("*/scenario.toml"))}
    if (directory / "scenario.toml").is_file():
        files[directory.resolve().name] = directory / "scenario.toml"
    if not names:
        return tuple(load_scenario(path) for path in files.values())
    found = []
    for name in names:
        path = directory / name / "scenario.toml"
        if path.is_file():
            found.append(load_scenario(path))
        elif name in files:
            found.append(load_scenario(files[name]))
        else:
            known = ", ".join(sorted(files)) or "none"
            msg = (
                f"--suite {name}: there is no such suite{nearest(name, files)}; known here: {known}. Give its directory, or run where it is"
            )
            raise UsageError(msg)
    return tuple(found)


def needs_of(suites: Sequence[Scenario], directory: Path, *, named: bool = False) -> tuple[Need, ...]:
    """What every platform that is known beside the first suite, or in ``directory`` where there is none, needs for ``suites``, by name.

    :raises ScenarioError: when a platform's file cannot be read.
    """
    own = directory / "suites"
    near = Path(suites[0].file).parent if suites else own if own.is_dir() else directory
    return tuple(need_of(platform, suites, named=named) for platform in find_platforms(near=near))


def need_of(platform: Platform, suites: Sequence[Scenario], *, named: bool = False) -> Need:
    """What ``platform`` needs for ``suites``; without suites, for the topology that its file states."""
    cases: list[Case] = []
    flaws: dict[str, str] = {}
    for suite in suites:
        try:
            cases += expand(suite, platform)
        except ScenarioError as error:
            flaws[suite.suite] = str(error)
    topologies = [case.topology for case in cases] or _own_topology(platform)
    return Need(
        platform=platform,
        topologies=tuple({topology.deployment_key: topology for topology in topologies}.values()),
        connections=max((_connections(case) for case in cases), default=1),
        flaws=flaws,
        named=named,
    )


def _connections(case: Case) -> int:
    arrival = case.traffic.arrival
    return case.traffic.slots if arrival.closed else arrival.max_in_flight or 1024


def _own_topology(platform: Platform) -> list[Topology]:
    values = read_layer(dict(platform.defaults), file=platform.file).values
    text = {name: str(values[f"topology.{name}"]) for name in ("engine", "model", "image") if values.get(f"topology.{name}") is not None}
    if "engine" not in text or "model" not in text:
        return []
    gpus = values.get("topology.worker.gpus", 0)
    role = Role(gpus=gpus if isinstance(gpus, int) else 0)
    return [Topology(engine=text["engine"], model=text["model"], image=text.get("image"), worker=role)]
