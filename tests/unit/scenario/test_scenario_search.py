"""Platforms are found beside the scenario, above it up to the project's root, and in the package; the nearest wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import PlatformError
from pytest_dynperf.scenario.platform_files import PACKAGED, platform_files
from pytest_dynperf.scenario.search import find_platform, find_platforms, platform_names

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
schema = 1
name = "{name}"
summary = "{summary}"
gpu_pattern = ""
gpu_count = 0
gpu_memory_gib = 0
launcher = "process"
simulated = true
verified = true
"""


def platform_at(directory: Path, name: str, summary: str) -> None:
    (directory / "platforms").mkdir(parents=True, exist_ok=True)
    (directory / "platforms" / f"{name}.toml").write_text(TEXT.format(name=name, summary=summary), encoding="utf-8")


def test_nearest_file_of_a_name_wins(tmp_path: Path) -> None:
    suite = tmp_path / "suites" / "sweep"
    suite.mkdir(parents=True)
    platform_at(tmp_path, "lab", "far")
    platform_at(tmp_path, "mocker", "ours")
    platform_at(suite, "lab", "near")
    scenario = suite / "scenario.toml"
    scenario.touch()
    assert find_platform("lab", near=scenario).summary == "near"
    assert find_platform("lab", near=suite).summary == "near"
    assert find_platform("mocker", near=scenario).summary == "ours"
    assert find_platform("h100", near=scenario).gpu_pattern == "H100"


@pytest.mark.parametrize("marker", ["pyproject.toml", ".git"])
def test_search_stops_at_the_root_of_the_project(tmp_path: Path, marker: str) -> None:
    project = tmp_path / "project"
    (project / "suites").mkdir(parents=True)
    platform_at(tmp_path, "outside", "not of this project")
    platform_at(project, "inside", "of this project")
    assert {"inside", "outside"} <= set(platform_names(project / "suites"))
    (project / marker).touch()
    assert "inside" in platform_names(project / "suites")
    assert "outside" not in platform_names(project / "suites")


def test_unknown_platform_lists_known_ones_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"no platform 'h10' \(did you mean 'h100'\?\); known: a100, attached, b200"):
        find_platform("h10", near=tmp_path)


def test_all_platforms_come_sorted(tmp_path: Path) -> None:
    names = [platform.name for platform in find_platforms(near=tmp_path)]
    assert names == sorted(names)
    assert names == sorted(path.stem for path in PACKAGED.glob("*.toml"))
    assert list(platform_names(tmp_path)) == sorted(platform_files(tmp_path))
