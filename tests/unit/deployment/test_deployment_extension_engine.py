"""The engine of an extension as a service: its command line, its environment, and what cannot be one server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.deployment.extension_engine import Engine, EngineCall, Launch, engine_service
from pytest_dynperf.errors import UsageError
from pytest_dynperf.scenario.topology import KvCache, Role, Speculation, Topology

TOPOLOGY = Topology(engine="toy", model="m", served_by="engine", worker=Role(count=1, args=("--slow",)))
CALL = EngineCall(topology=TOPOLOGY, host="127.0.0.1", port=7, directory="/srv", gpus=("GPU-1", "GPU-2"))


def command(call: EngineCall) -> Launch:
    return Launch(argv=("toy", "--port", str(call.port)), env={"TOY": "1"}, files={f"{call.directory}/toy.ini": "x"})


def test_the_command_line_ends_in_free_arguments_and_the_environment_is_its_own() -> None:
    spec = engine_service(Engine(command=command, ready_path="/up"), CALL, environment={"PATH": "/bin"})
    assert spec.argv == ("toy", "--port", "7", "--slow")
    assert (spec.role, spec.ports, spec.ready.path, spec.gpus) == ("worker", {"http": 7}, "/up", ("GPU-1", "GPU-2"))
    assert spec.env["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-2"
    assert (spec.env["PATH"], spec.env["TOY"], spec.env["HOME"]) == ("/bin", "1", "/srv/home")
    assert spec.files == {"/srv/toy.ini": "x"}
    assert "CUDA_VISIBLE_DEVICES" not in engine_service(Engine(command=command), replace(CALL, gpus=()), environment={}).env


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"served_by": "dynamo"}, "topology.served_by must be 'engine', found 'dynamo'"),
        ({"mode": "disagg"}, "topology.mode must be 'agg'"),
        ({"worker": Role(count=2)}, "topology.worker.count must be 1, found 2"),
        ({"encode": Role(count=1)}, "topology.encode.count"),
        ({"kv_cache": KvCache(connector="kvbm")}, "topology.kv_cache.connector"),
        ({"speculation": Speculation(method="ngram")}, "topology.speculation.method"),
    ],
)
def test_what_is_not_one_server_is_refused(change: dict[str, object], key: str) -> None:
    call = replace(CALL, topology=replace(TOPOLOGY, **change))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the engine 'toy' of an extension is one server") as caught:
        engine_service(Engine(command=command), call, environment={})
    assert key in str(caught.value)
