"""Looking at this very machine: no mocks. What is planted is planted in files, processes and locks."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.lease import DIRECTORY_VARIABLE, acquire_host
from pytest_dynperf.deployment.reaper import VARIABLE
from pytest_dynperf.quantity import Absent
from pytest_dynperf.session.doctor_facts import NoEngine
from pytest_dynperf.session.doctor_gather import gather, look_at_host, look_at_software, look_at_what_is_left
from pytest_dynperf.session.doctor_gather_engine import gpus_by, look_at_engine
from pytest_dynperf.session.doctor_gather_gpu import look_at_gpus
from pytest_dynperf.session.doctor_gather_model import look_at_model
from pytest_dynperf.workload.hub_cache import hub_cache
from tests.fakes.doctor_facts import H200, MOCKER, MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "leases"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


# ---- everything


def test_this_machine_is_looked_at_as_it_is(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "HF_TOKEN": "hf_planted_1", "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    facts = gather([MOCKER, H200], tmp_path, environ)
    assert facts.software.python == sys.version_info[:3]
    assert facts.software.packages["pytest"] == pytest.__version__
    assert isinstance(facts.engine, NoEngine)
    assert f"{tmp_path}/none.sock does not exist" in facts.engine.reason
    assert facts.models[MODEL].lacks == ("not there at all",)
    assert facts.secrets == {"HF_TOKEN"}
    assert facts.host.ports_free == facts.host.ports_asked == max(MOCKER.ports, H200.ports)
    assert abs(facts.host.clock_step_s) < 1, "else somebody has set the clock meanwhile"
    assert facts.host.cpu_count == len(os.sched_getaffinity(0))
    assert 0 < facts.host.memory_available_bytes <= facts.host.memory_total_bytes
    assert set(facts.host.disks) == {"run directory", "cache", "temporary directory"}
    assert "hf_planted_1" not in repr(facts)


def test_gpus_are_what_the_driver_lists_or_unknown_with_a_reason() -> None:
    facts = look_at_gpus()
    if isinstance(facts.gpus, Absent):
        assert facts.gpus.reason
        assert facts.readings == {}
    else:
        assert set(facts.readings) == set(facts.modes) == {gpu.uuid for gpu in facts.gpus}


def test_programs_are_named_with_version_and_path() -> None:
    programs = look_at_software().programs
    for name, text in programs.items():
        assert re.fullmatch(rf"\d+\.\d+\.\d+\S* \(/.*{name}\)", text), text


# ---- host


def test_a_directory_that_cannot_be_made_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    host = look_at_host(tmp_path, {"HOME": str(tmp_path)}, ports=0, begun=0)
    assert not host.disks["run directory"].writable
    assert host.disks["cache"].writable
    assert host.ports_free == 0


def test_a_tree_with_changes_is_dirty(tmp_path: Path) -> None:
    for command in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert look_at_host(tmp_path, {}, ports=1, begun=0).git["git.dirty"] == "no"
    (tmp_path / "new.py").touch()
    assert look_at_host(tmp_path, {}, ports=1, begun=0).git["git.dirty"] == "yes"


# ---- container engine


@pytest.fixture
def engine_socket(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        yield path


def test_an_engine_that_is_not_there_and_one_that_nobody_serves(tmp_path: Path, engine_socket: Path) -> None:
    missing, *_ = look_at_engine((), {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    dead, *_ = look_at_engine((), {"DOCKER_HOST": f"unix://{engine_socket}"})
    far, *_ = look_at_engine((), {"DOCKER_HOST": "tcp://127.0.0.1:1"})
    assert isinstance(missing, NoEngine)
    assert isinstance(dead, NoEngine)
    assert isinstance(far, NoEngine)
    assert "does not exist" in missing.reason
    assert os.strerror(111) in dead.reason
    assert "DOCKER_HOST" in far.reason


def test_by_what_an_engine_hands_out_gpus() -> None:
    assert gpus_by({"Runtimes": {"runc": {}, "nvidia": {}}}, None) == "runtime nvidia"
    assert gpus_by({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, None) == "CDI, 1 devices nvidia.com/gpu"
    assert gpus_by({"Runtimes": {"runc": {}}}, "/usr/bin/hook") == "runtime hook /usr/bin/hook"
    assert gpus_by({"Runtimes": None, "DiscoveredDevices": None}, None) is None


# ---- models


def hub(tmp_path: Path, name: str = MODEL) -> Path:
    snapshot = tmp_path / f"models--{name.replace('/', '--')}" / "snapshots" / "abc"
    (snapshot.parents[1] / "refs").mkdir(parents=True)
    (snapshot.parents[1] / "blobs").mkdir()
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    shards = ["model-1.safetensors", "model-2.safetensors"]
    for shard in shards:
        (snapshot.parents[1] / "blobs" / shard).write_bytes(b"x" * 1000)
        (snapshot / shard).symlink_to(Path("../../blobs") / shard)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "tokenizer.json").write_text("{}")
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shards[0], "b": shards[1]}}))
    return snapshot


def test_complete_weights_are_complete(tmp_path: Path) -> None:
    snapshot = hub(tmp_path)
    found = look_at_model(MODEL, {"HF_HUB_CACHE": str(tmp_path)})
    assert (found.lacks, found.bytes, found.place) == ((), 2000, str(snapshot))
    (snapshot.parents[1] / "blobs" / "old.incomplete").touch()
    assert look_at_model(MODEL, {"HF_HUB_CACHE": str(tmp_path)}).lacks == (), "an attempt that was made up for"
    assert look_at_model(str(snapshot), {}).lacks == (), "a directory is one, too"


@pytest.mark.parametrize(
    ("defect", "lacks"),
    [
        (lambda home: (home / "model-2.safetensors").unlink(), ("model-2.safetensors",)),
        (lambda home: (home.parents[1] / "blobs" / "model-1.safetensors").unlink(), ("model-1.safetensors",)),
        (lambda home: (home / "config.json").unlink(), ("config.json",)),
        (lambda home: (home / "tokenizer.json").unlink(), ("a tokenizer",)),
        (lambda home: (home / "model.safetensors.index.json").write_text("{"), ("model.safetensors.index.json (it cannot be read)",)),
        (
            lambda home: [(home / "model-2.safetensors").unlink(), (home.parents[1] / "blobs" / "f.incomplete").touch()],
            ("model-2.safetensors", "1 files were being fetched"),
        ),
    ],
    ids=["no link", "no file behind the link", "no config", "no tokenizer", "a broken index", "in the middle"],
)
def test_what_is_lacking_of_weights_is_named(tmp_path: Path, defect: object, lacks: tuple[str, ...]) -> None:
    snapshot = hub(tmp_path)
    assert callable(defect)
    defect(snapshot)
    assert look_at_model(MODEL, {"HF_HUB_CACHE": str(tmp_path)}).lacks == lacks


def test_a_repository_without_a_snapshot_was_cut_short(tmp_path: Path) -> None:
    (tmp_path / f"models--{MODEL.replace('/', '--')}").mkdir()
    assert look_at_model(MODEL, {"HF_HUB_CACHE": str(tmp_path)}).lacks == ("no snapshot: the fetching was cut short",)
    assert look_at_model("/nowhere/model", {}).lacks == ("not there at all",)


def test_where_the_hub_keeps_its_cache() -> None:
    assert hub_cache({"HF_HUB_CACHE": "/a", "HF_HOME": "/b", "HOME": "/d"}) == Path("/a")
    assert hub_cache({"HUGGINGFACE_HUB_CACHE": "/c", "HF_HOME": "/b"}) == Path("/c")
    assert hub_cache({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}) == Path("/b/hub")
    assert hub_cache({"XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/hub")
    assert hub_cache({"HOME": "/d"}) == Path("/d/.cache/huggingface/hub")


# ---- what is left


def test_processes_that_carry_our_mark_are_left_by_their_session() -> None:
    sleeping = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, env={VARIABLE: "5e551043-mark"}
    )
    try:
        assert _environment_is_there(sleeping.pid)
        left = look_at_what_is_left({"c1": "5e551043"}, {})
        assert left.processes.get(sleeping.pid) == "5e551043"
        assert "5e551043" not in left.alive
        assert left.containers == {"c1": "5e551043"}
    finally:
        sleeping.communicate()


def _environment_is_there(pid: int) -> bool:
    """The program has been executed, not only forked."""
    for _ in range(10_000):
        if VARIABLE.encode() in Path(f"/proc/{pid}/environ").read_bytes():
            return True
        os.sched_yield()
    return False


def test_a_held_lease_is_named_and_a_free_one_is_not(tmp_path: Path) -> None:
    assert look_at_what_is_left({}, {}).holders == {}
    with acquire_host("a-session", directory=tmp_path / "leases", describe="a measurement"):
        [(lock, who)] = look_at_what_is_left({}, {}).holders.items()
        assert lock == "host.lock"
        assert f"process {os.getpid()} since" in who
        assert "(a measurement)" in who
    assert look_at_what_is_left({}, {}).holders == {}


def test_temporary_directories_of_dead_sessions_are_left(tmp_path: Path) -> None:
    (tmp_path / "tmp" / "dynperf-0123abcd").mkdir()
    (tmp_path / "tmp" / "dynperf-leases-0").mkdir()
    (tmp_path / "tmp" / "dynperf-notes").mkdir()
    assert look_at_what_is_left({}, {}).directories == (str(tmp_path / "tmp" / "dynperf-0123abcd"),)
