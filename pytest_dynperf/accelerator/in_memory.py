"""GPUs that exist in memory alone: for logic and tests. Always ``fake``."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.accelerator.device import Gpu, GpuReading, unreadable
from pytest_dynperf.accelerator.source import FAKE
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IDLE = GpuReading(
    uuid="",
    sm_clock_hz=1.98e9,
    memory_clock_hz=2.6e9,
    clock_reasons=0,
    temperature_celsius=40.0,
    power_w=90.0,
    utilization=0.0,
    memory_used_bytes=500 << 20,
    ecc_uncorrected=0,
    processes=(),
    xids=(),
)
"""A cool GPU on which nothing runs; ``uuid`` is to be replaced."""


class InMemoryGpus:
    """``script(uuid, number)`` is the reading number 0, 1, 2, … of a device; without a script, all of them are idle."""

    def __init__(self, gpus: Sequence[Gpu] | Absent, script: Callable[[str, int], GpuReading] | None = None) -> None:
        self._gpus = gpus if isinstance(gpus, Absent) else tuple(gpus)
        self._script = script
        self._asked: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def source(self) -> str:
        """Always ``fake``."""
        return FAKE

    @property
    def why(self) -> str:
        """That there is no library at all."""
        return "the GPUs exist in memory alone"

    def gpus(self) -> tuple[Gpu, ...] | Absent:
        """Those that were given."""
        return self._gpus

    def reading(self, uuid: str) -> GpuReading:
        """The next reading of the script."""
        if isinstance(self._gpus, Absent):
            return unreadable(uuid, self._gpus.reason, gone=False)
        if not any(uuid in (gpu.uuid, *(part.uuid for part in gpu.mig)) for gpu in self._gpus):
            return unreadable(uuid, f"there is no device {uuid}", gone=True)
        with self._lock:
            number = self._asked.get(uuid, 0)
            self._asked[uuid] = number + 1
        return replace(IDLE if self._script is None else self._script(uuid, number), uuid=uuid)

    def close(self) -> None:
        """Nothing is held."""
