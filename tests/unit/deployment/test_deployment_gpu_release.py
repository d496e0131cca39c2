from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.accelerator.device import Gpu, GpuProcess, GpuReading, unreadable
from pytest_dynperf.accelerator.in_memory import IDLE, InMemoryGpus
from pytest_dynperf.deployment.gpu_release import levels_of, wait_until_released
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20


class Time:
    """A clock that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now, self.waits = 0.0, 0

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.waits += 1


def reading(used_mib: int | Absent, *pids: int) -> GpuReading:
    processes = tuple(GpuProcess(pid=pid, memory_bytes=400 * MIB) for pid in pids)
    return replace(IDLE, memory_used_bytes=used_mib if isinstance(used_mib, Absent) else used_mib * MIB, processes=processes)


def released(readings: Sequence[GpuReading], pids: set[int], deadline: float = 10.0) -> tuple[tuple[str, ...], Time]:
    """The first reading is the level; the last one stays."""
    time = Time()
    gpus = InMemoryGpus(
        (Gpu(index=0, uuid="GPU-a", name="x", memory_gib=80.0),), lambda _, number: readings[min(number, len(readings) - 1)]
    )
    notes = wait_until_released(levels_of(gpus, ["GPU-a"]), pids, deadline, clock=time.clock, pause=time.pause)
    return notes, time


def test_free_at_once() -> None:
    notes, time = released([reading(500), reading(510)], {7})
    assert (notes, time.waits) == ((), 0)


def test_it_waits_for_the_process_and_then_for_the_memory() -> None:
    notes, time = released([reading(500), reading(900, 7), reading(900), reading(700), reading(500)], {7})
    assert (notes, time.waits) == ((), 2)  # 200 MiB more than before are the driver's own


def test_a_process_that_stays_is_named_with_its_memory() -> None:
    with pytest.raises(DeploymentError) as caught:
        released([reading(500), reading(900, 7, 8)], {7})
    text = str(caught.value)
    assert "GPU GPU-a: process 7 is still on it with 400 MiB" in text
    assert "900 MiB are in use, 500 MiB were before (256 MiB more are allowed); other processes on it: 8" in text


def test_memory_that_stays_without_a_process_is_an_error_too() -> None:
    with pytest.raises(DeploymentError, match=r"757 MiB are in use, 500 MiB were before .*no other process is listed"):
        released([reading(500), reading(757)], {7})


def test_a_stranger_is_not_waited_for() -> None:
    notes, time = released([reading(500, 8), reading(500, 8)], {7})
    assert (notes, time.waits) == ((), 0)


def test_it_looks_once_more_at_the_deadline() -> None:
    with pytest.raises(DeploymentError):
        released([reading(500), reading(500, 7)], {7}, deadline=-1.0)
    assert released([reading(500), reading(500)], {7}, deadline=-1.0)[0] == ()


def test_a_gpu_that_goes_away_is_an_error_at_once() -> None:
    with pytest.raises(DeploymentError, match="went away while its deployment was stopped: lost"):
        released([reading(500), unreadable("GPU-a", "lost", gone=True)], {7})


@pytest.mark.parametrize(
    ("readings", "parts"),
    [
        ([reading(Absent("planted")), reading(900)], ["memory is back is unknown: planted"]),
        ([reading(500), reading(Absent("planted"))], ["memory is back is unknown: planted"]),
        ([reading(500), replace(reading(500), processes=Absent("planted"))], ["processes have ended is unknown: planted"]),
        ([reading(500), unreadable("GPU-a", "planted", gone=False)], ["processes have ended", "memory is back"]),
    ],
)
def test_what_the_driver_does_not_tell_is_a_note_and_never_a_proof(readings: list[GpuReading], parts: list[str]) -> None:
    notes, _ = released(readings, {7})
    assert len(notes) == len(parts)
    assert all(part in note for part, note in zip(parts, notes, strict=True))
