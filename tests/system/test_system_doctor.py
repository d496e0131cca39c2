"""The doctor beside a real container engine: what is there, what is left, what is not; and that it changed nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.sweep import LABELS
from pytest_dynperf.session.doctor_checks_host import leftovers
from pytest_dynperf.session.doctor_checks_software import container_engine
from pytest_dynperf.session.doctor_facts import EngineFacts
from pytest_dynperf.session.doctor_finding import Lack
from pytest_dynperf.session.doctor_gather import look_at_what_is_left
from pytest_dynperf.session.doctor_gather_engine import look_at_engine
from tests.fakes.doctor_facts import H200, IMAGE, MOCKER, facts

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

    from tests.images.engine import Image

pytestmark = pytest.mark.system
SESSION = "5e551043"


def test_an_engine_is_described_and_no_image_is_fetched(engine: DockerClient, test_images: dict[str, Image], nothing_left: None) -> None:
    here = test_images["etcd"].reference
    before = {image.id for image in engine.images.list()}
    found, containers, networks = look_at_engine((here, IMAGE), os.environ)
    assert isinstance(found, EngineFacts)
    assert "GiB" in str(found.images[here])
    assert found.images[IMAGE] is None
    assert tuple(map(int, found.api.split("."))) >= (1, 41)
    assert SESSION not in {*containers.values(), *networks.values()}
    assert {image.id for image in engine.images.list()} == before
    ids = {finding.id for finding in container_engine(facts(engine=found), H200) if isinstance(finding, Lack)}
    assert "image" in ids
    assert "engine" not in ids


def test_containers_and_networks_of_a_session_that_is_gone_are_left(
    engine: DockerClient, test_images: dict[str, Image], nothing_left: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYNPERF_LEASE_DIRECTORY", str(tmp_path / "leases"))
    labels = dict(zip(LABELS, (SESSION, f"{SESSION}-mark", "another-boot"), strict=True))
    network = engine.networks.create("dynperf-doctor-test", labels=labels)
    container = engine.containers.create(test_images["etcd"].reference, ["etcd"], labels=labels, name="dynperf-doctor-test")
    try:
        _, containers, networks = look_at_engine((), os.environ)
        left = look_at_what_is_left(containers, networks)
    finally:
        container.remove(force=True)
        network.remove()
    assert containers["dynperf-doctor-test"] == networks["dynperf-doctor-test"] == SESSION
    lacks = {finding.id: finding for finding in leftovers(facts(left=left), MOCKER) if isinstance(finding, Lack)}
    assert "dynperf-doctor-test" in lacks["leftover.containers"].remedy
    assert "dynperf-doctor-test" in lacks["leftover.networks"].remedy
