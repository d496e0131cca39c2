"""What becomes of a test that needs an engine where there is none. With one: tests/system/test_system_images.py."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.images.engine import EngineMissing, connect, turn
from tests.images.fixtures import missing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    where = f"unix://{tmp_path}/engine.sock"
    monkeypatch.setenv("DOCKER_HOST", where)
    return where


def test_no_engine_is_said_with_its_place_and_a_remedy(nowhere: str) -> None:
    with pytest.raises(EngineMissing, match=rf"no container engine answers at {nowhere} .*: start one, or name it in DOCKER_HOST"):
        connect()


def test_no_sdk_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(EngineMissing, match=r'pip install "pytest-dynperf\[container\]"'):
        connect()


@pytest.mark.parametrize("value", ["", "false"])
def test_a_skip_on_a_machine_of_ours(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.skip.Exception, match=r"^needs a container engine: none here$"):
        missing("none here")


def test_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"needs a container engine: none here .*no reason to skip"):
        missing("none here")


def test_turns_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is held is not free for another one of this machine, and is free afterwards."""
    import fcntl

    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with turn("tests"):
        (lock,) = tmp_path.iterdir()
        with lock.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
