"""What extensions start is started by them, and refused where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.deployment.extension_engine import Engine, Launch
from pytest_dynperf.errors import UsageError
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.session.extensions import Extensions, LaunchCall
from pytest_dynperf.session.launching import launch, model_directory, versions_here
from pytest_dynperf.session.plan import Settings

if TYPE_CHECKING:
    from pathlib import Path

TOY = Topology(engine="toy", model="m", served_by="engine")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    engine = Engine(command=lambda call: Launch(argv=("toy",)), versions=lambda: {"toy.version": "1"}, tokenizer=tmp_path)
    return Settings(
        session_id="s",
        stamp="20260201T000000Z",
        seed=1,
        command="pytest",
        rootdir=tmp_path,
        baselines=tmp_path,
        run_directory=tmp_path / "run",
        cache_directory=tmp_path / "cache",
        extensions=Extensions(engines={"toy": engine}, launchers={"cluster": started}),
    )


def started(call: LaunchCall) -> Any:
    return call


def test_a_launcher_is_told_what_to_start_and_where(settings: Settings, tmp_path: Path) -> None:
    def log(name: str) -> Path:
        return tmp_path / name

    called: Any = launch(TOY, replace(settings, launcher="cluster"), directory=tmp_path, log_path=log)
    assert called == LaunchCall(topology=TOY, directory=tmp_path, log_path=log, session="s")
    assert model_directory(TOY, replace(settings, launcher="cluster")) is None
    assert versions_here(TOY, replace(settings, launcher="cluster"), None) == {}


def test_an_engine_brings_its_tokenizer_and_its_versions(settings: Settings, tmp_path: Path) -> None:
    assert model_directory(TOY, settings) == tmp_path
    assert versions_here(TOY, settings, None) == {"toy.version": "1"}


@pytest.mark.parametrize(
    ("topology", "launcher", "said"),
    [
        (TOY, "container", "'toy' of an extension is started as a process: leave out --dynperf-launcher=container"),
        (replace(TOY, served_by="dynamo"), "process", "topology.served_by must be 'engine'"),
    ],
)
def test_what_an_extension_cannot_start(settings: Settings, tmp_path: Path, topology: Topology, launcher: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        launch(topology, replace(settings, launcher=launcher), directory=tmp_path, log_path=tmp_path.joinpath)


@pytest.mark.parametrize("launcher", ["process", "cluster"])
def test_another_interpreter_has_no_meaning_for_it(settings: Settings, tmp_path: Path, launcher: str) -> None:
    with pytest.raises(UsageError, match="has no meaning for what an extension starts"):
        launch(TOY, replace(settings, launcher=launcher), directory=tmp_path, log_path=tmp_path.joinpath, python=tmp_path / "python")
