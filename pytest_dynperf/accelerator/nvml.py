"""Which GPUs the driver knows. Unknown is never *none*: where NVML cannot say, the answer is Absent with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One device as NVML lists it. ``memory_gib`` is its total memory, what the driver keeps for itself included."""

    index: int
    uuid: str
    name: str
    memory_gib: float


def list_gpus() -> tuple[Gpu, ...] | Absent:
    """Every GPU in NVML's order; an empty tuple when a driver is there and has none. Never raises. 20 to 200 ms with a driver."""
    try:
        import pynvml
    except ImportError:
        return Absent("the Python package nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
        try:
            return tuple(_gpu(pynvml, index) for index in range(int(pynvml.nvmlDeviceGetCount())))
        finally:
            pynvml.nvmlShutdown()
    except Exception as error:  # noqa: BLE001 -- a driver that misbehaves in any way leaves the GPUs unknown, it does not end the session
        return Absent(_reason(pynvml, error))


def _gpu(pynvml: ModuleType, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_gib=float(memory.total) / 2**30,
    )


def _text(value: str | bytes) -> str:
    """Bindings before 11.5 answer bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _reason(pynvml: ModuleType, error: Exception) -> str:
    known = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver library (libnvidia-ml.so.1)",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed but not loaded",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver and its library differ in version: reload the driver or reboot",
        pynvml.NVML_ERROR_NO_PERMISSION: "no permission to talk to the NVIDIA driver",
    }
    code = getattr(error, "value", None)
    return known.get(code) or f"the NVIDIA driver library failed: {error}"
