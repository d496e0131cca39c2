"""The doctor looks at GPUs: what NVML lists, what runs on them, and how they are set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psutil

from pytest_dynperf.accelerator.nvml import open_nvml
from pytest_dynperf.accelerator.source import NVML
from pytest_dynperf.quantity import Absent
from pytest_dynperf.session.doctor_facts import GpuFacts, GpuMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def look_at_gpus() -> GpuFacts:
    """Every GPU, its processes, clocks and settings. Never raises. 20 to 500 ms with a driver."""
    source = open_nvml()
    if isinstance(source, Absent):
        return GpuFacts(gpus=source)
    try:
        gpus = source.gpus()
        if isinstance(gpus, Absent):
            return GpuFacts(gpus=gpus)
        readings = {gpu.uuid: source.reading(gpu.uuid) for gpu in gpus}
        pids = {process.pid for one in readings.values() if not isinstance(one.processes, Absent) for process in one.processes}
        return GpuFacts(
            gpus=gpus,
            readings=readings,
            modes={gpu.uuid: _mode(gpu.uuid) for gpu in gpus},
            genuine=source.source == NVML,
            why=source.why,
            names=_names(pids),
        )
    finally:
        source.close()


def _mode(uuid: str) -> GpuMode:
    import pynvml

    nvml: Any = pynvml

    def asked(ask: Callable[[Any], float]) -> float | Absent:
        try:
            return ask(nvml.nvmlDeviceGetHandleByUUID(uuid.encode()))
        except Exception as error:  # noqa: BLE001 -- a driver that misbehaves in any way leaves the setting unknown
            return Absent(f"the NVIDIA driver library does not say: {error}")

    def switch(ask: Callable[[Any], float]) -> bool | Absent:
        found = asked(ask)
        return found if isinstance(found, Absent) else bool(found)

    return GpuMode(
        persistence=switch(nvml.nvmlDeviceGetPersistenceMode),
        ecc=switch(lambda handle: nvml.nvmlDeviceGetEccMode(handle)[0]),
        sm_clock_set_hz=asked(lambda handle: nvml.nvmlDeviceGetApplicationsClock(handle, nvml.NVML_CLOCK_SM) * 1e6),
        sm_clock_usual_hz=asked(lambda handle: nvml.nvmlDeviceGetDefaultApplicationsClock(handle, nvml.NVML_CLOCK_SM) * 1e6),
    )


def _names(pids: Iterable[int]) -> dict[int, str]:
    """Programs of those that this machine knows: in a container the driver gives the host's numbers."""
    found = {}
    for pid in pids:
        try:
            found[pid] = psutil.Process(pid).name()
        except psutil.Error:
            continue
    return found
