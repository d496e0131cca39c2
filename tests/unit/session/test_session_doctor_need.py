"""What platforms and suites need, from their files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_dynperf.errors import ScenarioError, UsageError
from pytest_dynperf.scenario.search import find_platform
from pytest_dynperf.session.doctor_need import find_suites, need_of, needs_of

ROOT = Path(__file__).parents[3]
SUITE = """
schema = 1
question = "?"
[traffic]
isl = 64
osl = 8
[traffic.arrival]
process = "poisson"
rate_per_s = 5
max_in_flight = 700
[[expect.gate]]
metric = "inter_token_latency.v1"
statistic = "p50"
tolerance = 0.1
"""


def write(directory: Path, text: str = SUITE) -> Path:
    directory.mkdir(parents=True)
    (directory / "scenario.toml").write_text(text)
    return directory


def test_the_shipped_suite_on_every_platform() -> None:
    needs = {need.platform.name: need for need in needs_of(find_suites(["concurrency_sweep"], ROOT), ROOT)}
    assert {"mocker", "attached", "h100", "h200", "b200", "a100", "l40s"} <= set(needs)
    assert all(need.flaws == {} for need in needs.values())
    h200, mocker, attached = (needs[name] for name in ("h200", "mocker", "attached"))
    assert h200.containers
    assert (h200.gpu_count, h200.connections, h200.engines) == (4, 250, ("vllm",))
    assert [image.partition(":")[0] for image in h200.images] == ["nvcr.io/nvidia/ai-dynamo/vllm-runtime", "quay.io/coreos/etcd"]
    assert len(h200.models) == 1
    assert (mocker.images, mocker.models, mocker.gpu_count, mocker.connections, mocker.ports) == ((), (), 0, 8, 14)
    assert (attached.engines, attached.ports, attached.models, attached.gpu_count) == ((), 0, (), 0)


def test_without_a_suite_a_platform_needs_what_its_file_states() -> None:
    need = need_of(find_platform("h100", near=ROOT / "suites"), ())
    assert (need.gpu_count, need.engines, len(need.images), len(need.models)) == (4, ("vllm",), 2, 1)
    assert need_of(find_platform("mocker", near=ROOT / "suites"), ()).engines == ("mocker",)


def test_an_engine_as_a_process_is_installed_and_its_own_model_comes_with_it() -> None:
    need = need_of(find_platform("cpu", near=ROOT / "suites"), ())
    assert (need.installed_engine, need.models) == (True, ())
    other = replace(need, topologies=tuple(replace(one, model="Qwen/Qwen3-0.6B") for one in need.topologies))
    assert other.models == ("Qwen/Qwen3-0.6B",)
    assert not need_of(find_platform("mocker", near=ROOT / "suites"), ()).installed_engine
    assert not need_of(find_platform("h100", near=ROOT / "suites"), ()).installed_engine


def test_suites_are_found_by_name_by_directory_and_all(tmp_path: Path) -> None:
    one, _ = write(tmp_path / "suites" / "one"), write(tmp_path / "suites" / "two")
    write(tmp_path / "elsewhere" / "three")
    assert [suite.suite for suite in find_suites([], tmp_path)] == ["one", "two"]
    assert [suite.suite for suite in find_suites(["two"], tmp_path)] == ["two"]
    assert [suite.suite for suite in find_suites([str(one), "elsewhere/three"], tmp_path)] == ["one", "three"]
    assert [suite.suite for suite in find_suites([], one)] == ["one"]
    with pytest.raises(UsageError, match=r"--suite tow: there is no such suite \(did you mean 'two'\?\); known here: one, two"):
        find_suites(["tow"], tmp_path)


def test_what_runs_beside_the_engine_has_images_too() -> None:
    need = need_of(find_platform("h200", near=ROOT / "suites"), ())
    [topology] = need.topologies
    several = replace(need, topologies=(replace(topology, planes="nats", frontends=2),))
    assert several.images == (topology.image, topology.images.etcd, topology.images.nats, topology.images.proxy)
    alone = replace(topology, served_by="engine")
    assert replace(need, topologies=(alone,)).images == (topology.image,)
    two = replace(alone, worker=replace(topology.worker, count=2))
    assert replace(need, topologies=(two,)).images == (topology.image, topology.images.proxy)


def test_an_open_loop_needs_what_it_may_have_in_flight(tmp_path: Path) -> None:
    suites = find_suites([str(write(tmp_path / "open"))], tmp_path)
    assert need_of(find_platform("mocker", near=ROOT / "suites"), suites).connections == 700


def test_a_suite_that_a_platform_cannot_run_is_a_flaw_and_a_broken_one_an_error(tmp_path: Path) -> None:
    suites = find_suites([str(write(tmp_path / "short", SUITE.replace("isl = 64", "")))], tmp_path)
    need = need_of(find_platform("mocker", near=ROOT / "suites"), suites)
    assert "traffic.isl" in need.flaws["short"]
    with pytest.raises(ScenarioError, match="isll"):
        find_suites([str(write(tmp_path / "typo", SUITE.replace("isl =", "isll =")))], tmp_path)
