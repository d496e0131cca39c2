from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dynperf.telemetry.gpu_owner import name_of, owner_of, sees_host_pids


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """1 → 10 (a service) → 11 → 12 with brackets in its name; 1 → 20 (somebody else)."""
    for pid, parent, name in ((1, 0, "init"), (10, 1, "service"), (11, 10, "engine"), (12, 11, "a) R 20 (b"), (20, 1, "blender")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0\n")
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
    return tmp_path


def test_own_are_the_services_and_what_they_started(proc: Path) -> None:
    owner = owner_of({10}, host_pids=True, proc=proc)
    assert [owner(pid) for pid in (10, 11, 12, 20, 1, 99)] == ["yes", "yes", "yes", "no", "no", "no"]


def test_where_host_pids_are_not_seen_a_stranger_is_unknown(proc: Path) -> None:
    owner = owner_of({10}, host_pids=False, proc=proc)
    assert [owner(pid) for pid in (12, 20)] == ["yes", "unknown"]


def test_nobody_knows_the_own_ones() -> None:
    assert owner_of(None)(os.getpid()) == "unknown"


def test_without_any_own_one_all_are_strangers(proc: Path) -> None:
    assert owner_of((), host_pids=True, proc=proc)(10) == "no"


def test_a_worker_that_is_known_late_becomes_own_and_stays_it(proc: Path) -> None:
    own: list[set[int]] = [set()]
    asked: list[int] = []

    def own_pids() -> set[int]:
        asked.append(1)
        return own[0]

    owner = owner_of(own_pids, host_pids=True, proc=proc)
    assert owner(20) == "no"
    own[0] = {20}
    assert owner(20) == "yes"
    own[0] = set()
    assert owner(20) == "yes"
    assert len(asked) == 2


def test_a_stranger_is_not_asked_for_each_time(proc: Path) -> None:
    asked: list[int] = []

    def own_pids() -> set[int]:
        asked.append(1)
        return {10}

    owner = owner_of(own_pids, host_pids=True, proc=proc)
    assert {owner(20) for _ in range(100)} == {"no"}
    assert len(asked) == 7  # the 1st, 2nd, 4th … 64th time


def test_a_real_child_is_own() -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        owner = owner_of({os.getpid()}, host_pids=True)
        assert owner(child.pid) == "yes"
        assert owner(os.getppid()) == "no"
        child.communicate()


def test_names(proc: Path) -> None:
    assert (name_of(20, proc), name_of(99, proc)) == ("blender", "?")


def test_host_pids_are_known_by_the_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "readlink", lambda _path: Path("pid:[4026531836]"))
    assert sees_host_pids()
    monkeypatch.setattr(Path, "readlink", lambda _path: Path("pid:[4026532245]"))
    assert not sees_host_pids()
