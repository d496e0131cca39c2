"""Which GPUs a deployment gets: of the right kind, large enough, left to us, leased to nobody, used by nobody. Pure.

What the driver and the leases say arrives as an argument; the lease itself is taken afterwards, and may fail if somebody was faster.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pytest_dynperf.accelerator.device import Gpu, GpuReading

MEMORY_SLACK = 0.9
"""NVML reports what is usable: 79.6 GiB on a card sold with 80 GB."""
MAX_USED_BYTES = 2 << 30
"""What a GPU may hold while nobody uses it: the driver's own, up to a GiB on large ones. Only counted where processes are not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuNeed:
    """``pattern`` is a part of the product's name, as a word of its own and whatever its case; empty fits every name."""

    count: int
    pattern: str = ""
    memory_gib: float = 0.0

    @property
    def words(self) -> str:
        """``2 GPUs with H100 in the name and ≥ 72 GiB``."""
        noun = "GPU" if self.count == 1 else "GPUs"
        parts = [f"{self.pattern} in the name"] if self.pattern else []
        parts += [f"≥ {self.memory_gib * MEMORY_SLACK:.3g} GiB"] if self.memory_gib else []
        return f"{self.count} {noun}{' with ' if parts else ''}{' and '.join(parts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What can be leased: a whole GPU without MIG, or one MIG instance. ``label`` is for people."""

    uuid: str
    label: str
    name: str
    memory_gib: float


def devices_of(gpus: Sequence[Gpu]) -> tuple[Device, ...]:
    """Whole GPUs and MIG instances in the driver's order. A GPU with MIG enabled is none: programs are given its instances."""
    found: list[Device] = []
    for gpu in gpus:
        if not gpu.mig_enabled:
            found.append(Device(uuid=gpu.uuid, label=f"GPU {gpu.index} ({gpu.name})", name=gpu.name, memory_gib=gpu.memory_gib))
        for number, part in enumerate(gpu.mig):
            label = f"MIG instance {number} of GPU {gpu.index} ({gpu.name})"
            found.append(Device(uuid=part.uuid, label=label, name=gpu.name, memory_gib=part.memory_gib))
    return tuple(found)


def choose_gpus(
    need: GpuNeed,
    gpus: Sequence[Gpu] | Absent,
    *,
    readings: Mapping[str, GpuReading],
    leased: Mapping[str, str],
    allowed: Collection[str] | None = None,
    own_pids: Collection[int] = (),
) -> tuple[str, ...]:
    """UUIDs of the first ``need.count`` devices that will do, in the driver's order, whole GPUs before MIG instances.

    ``leased`` maps a UUID to who holds it. ``allowed`` are those that ``CUDA_VISIBLE_DEVICES`` leaves to us, ``None`` all. A device without
    a reading is taken as it is listed.

    :raises DeploymentError: when there are too few; says of each device why not.
    """
    if isinstance(gpus, Absent):
        msg = f"needs {need.words}, and no GPU is known here: {gpus.reason}"
        raise DeploymentError(msg)
    devices = sorted(devices_of(gpus), key=lambda device: device.uuid.startswith("MIG-"))
    refused: list[str] = []
    found: list[str] = []
    for device in devices:
        if allowed is not None and device.uuid not in allowed:
            why: str | None = "CUDA_VISIBLE_DEVICES leaves it out"
        elif device.uuid in leased:
            why = f"leased by {leased[device.uuid]}"
        else:
            why = _unfit(device, need) or _in_use(readings.get(device.uuid), set(own_pids))
        if why is None:
            found.append(device.uuid)
        else:
            refused.append(f"{device.label}: {why}")
    if len(found) < need.count:
        rest = "; ".join(refused) or "there is no other"
        msg = f"needs {need.words}, found {len(found)} that are free. {rest}"
        raise DeploymentError(msg)
    return tuple(found[: need.count])


def _unfit(device: Device, need: GpuNeed) -> str | None:
    # As a word of its own: "H200" is not meant by "NVIDIA GH200 480GB".
    if need.pattern and not re.search(rf"(?<![A-Za-z0-9]){re.escape(need.pattern)}(?![A-Za-z0-9])", device.name, re.IGNORECASE):
        return f"its name lacks {need.pattern}"
    if device.memory_gib < MEMORY_SLACK * need.memory_gib:
        return f"it has {device.memory_gib:.1f} GiB"
    return None


def _in_use(reading: GpuReading | None, own: set[int]) -> str | None:
    if reading is None:
        return None
    if reading.gone is not None:
        return reading.gone
    if not isinstance(reading.processes, Absent):
        strangers = [process for process in reading.processes if process.pid not in own]
        if strangers:
            return "used by " + ", ".join(
                f"process {process.pid}"
                + ("" if isinstance(process.memory_bytes, Absent) else f" ({process.memory_bytes / 2**20:.0f} MiB)")
                for process in strangers
            )
        if reading.processes:
            return None  # our own: what is in use is ours
    if not isinstance(reading.memory_used_bytes, Absent) and reading.memory_used_bytes > MAX_USED_BYTES:
        return f"{reading.memory_used_bytes / 2**20:.0f} MiB of it are in use by somebody who is not listed"
    return None
