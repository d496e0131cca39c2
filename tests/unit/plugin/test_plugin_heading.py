"""What the first line says of engines and GPUs before anything is started."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.plugin.heading import engines_planned, hardware_here
from tests.fakes.session_reports import a_case

if TYPE_CHECKING:
    from pathlib import Path


def plan(*engines: str, launcher: str = "process", image: str | None = None) -> Any:
    cases = tuple(replace(a_case(), topology=replace(a_case().topology, engine=engine, image=image)) for engine in engines)
    return SimpleNamespace(cases=cases, platform=SimpleNamespace(launcher=launcher))


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    return SimpleNamespace(attached=False, cache_directory=tmp_path)


def test_each_engine_once_with_what_is_known_of_it(settings: Any) -> None:
    found = engines_planned(plan("mocker", "sglang", "mocker"), settings)
    assert found == [f"mocker {metadata.version('ai-dynamo')}", "sglang"]
    assert engines_planned(plan("vllm", launcher="container", image="dynamo:1.6"), settings) == ["vllm of dynamo:1.6"]
    assert engines_planned(plan("vllm", launcher="of-an-extension"), settings) == ["vllm"]


def test_an_engine_that_is_not_installed_has_no_version(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DYNPERF_ENGINE_CPU", raising=False)
    assert engines_planned(plan("vllm"), settings) == ["vllm"]
    monkeypatch.setenv("DYNPERF_ENGINE_CPU", "/nowhere")
    assert engines_planned(plan("vllm"), settings) == ["vllm"], "what is wrong with it is said when it is to be started"


def test_of_a_server_that_runs_already_nothing_is_claimed(settings: Any) -> None:
    settings.attached = True
    assert engines_planned(plan("mocker"), settings) == []
    assert hardware_here(SimpleNamespace(gpu_count=2), settings) == ""  # type: ignore[arg-type]


def test_where_gpus_play_no_part_none_are_named(settings: Any) -> None:
    assert hardware_here(SimpleNamespace(gpu_count=0), settings) == ""  # type: ignore[arg-type]
