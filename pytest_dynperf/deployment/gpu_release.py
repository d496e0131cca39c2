"""Waiting until a deployment's GPUs are free again: its processes gone from the driver's list, and its memory back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pytest_dynperf.accelerator.source import GpuSource

SLACK_BYTES = 256 << 20
"""By how much more may be in use than before: the driver keeps some pages of a program that has ended."""
_POLL_S = 0.05
_SLOWEST_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLevels:
    """What ``gpus`` said of each device before anything was started on it: memory in use in bytes, absent where it does not say."""

    gpus: GpuSource
    used_bytes: Mapping[str, int | Absent]


def levels_of(gpus: GpuSource, uuids: Sequence[str]) -> GpuLevels:
    """To be called when the GPUs are leased, and before the first service starts."""
    return GpuLevels(gpus=gpus, used_bytes={uuid: gpus.reading(uuid).memory_used_bytes for uuid in uuids})


def wait_until_released(
    gpus: GpuLevels,
    pids: Collection[int],
    deadline: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[str, ...]:
    """Return when no process of ``pids`` is on the GPUs any more and memory is back at its level, by ``deadline`` (``time.monotonic``).

    What the driver does not tell is not waited for: the notes that are returned say what was left unproven. Looks once at least.

    :raises DeploymentError: naming GPU, pid and MiB, at the deadline; at once for a GPU that is gone.
    """
    delay_s = _POLL_S
    while True:
        held: list[str] = []
        notes: list[str] = []
        for uuid, before in gpus.used_bytes.items():
            still, unknown = _held(gpus.gpus, uuid, before, set(pids))
            held += still
            notes += unknown
        if not held:
            return tuple(notes)
        left_s = deadline - clock()
        if left_s <= 0:
            msg = (
                f"a deployment was stopped and its GPUs are not free: {'; '.join(held)}. End these processes (nvidia-smi lists them); "
                "nothing else is started on these GPUs meanwhile"
            )
            raise DeploymentError(msg)
        pause(min(delay_s, left_s))
        delay_s = min(2 * delay_s, _SLOWEST_POLL_S)


def _held(gpus: GpuSource, uuid: str, before: int | Absent, pids: set[int]) -> tuple[list[str], list[str]]:
    """What still holds one device, and what cannot be told of it."""
    reading = gpus.reading(uuid)
    if reading.gone is not None:
        msg = f"GPU {uuid} went away while its deployment was stopped: {reading.gone}"
        raise DeploymentError(msg)
    held, notes = [], []
    if isinstance(reading.processes, Absent):
        notes.append(f"GPU {uuid}: whether its processes have ended is unknown: {reading.processes.reason}")
    else:
        for process in reading.processes:
            if process.pid in pids:
                used = "" if isinstance(process.memory_bytes, Absent) else f" with {process.memory_bytes / 2**20:.0f} MiB"
                held.append(f"GPU {uuid}: process {process.pid} is still on it{used}")
    used_now = reading.memory_used_bytes
    if isinstance(before, Absent) or isinstance(used_now, Absent):
        reason = before.reason if isinstance(before, Absent) else used_now.reason if isinstance(used_now, Absent) else ""
        notes.append(f"GPU {uuid}: whether its memory is back is unknown: {reason}")
    elif used_now - before > SLACK_BYTES:
        listed = () if isinstance(reading.processes, Absent) else reading.processes
        others = ", ".join(str(process.pid) for process in listed if process.pid not in pids)
        held.append(
            f"GPU {uuid}: {used_now / 2**20:.0f} MiB are in use, {before / 2**20:.0f} MiB were before ({SLACK_BYTES >> 20} MiB more are "
            f"allowed); {f'other processes on it: {others}' if others else 'no other process is listed'}"
        )
    return held, notes
