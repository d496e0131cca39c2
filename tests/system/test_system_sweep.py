"""Sweeping up in a real engine: what a dead session left goes, what belongs to anybody else stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.process import new_mark
from pytest_dynperf.deployment.session_lock import Trace, boot_id, hold_session
from pytest_dynperf.deployment.sweep import LABELS, sweep
from pytest_dynperf.deployment.sweep_engine import DockerEngine, local_engine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from docker import DockerClient

    from tests.images.engine import Image

pytestmark = pytest.mark.system


def labels(session: str, boot: str | None = None) -> dict[str, str]:
    return dict(zip(LABELS, (session, new_mark(session), boot or boot_id()), strict=True))


@pytest.mark.usefixtures("nothing_left")
def test_containers_and_networks_of_dead_sessions(tmp_path: Path, engine: DockerClient, test_images: Mapping[str, Image]) -> None:
    """``boot`` is made up, so that no other session on this machine can be taken for one of an earlier boot."""
    leases = tmp_path / "leases"
    leases.mkdir(mode=0o700)
    (leases / "session-deadsweep.lock").write_text("")
    trace = Trace(session_id="alivesweep", boot="", temporary=tmp_path, run_directory=tmp_path)
    lock = hold_session(trace, leases)
    made = {name: labels(name) for name in ("deadsweep", "alivesweep", "unknownsweep")}
    made["foreignsweep"] = {LABELS[0]: "deadsweep"}
    network = engine.networks.create("dynperf-sweep-test", labels=labels("deadsweep"))
    containers = {
        name: engine.containers.create(test_images["nats"].reference, labels=own, network=network.id if name == "deadsweep" else None)
        for name, own in made.items()
    }
    containers["deadsweep"].start()
    sweeping = local_engine()
    assert sweeping is not None
    try:
        swept = sweep(leases, sweeping)
        left = sweeping.containers()
        assert network.id not in sweeping.networks()
    finally:
        sweeping.close()
        lock.release()
        for name in ("alivesweep", "unknownsweep", "foreignsweep"):
            containers[name].remove(force=True)
    assert (swept.containers, swept.networks) == (1, 1)
    assert {name for name, one in containers.items() if one.id in left} == {"alivesweep", "unknownsweep", "foreignsweep"}


def test_what_is_gone_already_is_no_error(engine: DockerClient) -> None:
    sweeping = DockerEngine(engine)
    sweeping.remove_container("0" * 64)
    sweeping.remove_network("0" * 64)


def test_no_socket_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (f"unix://{tmp_path}/none", "tcp://127.0.0.1:9", "ssh://nobody@127.0.0.1"):
        monkeypatch.setenv("DOCKER_HOST", address)
        assert local_engine() is None
