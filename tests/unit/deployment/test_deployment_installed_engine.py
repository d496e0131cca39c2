"""What is said before a real engine is started: what is missing, and what is not started as a process. Starting: tests/system."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment import installed_engine
from pytest_dynperf.deployment.installed_engine import installed_engine_versions, served_model, start_installed
from pytest_dynperf.errors import DeploymentError, UsageError
from pytest_dynperf.installation.found import Installed
from pytest_dynperf.scenario.topology import KvCache, Role, Speculation, Topology

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.deployment.running import Deployment

AGG = Topology(engine="vllm", model="dynperf/tiny")
EVERYTHING = {"ai-dynamo": "1.6.1", "lmcache": "0.5.6", "nixl": "1.4.1"}


def engine(directory: Path, *, model: bool = True, lmcache: Path | None = None) -> Installed:
    weights = directory / "model"
    if model:
        weights.mkdir()
        (weights / "config.json").write_text("{}")
    return Installed(python=Path(sys.executable), lmcache=lmcache, model=weights, versions={}, digest="")


@pytest.fixture
def start(tmp_path: Path) -> Callable[[Topology], Deployment]:
    def one(topology: Topology) -> Deployment:
        run = tmp_path / "run"
        return start_installed(topology, cache_directory=tmp_path / "cache", log_path=lambda name: run / name)

    return one


@pytest.fixture
def with_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has an engine installed whose environment holds ``packages``."""

    def put(packages: dict[str, str], **changes: object) -> None:
        found = engine(tmp_path, **changes)  # type: ignore[arg-type]
        monkeypatch.setattr(installed_engine, "installation", lambda _cache: found)
        monkeypatch.setattr(installed_engine, "versions_of", lambda _python, _names: packages)

    return put


@pytest.mark.parametrize(
    ("topology", "said"),
    [
        (Topology(engine="sglang", model="m", worker=Role(gpus=1)), "engine 'sglang' cannot be started by this version: only 'vllm'"),
        (
            Topology(engine="vllm", model="m", worker=Role(count=2, gpus=2)),
            "uses 4 GPUs, and as processes vllm is started on the CPU alone",
        ),
        (Topology(engine="vllm", model="m", kv_cache=KvCache(connector="lmcache", host_gib=1)), "Take 'lmcache-mp'"),
    ],
)
def test_what_is_not_started_as_processes(start: Callable[[Topology], Deployment], topology: Topology, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        start(topology)


def test_nothing_installed_comes_with_its_remedy(
    tmp_path: Path, start: Callable[[Topology], Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DYNPERF_ENGINE_CPU", raising=False)
    with pytest.raises(DeploymentError, match="dynperf engines install cpu"):
        start(AGG)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("topology", "package"),
    [
        (AGG, "ai-dynamo"),
        (Topology(engine="vllm", model="dynperf/tiny", mode="disagg", kv_cache=KvCache(connector="nixl")), "nixl"),
        (Topology(engine="vllm", model="dynperf/tiny", kv_cache=KvCache(connector="lmcache-mp", host_gib=1)), "lmcache"),
    ],
)
def test_a_missing_package_is_named_with_its_remedy(
    start: Callable[[Topology], Deployment], with_engine: Callable[..., None], topology: Topology, package: str
) -> None:
    with_engine({name: version for name, version in EVERYTHING.items() if name != package})
    with pytest.raises(DeploymentError, match=rf"^{package} is not installed for .* dynperf engines install cpu"):
        start(topology)


def test_a_start_that_fails_leaves_nothing(
    tmp_path: Path, start: Callable[[Topology], Deployment], with_engine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter has no Dynamo, whatever was said of it: the frontend ends at once."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(installed_engine, "LONGEST_BASE", 200)
    with_engine(EVERYTHING)
    with pytest.raises(DeploymentError):
        start(Topology(engine="vllm", model="dynperf/tiny", served_by="engine"))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_paths_are_short_whatever_the_temporary_directory_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    found = installed_engine._short_directory()
    try:
        assert len(f"{found}/temporary/{'u' * 36}") <= 107
        assert found.stat().st_mode & 0o077 == 0
    finally:
        found.rmdir()


def test_a_missing_model_or_cache_server_is_named_with_its_remedy(
    tmp_path: Path, start: Callable[[Topology], Deployment], with_engine: Callable[..., None]
) -> None:
    with_engine(EVERYTHING, model=False)
    with pytest.raises(DeploymentError, match=r"the model dynperf/tiny of the installed engine is not there .*dynperf engines install cpu"):
        start(AGG)
    with pytest.raises(DeploymentError, match="the model somebody/else is not on this host"):
        start(Topology(engine="vllm", model="somebody/else"))
    (tmp_path / "second").mkdir()
    with_engine(EVERYTHING, model=False, lmcache=tmp_path / "nowhere")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(DeploymentError, match=r"LMCache's server is not installed .*dynperf engines install cpu"):
        start(Topology(engine="vllm", model="dynperf/tiny", kv_cache=KvCache(connector="lmcache-mp", host_gib=1)))


def test_a_draft_that_is_not_here_is_named(start: Callable[[Topology], Deployment], with_engine: Callable[..., None]) -> None:
    with_engine(EVERYTHING)
    drafts = Speculation(method="draft_model", model="somebody/draft", tokens=2)
    with pytest.raises(DeploymentError, match="the model somebody/draft is not on this host"):
        start(Topology(engine="vllm", model="dynperf/tiny", speculation=drafts))


def test_a_directory_is_a_model(tmp_path: Path) -> None:
    installed = engine(tmp_path)
    assert served_model(AGG, installed) == tmp_path / "model"
    assert served_model(Topology(engine="vllm", model=str(tmp_path)), installed) == tmp_path


def test_versions_are_those_beside_the_interpreters(tmp_path: Path) -> None:
    installed = engine(tmp_path, lmcache=Path(sys.executable).parent / "lmcache")
    found = installed_engine_versions(installed)
    assert "tokenizers.version" in found
    assert "lmcache.version" not in found
