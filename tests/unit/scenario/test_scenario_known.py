"""What extensions add may stand in a scenario, a platform file and an override; what nobody knows may not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import ScenarioError
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.scenario.known import Known
from pytest_dynperf.scenario.platform_files import platform_files
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_platform, load_scenario

if TYPE_CHECKING:
    from pathlib import Path

MINE = replace(CATALOGUE["time_to_first_token.v1"], id="mine.v1")
KNOWN = Known(choices={"topology.engine": ("toy",), "traffic.workload.kind": ("questions",)}, metrics={**CATALOGUE, MINE.id: MINE})
SCENARIO = """
schema = 1
question = "?"
[topology]
served_by = "engine"
[traffic]
isl = 8
osl = 4
concurrency = 1
workload.kind = "questions"
[arms.one]
topology.engine = "toy"
[arms.two]
topology.engine = "mocker"
topology.served_by = "dynamo"
[[expect.gate]]
metric = "mine.v1"
statistic = "p50"
tolerance = 0.1
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    path = tmp_path / "suite" / "scenario.toml"
    path.parent.mkdir()
    path.write_text(SCENARIO)
    return path


def test_engines_kinds_and_metrics_of_extensions_may_stand_there(scenario: Path) -> None:
    platform = load_platform(platform_files(scenario)["mocker"])
    cases = expand(load_scenario(scenario, known=KNOWN), platform, known=KNOWN)
    assert [case.topology.engine for case in cases] == ["toy", "mocker"]
    assert {case.traffic.workload.kind for case in cases} == {"questions"}
    assert {gate.cell.metric for case in cases for gate in case.expectation.gates} == {"mine.v1"}


def test_an_override_may_name_them_and_nobody_else(scenario: Path) -> None:
    scenario.write_text(
        SCENARIO.replace('[arms.one]\ntopology.engine = "toy"\n', "").partition("[arms.two]")[0] + SCENARIO[SCENARIO.index("[[") :]
    )
    platform = load_platform(platform_files(scenario)["mocker"])
    loaded = load_scenario(scenario, known=KNOWN)
    [case] = expand(loaded, platform, overrides=("topology.engine=toy",), known=KNOWN)
    assert case.topology.engine == "toy"
    with pytest.raises(ScenarioError, match=r"found 'tyo', allowed is one of 'mocker', .*, 'toy'"):
        expand(loaded, platform, overrides=("topology.engine=tyo",), known=KNOWN)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (replace(KNOWN, metrics=CATALOGUE), "there is no metric 'mine.v1'"),
        (replace(KNOWN, choices={"topology.engine": ("toy",)}), "found 'questions', allowed is one of 'synthetic'"),
        (replace(KNOWN, choices={"traffic.workload.kind": ("questions",)}), "found 'toy', allowed is one of 'mocker'"),
    ],
    ids=["metric", "kind", "engine"],
)
def test_what_nobody_brings_is_refused(scenario: Path, known: Known, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        load_scenario(scenario, known=known)
