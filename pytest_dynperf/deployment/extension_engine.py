"""An engine that an extension brings: one server that speaks the OpenAI API, as a command line. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec
from pytest_dynperf.deployment.worker import Launch
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_dynperf.scenario.topology import Topology

__all__ = ["Engine", "EngineCall", "Launch", "check_topology", "engine_service"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCall:
    """What a command line must know: the topology, the address to listen on (``host``, ``port``), a ``directory`` of its own that is
    removed when the server is stopped, and the UUIDs of its GPUs.
    """

    topology: Topology
    host: str
    port: int
    directory: str
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A server of one process that serves ``topology.model`` under ``/v1``. ``topology.worker.args`` are appended to its command line.

    ``command`` makes the command line. ``ready_path`` answers 200 when the server is up; that the model is listed and a completion comes
    back is proven after it. ``ready_s`` is the longest time for all of it. ``versions`` gives facts of provenance (``toy.version``), asked
    once it runs. ``tokenizer``: directory with the tokenizer of the model; without one, prompts are calibrated by the server's counts.
    """

    command: Callable[[EngineCall], Launch]
    ready_path: str = "/v1/models"
    ready_s: float = 300.0
    versions: Callable[[], Mapping[str, str]] = field(default=dict)
    tokenizer: Path | None = None


def check_topology(topology: Topology) -> None:
    """:raises UsageError: for a topology that is not one server by itself."""
    asked = {
        "topology.mode": (topology.mode, "agg"),
        "topology.served_by": (topology.served_by, "engine"),
        "topology.worker.count": (topology.worker.count, 1),
        "topology.encode.count": (topology.encode.count, 0),
        "topology.kv_cache.connector": (topology.kv_cache.connector, "none"),
        "topology.speculation.method": (topology.speculation.method, "none"),
    }
    for key, (found, needed) in asked.items():
        if found != needed:
            msg = (
                f"the engine {topology.engine!r} of an extension is one server that answers by itself, so {key} must be {needed!r}, "
                f"found {found!r}: set it in scenario.toml"
            )
            raise UsageError(msg)


def engine_service(engine: Engine, call: EngineCall, *, environment: Mapping[str, str]) -> ServiceSpec:
    """The service that runs ``engine``; ``environment`` is what it inherits.

    :raises UsageError: as :func:`check_topology`.
    """
    check_topology(call.topology)
    launch = engine.command(call)
    home, temporary = f"{call.directory}/home", f"{call.directory}/temporary"
    devices = {"CUDA_VISIBLE_DEVICES": ",".join(call.gpus)} if call.gpus else {}
    return ServiceSpec(
        name="worker-0",
        role="worker",
        argv=(*launch.argv, *call.topology.worker.args),
        env={**environment, "HOME": home, "TMPDIR": temporary, "PYTHONUNBUFFERED": "1", **devices, **launch.env},
        ports={"http": call.port},
        ready=ReadyCheck(port="http", path=engine.ready_path),
        working_directory=call.directory,
        directories=(home, temporary),
        files=launch.files,
        gpus=call.gpus,
    )
