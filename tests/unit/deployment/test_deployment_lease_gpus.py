"""Leases of GPUs between real processes: exclusive by UUID, beside the host's, and for as long as an orphan lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment import lease
from pytest_dynperf.deployment.lease import acquire_gpus, acquire_host, leased_gpus
from pytest_dynperf.errors import DeploymentError, LeaseHeld
from tests.fakes.gpu_lease_holder import Other

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_dynperf.deployment.lease import GpuLease


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "leases"


@pytest.fixture
def other(directory: Path) -> Iterator[Callable[..., Other]]:
    started: list[Other] = []

    def start(session_id: str, *uuids: str, held: bool = True, wait_s: float = 0.0) -> Other:
        started.append(Other(directory, session_id, *uuids, wait_s=wait_s))
        assert not held or started[-1].line() == "held"
        return started[-1]

    yield start
    for process in started:
        process.close()


def mine(directory: Path, *uuids: str, session: str = "session-b", wait_s: float = 0.0, share_host: bool = True) -> GpuLease:
    return acquire_gpus(session, uuids, directory=directory, wait_s=wait_s, describe="me", share_host=share_host, same_session_wait_s=0.3)


def locked(directory: Path) -> set[str]:
    """Locks that somebody has for himself or shares, by a look of another process."""
    program = (
        "import fcntl, os, sys\n"
        "for path in sys.argv[1:]:\n"
        "    file = os.open(path, os.O_RDWR)\n"
        "    try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    except BlockingIOError: print(os.path.basename(path))\n"
    )
    argv = [sys.executable, "-c", program, *map(str, sorted(directory.glob("*.lock")))]
    return set(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.split())


def test_two_sessions_have_different_gpus_at_once(directory: Path, other: Callable[..., Other]) -> None:
    other("session-a", "GPU-0")
    with mine(directory, "GPU-1") as held:
        assert held.uuids == ("GPU-1",)
        assert locked(directory) == {"host.lock", "gpu-GPU-0.lock", "gpu-GPU-1.lock"}
    assert locked(directory) == {"host.lock", "gpu-GPU-0.lock"}


def test_a_gpu_that_is_held_is_an_error_that_says_which_by_whom_and_what_to_do(directory: Path, other: Callable[..., Other]) -> None:
    holder = other("session-a", "GPU-1")
    with pytest.raises(LeaseHeld) as caught:
        mine(directory, "GPU-0", "GPU-1", "GPU-2")
    text = str(caught.value)
    assert f"GPU-1 is leased by process {holder.process.pid} since 2" in text
    assert "pytest in /somewhere" in text
    assert "--dynperf-lease-wait" in text


def test_all_or_none(directory: Path, other: Callable[..., Other]) -> None:
    other("session-a", "GPU-1")
    with pytest.raises(LeaseHeld):
        mine(directory, "GPU-0", "GPU-1", "GPU-2")
    assert locked(directory) == {"host.lock", "gpu-GPU-1.lock"}
    mine(directory, "GPU-0", "GPU-2").release()


def test_the_order_of_the_answer_is_that_of_the_question_and_not_of_the_locks(directory: Path) -> None:
    with mine(directory, "GPU-2", "GPU-0") as held:
        assert held.uuids == ("GPU-2", "GPU-0")


def test_whoever_has_the_host_keeps_out_gpus_and_the_other_way_round(directory: Path, other: Callable[..., Other]) -> None:
    host = other("session-a")
    with pytest.raises(LeaseHeld, match="this host is being measured by process"):
        mine(directory, "GPU-0")
    host.go_on()
    assert host.line() == "released"
    gpus = other("session-a", "GPU-0")
    with pytest.raises(LeaseHeld) as caught:
        acquire_host("session-b", directory=directory, describe="me")
    assert f"this host is being measured by process {gpus.process.pid} since" in str(caught.value)


def test_whoever_has_the_host_may_take_its_gpus(directory: Path) -> None:
    with acquire_host("s", directory=directory, describe="me"):
        with mine(directory, "GPU-0", session="s", share_host=False) as held:
            assert len(held.descriptors) == 1
        assert locked(directory) == {"host.lock"}


def test_another_session_is_waited_for_when_told(directory: Path, other: Callable[..., Other]) -> None:
    holder = other("session-a", "GPU-0")
    waiting = other("session-b", "GPU-0", "GPU-1", held=False, wait_s=60.0)
    # It waits without holding anything: GPU-1 stays free.
    mine(directory, "GPU-1", session="session-c").release()
    holder.go_on()
    assert holder.line() == "released"
    assert waiting.line() == "held"


def test_another_worker_of_the_session_is_waited_for(directory: Path, other: Callable[..., Other]) -> None:
    holder = other("session-a", "GPU-0")
    waiting = other("session-a", "GPU-0", held=False)
    holder.go_on()
    assert waiting.line() == "held"


def test_the_same_process_does_not_wait_for_itself(directory: Path) -> None:
    with mine(directory, "GPU-0"), pytest.raises(LeaseHeld):
        mine(directory, "GPU-0")


def test_crossing_wishes_all_come_true_in_the_end(directory: Path, other: Callable[..., Other]) -> None:
    wishes = (("GPU-0", "GPU-1"), ("GPU-1", "GPU-2"), ("GPU-2", "GPU-0"), ("GPU-0", "GPU-1", "GPU-2"))
    waiting = [other(f"session-{number}", *uuids, held=False, wait_s=60.0) for number, uuids in enumerate(wishes)]
    for process in waiting:
        process.go_on()  # each releases as soon as it has what it wants
    assert [process.line() for process in waiting] == ["held"] * 4


def test_free_after_sigkill(directory: Path, other: Callable[..., Other]) -> None:
    holder = other("session-a", "GPU-0")
    holder.process.kill()
    holder.process.wait()
    mine(directory, "GPU-0").release()
    acquire_host("session-c", directory=directory, describe="me").release()


def test_what_a_killed_holder_of_the_host_left_there_names_nobody_else(directory: Path, other: Callable[..., Other]) -> None:
    directory.mkdir()
    stale = {"session_id": "old", "pid": os.getppid(), "started": "then", "what": "stale"}
    (directory / "host.lock").write_text(json.dumps(stale))
    holder = other("session-a", "GPU-0")
    with pytest.raises(LeaseHeld, match=f"process {holder.process.pid} "):
        acquire_host("session-b", directory=directory, describe="me")


def test_the_file_says_who_holds_it_until_it_is_released(directory: Path) -> None:
    held = mine(directory, "GPU-0")
    facts = json.loads((directory / "gpu-GPU-0.lock").read_text())
    assert (facts["session_id"], facts["pid"], facts["what"]) == ("session-b", os.getpid(), "me")
    held.release()
    held.release()
    assert held.descriptors == ()
    assert (directory / "gpu-GPU-0.lock").read_text() == ""


# ---- orphans


@pytest.fixture
def orphan(directory: Path) -> Iterator[Callable[[GpuLease], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(held: GpuLease) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=held.descriptors)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_worker_that_survived_keeps_its_gpu_and_the_host_leased(
    directory: Path, orphan: Callable[[GpuLease], subprocess.Popen[bytes]]
) -> None:
    held = mine(directory, "GPU-0")
    worker = orphan(held)
    held.release(orphaned=True)
    assert locked(directory) == {"host.lock", "gpu-GPU-0.lock"}
    with pytest.raises(LeaseHeld, match="a process that it started still lives"):
        mine(directory, "GPU-0")
    with mine(directory, "GPU-1"):
        pass
    worker.kill()
    worker.wait()
    with mine(directory, "GPU-0"):
        pass
    assert locked(directory) == set()


def test_an_ordinary_release_frees_the_gpu_under_whoever_inherited_the_file(
    directory: Path, orphan: Callable[[GpuLease], subprocess.Popen[bytes]]
) -> None:
    held = mine(directory, "GPU-0")
    orphan(held)
    held.release()
    assert locked(directory) == set()


def test_the_orphan_of_a_killed_session_is_named(
    directory: Path, other: Callable[..., Other], orphan: Callable[[GpuLease], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_SETTLE_S", 0.2)
    held = mine(directory, "GPU-0")
    worker = orphan(held)
    gone = {"session_id": "old", "pid": 999_999_999, "started": "then", "what": "pytest of yesterday"}
    for descriptor in held.descriptors[:1]:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(gone).encode(), 0)
    for descriptor in held.descriptors:
        os.close(descriptor)  # as the kernel does when a session is killed
    with pytest.raises(LeaseHeld) as caught:
        mine(directory, "GPU-0")
    assert f"process {worker.pid} (" in str(caught.value)
    assert "left over from process 999999999 (pytest of yesterday), which has ended" in str(caught.value)


def test_a_program_started_meanwhile_without_the_descriptors_does_not_hold_it(directory: Path) -> None:
    held = mine(directory, "GPU-0")
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False) as program:
        held.release(orphaned=True)
        assert locked(directory) == set()
        program.communicate()


# ---- looking, and what is refused


def test_looking_who_has_which(directory: Path, other: Callable[..., Other]) -> None:
    holder = other("session-a", "GPU-1", "MIG-1/2/3")
    found = leased_gpus(["GPU-0", "GPU-1", "MIG-1/2/3"], directory)
    assert set(found) == {"GPU-1", "MIG-1/2/3"}
    assert str(holder.process.pid) in found["GPU-1"]
    assert locked(directory) == {"host.lock", "gpu-GPU-1.lock", "gpu-MIG-1_2_3.lock"}


@pytest.mark.parametrize("uuids", [(), ("GPU-0", "GPU-0"), ("../../etc/x",), ("0",), ("GPU-..",), ("GPU-",)])
def test_what_is_no_uuid_is_refused(directory: Path, uuids: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"one GPU at least|not the UUID"):
        mine(directory, *uuids)
    assert not directory.exists()


def test_linked_lock_file_is_refused_and_nothing_is_kept(tmp_path: Path, directory: Path) -> None:
    directory.mkdir()
    (tmp_path / "precious").write_text("precious")
    (directory / "gpu-GPU-1.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(DeploymentError, match="cannot use"):
        mine(directory, "GPU-0", "GPU-1")
    assert (tmp_path / "precious").read_text() == "precious"
    mine(directory, "GPU-0").release()
