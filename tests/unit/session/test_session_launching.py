"""Where a model and its versions are found for what a session starts. What starts: tests/system."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.model_directory import make_model
from pytest_dynperf.errors import DeploymentError, UsageError
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.session.launching import launch, model_directory, versions_here
from pytest_dynperf.session.plan import Settings

if TYPE_CHECKING:
    from pathlib import Path

MOCKER, VLLM = (Topology(engine=engine, model="dynperf/tiny") for engine in ("mocker", "vllm"))
REMEDY = "dynperf engines install cpu"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DYNPERF_ENGINE_CPU", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return Settings(
        session_id="s",
        stamp="20260201T000000Z",
        seed=1,
        command="pytest",
        rootdir=tmp_path,
        baselines=tmp_path,
        run_directory=tmp_path / "run",
        cache_directory=tmp_path / "cache",
    )


def test_prompts_are_made_with_the_tokenizer_of_what_is_started(tmp_path: Path, settings: Settings) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    assert model_directory(MOCKER, settings) == make_model(settings.cache_directory)
    contained = replace(settings, launcher="container")
    assert model_directory(replace(VLLM, model=str(weights), worker=Role(gpus=1)), contained) == weights
    with pytest.raises(DeploymentError, match="somebody/else is not on this host"):
        model_directory(replace(VLLM, model="somebody/else", worker=Role(gpus=1)), contained)
    with pytest.raises(DeploymentError, match=REMEDY):
        model_directory(VLLM, settings)


def test_versions_of_an_engine_are_not_those_of_the_mocker(settings: Settings) -> None:
    assert "tokenizers.version" in versions_here(MOCKER, settings, None)
    with pytest.raises(DeploymentError, match=REMEDY):
        versions_here(VLLM, settings, None)


def test_an_engine_as_processes_is_the_installed_one(tmp_path: Path, settings: Settings) -> None:
    def start(topology: Topology) -> None:
        launch(topology, settings, directory=tmp_path / "d", log_path=lambda name: tmp_path / "d" / name)

    with pytest.raises(DeploymentError, match=REMEDY):
        start(VLLM)
    with pytest.raises(UsageError, match="on the CPU alone"):
        start(replace(VLLM, worker=Role(gpus=1)))
