"""Weights are found where the hub's tools put them, and what is not there is said with the command that fetches it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dynperf.deployment.container_stack import MODEL, mounted
from pytest_dynperf.deployment.hub import local_model
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.workload.hub_cache import hub_cache


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """As the hub lays a repository out: a snapshot of links into the blobs beside it."""
    repository = tmp_path / "hub" / "models--org--name"
    found = repository / "snapshots" / "abc"
    found.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "1").write_text("{}")
    (found / "config.json").symlink_to("../../blobs/1")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    return found


def test_a_directory_stands_for_itself_and_is_mounted_as_it_is(tmp_path: Path) -> None:
    assert local_model(str(tmp_path), {}) == tmp_path
    mount, path = mounted(tmp_path)
    assert (mount.source, mount.target, path, mount.read_only) == (str(tmp_path), MODEL, MODEL, True)


def test_a_snapshot_is_mounted_with_the_blobs_that_its_links_lead_to(tmp_path: Path, snapshot: Path) -> None:
    found = local_model("org/name", {"HF_HOME": str(tmp_path)})
    assert found == snapshot
    mount, path = mounted(found)
    inside = path.removeprefix(mount.target).lstrip("/")
    target = str((Path(mount.source) / inside / "config.json").resolve())
    assert target.startswith(f"{mount.source}/"), "a link leads out of what containers see"
    assert mount.read_only


def test_what_is_not_here_is_said_with_the_way_to_get_it(tmp_path: Path) -> None:
    environ = {"HF_HUB_CACHE": str(tmp_path)}
    assert hub_cache(environ) == tmp_path
    with pytest.raises(DeploymentError, match=r"org/other is not on this host.*hf download org/other"):
        local_model("org/other", environ)
