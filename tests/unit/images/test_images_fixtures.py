"""What becomes of a test that needs an engine where there is none. With one: tests/system/test_system_images.py."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
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


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path


def is_free(locks: Path, name: str) -> bool:
    with (locks / f"dynperf-test-{name}-{os.getuid()}.lock").open() as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_turns_are_taken(locks: Path) -> None:
    with turn("tests"):
        assert not is_free(locks, "tests")
    assert is_free(locks, "tests")


def test_a_turn_ends_with_a_test_that_fails(locks: Path) -> None:
    with pytest.raises(ZeroDivisionError), turn("tests"):
        raise ZeroDivisionError
    assert is_free(locks, "tests")


def test_nobody_is_overtaken(locks: Path) -> None:
    """One who has had a turn and wants the next at once comes after one who waits; without a queue the kernel would hand it back."""
    order: list[str] = []

    def second() -> None:
        with turn("tests"):
            order.append("second")

    waiting = threading.Thread(target=second)
    with turn("tests"):
        waiting.start()
        while is_free(locks, "tests-queue"):
            assert waiting.is_alive()
        order.append("first")
    with turn("tests"):
        order.append("first again")
    waiting.join()
    assert order == ["first", "second", "first again"]
