"""Choosing and leasing together, while others have some of the GPUs."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.accelerator.device import Gpu, GpuProcess, GpuReading
from pytest_dynperf.accelerator.in_memory import IDLE, InMemoryGpus
from pytest_dynperf.deployment.gpu_choice import GpuNeed
from pytest_dynperf.deployment.gpu_lease import lease_free_gpus
from pytest_dynperf.deployment.lease import acquire_host
from pytest_dynperf.errors import DeploymentError, LeaseHeld, UsageError
from pytest_dynperf.quantity import Absent
from tests.fakes.gpu_lease_holder import Other

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_dynperf.deployment.lease import GpuLease

GPUS = tuple(Gpu(index=index, uuid=f"GPU-{index}", name="NVIDIA H100", memory_gib=80.0) for index in range(4))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "leases"


@pytest.fixture
def other(directory: Path) -> Iterator[Callable[..., Other]]:
    started: list[Other] = []

    def start(session_id: str, *uuids: str) -> Other:
        started.append(Other(directory, session_id, *uuids))
        assert started[-1].line() == "held"
        return started[-1]

    yield start
    for process in started:
        process.close()


def leased(directory: Path, count: int, **more: object) -> GpuLease:
    source = more.pop("source", InMemoryGpus(GPUS))
    given: dict[str, object] = {"environ": {}, "describe": "me", "same_session_wait_s": 0.0, **more}
    return lease_free_gpus("session-b", GpuNeed(count=count), source, directory=directory, **given)  # type: ignore[arg-type]


def test_those_that_others_have_are_passed_over(directory: Path, other: Callable[..., Other]) -> None:
    other("session-a", "GPU-0")
    other("session-c", "GPU-2")
    with leased(directory, 2) as held:
        assert held.uuids == ("GPU-1", "GPU-3")


def test_two_cases_of_two_gpus_run_side_by_side(directory: Path) -> None:
    with leased(directory, 2) as first, leased(directory, 2) as second:
        assert first.uuids + second.uuids == ("GPU-0", "GPU-1", "GPU-2", "GPU-3")
        with pytest.raises(LeaseHeld) as caught:
            leased(directory, 1)
    assert f"GPU 3 (NVIDIA H100): leased by process {os.getpid()} since" in str(caught.value)


def test_the_one_that_becomes_free_first_is_taken(directory: Path, other: Callable[..., Other]) -> None:
    holders = [other("session-a", f"GPU-{index}") for index in range(4)]

    def pause(_seconds: float) -> None:
        holders[2].go_on()
        assert holders[2].line() in {"released", ""}

    with leased(directory, 1, wait_s=60.0, pause=pause) as held:
        assert held.uuids == ("GPU-2",)


def test_an_own_sibling_is_waited_for_without_being_told(directory: Path, other: Callable[..., Other]) -> None:
    sibling = other("session-b", "GPU-0", "GPU-1", "GPU-2", "GPU-3")

    def pause(_seconds: float) -> None:
        sibling.go_on()
        sibling.line()

    with leased(directory, 1, same_session_wait_s=60.0, pause=pause) as held:
        assert held.uuids == ("GPU-0",)


def test_a_host_that_somebody_has_is_waited_for_too(directory: Path, other: Callable[..., Other]) -> None:
    host = other("session-a")
    with pytest.raises(LeaseHeld, match=f"this host is being measured by process {host.process.pid}"):
        leased(directory, 1)

    def pause(_seconds: float) -> None:
        host.go_on()
        host.line()

    leased(directory, 1, wait_s=60.0, pause=pause).release()


def test_whoever_has_the_host_shares_it_with_nobody(directory: Path) -> None:
    with acquire_host("session-b", directory=directory, describe="me"), leased(directory, 4, share_host=False) as held:
        assert len(held.uuids) == 4


def test_what_no_lease_stands_in_the_way_of_is_refused_at_once(directory: Path, other: Callable[..., Other]) -> None:
    other("session-a", "GPU-0")

    def never(_seconds: float) -> None:
        pytest.fail("it waited")

    with pytest.raises(DeploymentError, match="needs 5 GPUs, found 3 that are free") as caught:
        leased(directory, 5, wait_s=60.0, pause=never)
    assert not isinstance(caught.value, LeaseHeld)
    with pytest.raises(DeploymentError, match="no GPU is known here: no driver"):
        leased(directory, 1, wait_s=60.0, pause=never, source=InMemoryGpus(Absent("no driver")))


def test_a_gpu_that_somebody_uses_without_a_lease_is_passed_over(directory: Path) -> None:
    def script(uuid: str, _number: int) -> GpuReading:
        return replace(IDLE, processes=(GpuProcess(pid=7, memory_bytes=1),)) if uuid == "GPU-0" else IDLE

    with leased(directory, 1, source=InMemoryGpus(GPUS, script)) as held:
        assert held.uuids == ("GPU-1",)


def test_an_outer_choice_is_honoured(directory: Path) -> None:
    with leased(directory, 1, environ={"CUDA_VISIBLE_DEVICES": "2,3"}) as held:
        assert held.uuids == ("GPU-2",)
    with pytest.raises(DeploymentError, match="CUDA_VISIBLE_DEVICES leaves it out"):
        leased(directory, 3, environ={"CUDA_VISIBLE_DEVICES": "2,3"})
    with pytest.raises(UsageError, match="fits 4 devices"):
        leased(directory, 1, environ={"CUDA_VISIBLE_DEVICES": "GPU-"})
