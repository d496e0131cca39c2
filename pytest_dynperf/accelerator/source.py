"""What leases, plan and telemetry ask of GPUs: the one interface, whatever stands behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pytest_dynperf.environment import FAKE, GPU_SOURCE
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.accelerator.device import Gpu, GpuReading

NVML = "nvml"

__all__ = ["FAKE", "GPU_SOURCE", "NVML", "GpuSource", "gpu_key", "gpu_provenance"]


class GpuSource(Protocol):
    """Somebody who knows the GPUs. No method raises: what cannot be learnt is absent, with the reason. Safe to use from several threads."""

    @property
    def source(self) -> str:
        """``nvml`` where the kernel's driver answers, else ``fake``: what a fake says can be tested with, never become a baseline."""
        ...

    @property
    def why(self) -> str:
        """What shows that the source is what it says, for people."""
        ...

    def gpus(self) -> tuple[Gpu, ...] | Absent:
        """Every GPU in NVML's order, empty where a driver is there and has none."""
        ...

    def reading(self, uuid: str) -> GpuReading:
        """The GPU or MIG instance ``uuid`` now."""
        ...

    def close(self) -> None:
        """Let go of the driver; may be called again."""
        ...


def gpu_provenance(source: GpuSource) -> dict[str, str]:
    """``gpu_source``, ``gpu.driver`` and where they come from, for the provenance of an environment whose GPUs ``source`` knows.

    The same keys whether or not something could be learnt; ``unknown`` with the reason where not.
    """
    found = source.gpus()
    if isinstance(found, Absent):
        driver = f"unknown: {found.reason}"
    else:
        versions = {
            f"unknown: {one.driver_version.reason}" if isinstance(one.driver_version, Absent) else one.driver_version for one in found
        }
        driver = ", ".join(sorted(versions)) or "unknown: no GPU"
    return {GPU_SOURCE: source.source, f"{GPU_SOURCE}.why": source.why, "gpu.driver": driver}


def gpu_key(gpus: Sequence[Gpu], uuids: Sequence[str], *, exclusive: str = "host") -> dict[str, str]:
    """What binds comparability of a deployment on ``uuids``: ``gpu.sku``, ``gpu.count``, ``gpu.memory_gib`` and, where it is not the whole
    host that was leased, ``exclusive``. A MIG instance is a kind of its own: ``NVIDIA H100 80GB HBM3 MIG 10 GiB``.
    """
    kinds: list[tuple[str, float]] = []
    for gpu in gpus:
        kinds += [(gpu.name, gpu.memory_gib)] if gpu.uuid in uuids else []
        kinds += [(f"{gpu.name} MIG {part.memory_gib:.0f} GiB", part.memory_gib) for part in gpu.mig if part.uuid in uuids]
    facts = {
        "gpu.sku": ", ".join(sorted({name for name, _ in kinds})),
        "gpu.count": str(len(kinds)),
        "gpu.memory_gib": ", ".join(sorted({f"{memory:.0f}" for _, memory in kinds})),
    }
    return facts if exclusive == "host" else {**facts, "exclusive": exclusive}
