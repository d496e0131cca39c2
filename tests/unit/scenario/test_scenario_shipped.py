"""The scenarios and platforms of this repository load, expand and say where their values come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.scenario.platform_files import PACKAGED
from pytest_dynperf.scenario.search import find_platforms
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_scenario

if TYPE_CHECKING:
    from pytest_dynperf.scenario.platform import Platform

SUITES = Path(__file__).parents[3] / "suites"
SCENARIOS = sorted(SUITES.glob("*/scenario.toml"))
PLATFORMS = find_platforms(near=SUITES)
SWEEP = SUITES / "concurrency_sweep" / "scenario.toml"


def named(name: str) -> Platform:
    return next(platform for platform in PLATFORMS if platform.name == name)


def test_the_package_ships_the_platforms_of_the_suites() -> None:
    ours = sorted((SUITES / "platforms").glob("*.toml"))
    assert {path.name for path in ours} >= {f"{name}.toml" for name in ("mocker", "attached", "h100", "h200", "b200", "a100", "l40s")}
    assert [path.name for path in sorted(PACKAGED.glob("*.toml"))] == [path.name for path in ours]
    for path in ours:
        assert (PACKAGED / path.name).samefile(path)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
def test_every_scenario_expands_on_every_platform(path: Path, platform: Platform) -> None:
    cases = expand(load_scenario(path), platform)
    assert cases
    assert len({case.case_id for case in cases}) == len(cases)
    if platform.gpu_count:
        assert {case.topology.gpu_count for case in cases} == {platform.gpu_count}


@pytest.mark.parametrize("platform", [platform for platform in PLATFORMS if platform.gpu_count], ids=lambda platform: platform.name)
def test_gpu_platforms_name_their_source_and_do_not_claim_to_be_verified(platform: Platform) -> None:
    assert "recipes/" in Path(platform.file).read_text(encoding="utf-8")
    assert not platform.verified
    assert not platform.simulated


@pytest.mark.parametrize("platform", [platform for platform in PLATFORMS if platform.gpu_count], ids=lambda platform: platform.name)
def test_tensor_parallelism_is_the_gpus_of_a_worker(platform: Platform) -> None:
    (case, *_) = expand(load_scenario(SWEEP), platform)
    worker = case.topology.worker
    assert worker.tensor_parallel == worker.gpus
    assert not any("parallel" in argument for argument in worker.args)


def test_roles_of_a_disaggregated_deployment_come_from_the_recipes() -> None:
    for name in ("h100", "h200", "a100"):
        (case, *_) = expand(load_scenario(SWEEP), named(name), overrides=["topology.mode=disagg"])
        assert case.case_id == "disagg-isl2000-osl256-c1"
        assert [(role, workers.count, workers.gpus) for role, workers in case.topology.roles.items()] == [
            ("prefill", 2, 2),
            ("decode", 1, 4),
        ]


def test_the_sweep_on_mocker() -> None:
    cases = expand(load_scenario(SWEEP), named("mocker"))
    assert [case.case_id for case in cases] == [f"agg-isl256-osl32-c{level}" for level in (1, 2, 4, 8)]
    assert len({case.topology.deployment_key for case in cases}) == 1
    (topology,) = {case.topology for case in cases}
    assert (topology.engine, topology.worker.count, topology.router_mode, topology.planes) == ("mocker", 2, "round-robin", "nats")
    gates = {str(gate.cell): (gate.tolerance, gate.decisive) for gate in cases[0].expectation.gates}
    assert gates == {
        "output_token_throughput": (0.03, True),
        "inter_token_latency p50": (0.03, True),
        "time_to_first_token p50": (0.05, True),
        "time_to_first_token p90": (0.08, False),
    }


def test_the_sweep_on_gpus_and_through_the_environment() -> None:
    scenario = load_scenario(SWEEP)
    assert [case.traffic.concurrency for case in expand(scenario, named("h100"))] == [1, 2, 5, 10, 50, 100, 250]
    assert [case.traffic.concurrency for case in expand(scenario, named("h100"), environ={"CONCURRENCIES": "64,2"})] == [2, 64]
