"""What extensions add, as ordinary values: made in ``plugin``, which alone calls hooks, and handed down with the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pytest_dynperf.errors import UsageError
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.scenario.known import Known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.deployment.extension_engine import Engine
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.environment import Facts
    from pytest_dynperf.metrics.definition import Meaning, MetricDefinition
    from pytest_dynperf.report.section import Section
    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.telemetry.watch import Watch
    from pytest_dynperf.workload.stream import Maker

    Launch: TypeAlias = Callable[["LaunchCall"], Deployment]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchCall:
    """What a launcher of an extension is asked: to start ``topology`` and return when it serves. ``directory`` on this host takes what it
    writes; logs go to ``log_path(service)``. Whatever it starts carries the id of the ``session``.
    """

    topology: Topology
    directory: Path
    log_path: Callable[[str], Path]
    session: str


class BaselineStore(Protocol):
    """Keeps baselines elsewhere than in the directory of ``--dynperf-baselines``, which is then a copy of them."""

    def fetch(self, directory: Path) -> None:
        """Make ``directory`` hold what is kept, before anything is compared: ``<environment>/<suite>/<case id>/<document>.json``, and
        ``waivers.toml`` where there are waivers. Called once in an invocation, in the process that writes.
        """
        ...

    def keep(self, directory: Path, documents: Sequence[Path]) -> None:
        """Keep ``documents``, which were accepted just now and lie below ``directory``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """``launchers`` by the name for ``--dynperf-launcher``, ``engines`` by that for ``topology.engine``, ``workloads`` by that for
    ``traffic.workload.kind``, ``metrics`` by id, ``watches`` (telemetry) by name. ``facts`` tells more of a deployment, ``sections`` of the
    page are made once the session is judged, ``judged`` is told of it then. ``store`` keeps baselines.
    """

    launchers: Mapping[str, Launch] = field(default_factory=dict)
    engines: Mapping[str, Engine] = field(default_factory=dict)
    workloads: Mapping[str, Maker] = field(default_factory=dict)
    metrics: Mapping[str, MetricDefinition] = field(default_factory=dict)
    watches: Mapping[str, Watch] = field(default_factory=dict)
    facts: Callable[[Case, Endpoint], Sequence[Facts]] = lambda _case, _endpoint: ()
    sections: Callable[[SessionReport], Sequence[Section]] = lambda _report: ()
    store: BaselineStore | None = None

    @property
    def known(self) -> Known:
        """What a scenario may name."""
        choices = {"topology.engine": tuple(self.engines), "traffic.workload.kind": tuple(self.workloads)}
        return Known(choices=choices, metrics=self.catalogue)

    @property
    def catalogue(self) -> Mapping[str, MetricDefinition]:
        """Every metric by id, those of extensions last."""
        return {**CATALOGUE, **self.metrics}

    @property
    def meanings(self) -> Mapping[str, Meaning]:
        """Those of the added metrics."""
        return {metric_id: definition.meaning for metric_id, definition in self.metrics.items()}


NONE = Extensions()
"""No extension."""


def added_facts(
    extensions: Extensions, case: Case, endpoint: Endpoint, *, key: Mapping[str, str], provenance: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """``key`` and ``provenance`` with what extensions tell of a deployment.

    :raises UsageError: for a fact that is told already: two truths cannot both bind.
    """
    keys, origins = dict(key), dict(provenance)
    for facts in extensions.facts(case, endpoint):
        for table, added in ((keys, facts.key), (origins, facts.provenance)):
            for name, text in added.items():
                if name in table:
                    msg = f"an extension tells {name!r} of the environment, which is told already ({table[name]!r}): give it another name"
                    raise UsageError(msg)
                table[name] = text
    return keys, origins
