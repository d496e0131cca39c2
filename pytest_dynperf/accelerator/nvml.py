"""The real driver, through the binding of nvidia-ml-py. Unknown is never *none*: where NVML cannot say, the answer is Absent."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_dynperf.accelerator.device import Gpu, GpuProcess, GpuReading, MigInstance, unreadable
from pytest_dynperf.accelerator.kernel_driver import backing
from pytest_dynperf.accelerator.source import FAKE, NVML
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from pytest_dynperf.accelerator.source import GpuSource

Answer = TypeVar("Answer")

PATIENCE_S = 5.0
"""A driver that is asked for a GPU that hangs may not answer for minutes; whoever comes second waits no longer than this."""

__all__ = ["Gpu", "list_gpus", "open_nvml"]


def open_nvml() -> GpuSource | Absent:
    """NVML, initialised, or why it cannot be. Never raises. 20 to 200 ms with a driver; close it."""
    try:
        import pynvml
    except ImportError:
        return Absent("the Python package nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except Exception as error:  # noqa: BLE001 -- a driver that misbehaves in any way leaves the GPUs unknown, it does not end the session
        return Absent(_reason(pynvml, error))
    return _Nvml(pynvml)


def list_gpus() -> tuple[Gpu, ...] | Absent:
    """Every GPU in NVML's order; an empty tuple when a driver is there and has none. Never raises. 20 to 200 ms with a driver."""
    opened = open_nvml()
    if isinstance(opened, Absent):
        return opened
    try:
        return opened.gpus()
    finally:
        opened.close()


class _Nvml:
    """Between ``nvmlInit`` and ``nvmlShutdown``. One call of a reading takes the driver 10 µs to some ms; the lock is held for all of them,
    because handles and event sets are made once.
    """

    def __init__(self, pynvml: ModuleType) -> None:
        self._nvml: Any = pynvml
        self._lock = threading.Lock()
        self._open = True
        self._handles: dict[str, tuple[Any, Any]] = {}  # the device itself, and the GPU that it is a part of
        self._events: dict[str, Any] = {}
        genuine, self._why = backing(self._driver_version())
        self._source = NVML if genuine else FAKE

    @property
    def source(self) -> str:
        """``nvml`` where the kernel's driver says the version that the library says."""
        return self._source

    @property
    def why(self) -> str:
        """The two versions."""
        return self._why

    def gpus(self) -> tuple[Gpu, ...] | Absent:
        """Every GPU; one that fails leaves all unknown, because what is missing would be taken for what is not there."""
        with self._alone() as mine:
            if not mine:
                return Absent(_BUSY)
            driver = self._driver_version()
            try:
                return tuple(self._gpu(index, driver) for index in range(int(self._nvml.nvmlDeviceGetCount())))
            except Exception as error:  # noqa: BLE001 -- as in open_nvml
                return Absent(_reason(self._nvml, error))

    def reading(self, uuid: str) -> GpuReading:
        """Eleven calls of the driver, and what they say."""
        with self._alone() as mine:
            if not mine or not self._open:
                return unreadable(uuid, "NVML was closed" if mine else _BUSY, gone=False)
            try:
                device, gpu = self._handle(uuid)
            except Exception as error:  # noqa: BLE001 -- as in open_nvml
                return unreadable(uuid, _reason(self._nvml, error), gone=_is_lost(error) or _is_unknown(error))
            try:
                return self._read(uuid, device, gpu)
            except _GoneError as error:
                return unreadable(uuid, str(error), gone=True)

    def close(self) -> None:
        """Free the event sets, and shut NVML down. Where a call hangs, both are left to the end of the process."""
        with self._alone() as mine:
            if not mine or not self._open:
                return
            self._open = False
            for events in self._events.values():
                if not isinstance(events, Absent):
                    self._asked(partial(self._nvml.nvmlEventSetFree, events), lost_matters=False)
            self._asked(self._nvml.nvmlShutdown, lost_matters=False)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        mine = self._lock.acquire(timeout=PATIENCE_S)
        try:
            yield mine
        finally:
            if mine:
                self._lock.release()

    def _driver_version(self) -> str | Absent:
        return self._asked(lambda: _text(self._nvml.nvmlSystemGetDriverVersion()), lost_matters=False)

    def _gpu(self, index: int, driver: str | Absent) -> Gpu:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        mode = self._asked(lambda: nvml.nvmlDeviceGetMigMode(handle)[0], lost_matters=False)
        enabled = not isinstance(mode, Absent) and mode == nvml.NVML_DEVICE_MIG_ENABLE
        return Gpu(
            index=index,
            uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
            name=_text(nvml.nvmlDeviceGetName(handle)),
            memory_gib=_gib(nvml, handle),
            driver_version=driver,
            mig_enabled=enabled,
            mig=tuple(self._instances(handle)) if enabled else (),
        )

    def _instances(self, handle: Any) -> list[MigInstance]:
        nvml, found = self._nvml, []
        for number in range(int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle))):
            try:
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
            except nvml.NVMLError as error:
                if error.value == nvml.NVML_ERROR_NOT_FOUND:  # numbers may have holes
                    continue
                raise
            found.append(MigInstance(uuid=_text(nvml.nvmlDeviceGetUUID(part)), memory_gib=_gib(nvml, part)))
        return found

    def _handle(self, uuid: str) -> tuple[Any, Any]:
        if uuid not in self._handles:
            device = self._nvml.nvmlDeviceGetHandleByUUID(uuid.encode())
            gpu = self._nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device) if uuid.startswith("MIG-") else device
            self._handles[uuid] = device, gpu
        return self._handles[uuid]

    def _read(self, uuid: str, device: Any, gpu: Any) -> GpuReading:
        nvml = self._nvml
        uncorrected, volatile = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        return GpuReading(
            uuid=uuid,
            sm_clock_hz=self._asked(lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM) * 1e6),
            memory_clock_hz=self._asked(lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM) * 1e6),
            clock_reasons=self._clock_reasons(gpu),
            temperature_celsius=self._asked(lambda: float(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))),
            power_w=self._asked(lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3),
            utilization=self._asked(lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100),
            memory_used_bytes=self._asked(lambda: int(nvml.nvmlDeviceGetMemoryInfo(device).used)),
            ecc_uncorrected=self._asked(lambda: int(nvml.nvmlDeviceGetTotalEccErrors(gpu, uncorrected, volatile))),
            processes=self._processes(device),
            xids=self._xids(uuid, gpu),
        )

    def _clock_reasons(self, gpu: Any) -> int | Absent:
        nvml = self._nvml
        found = self._asked(lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)))
        if isinstance(found, Absent):  # the name before driver 535
            older = self._asked(lambda: int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)))
            return found if isinstance(older, Absent) else older
        return found

    def _processes(self, device: Any) -> tuple[GpuProcess, ...] | Absent:
        """Those that compute, under MPS too, and those that draw; a program that does both is one."""
        nvml = self._nvml
        computing = self._asked(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(device))
        if isinstance(computing, Absent):
            return computing
        found: dict[int, int | None] = {}
        others = (nvml.nvmlDeviceGetMPSComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses)
        for more in (computing, *(self._asked(partial(ask, device)) for ask in others)):
            for process in () if isinstance(more, Absent) else more:
                known, said = found.get(process.pid), process.usedGpuMemory
                found[process.pid] = said if known is None else known if said is None else max(known, said)
        nobody_says = Absent("the driver does not say how much memory the process uses")
        return tuple(GpuProcess(pid=int(pid), memory_bytes=nobody_says if used is None else int(used)) for pid, used in found.items())

    def _xids(self, uuid: str, gpu: Any) -> tuple[int, ...] | Absent:
        if uuid not in self._events:
            self._events[uuid] = self._asked(lambda: self._registered(gpu))
        events = self._events[uuid]
        codes: list[int] = []
        if isinstance(events, Absent):
            return events
        while True:
            found = self._asked(lambda: self._next_xid(events))
            if isinstance(found, Absent):
                return found
            if found is None or len(codes) > 1000:  # a GPU may raise them without end
                return tuple(codes)
            codes.append(found)

    def _registered(self, gpu: Any) -> Any:
        events = self._nvml.nvmlEventSetCreate()
        try:
            self._nvml.nvmlDeviceRegisterEvents(gpu, self._nvml.nvmlEventTypeXidCriticalError, events)
        except BaseException:
            self._nvml.nvmlEventSetFree(events)
            raise
        return events

    def _next_xid(self, events: Any) -> int | None:
        try:
            return int(self._nvml.nvmlEventSetWait_v2(events, 0).eventData)
        except self._nvml.NVMLError as error:
            if error.value == self._nvml.NVML_ERROR_TIMEOUT:
                return None
            raise

    def _asked(self, ask: Callable[[], Answer], *, lost_matters: bool = True) -> Answer | Absent:
        try:
            return ask()
        except Exception as error:
            if lost_matters and _is_lost(error):
                raise _GoneError(_reason(self._nvml, error)) from error
            return Absent(_reason(self._nvml, error))


class _GoneError(Exception):
    """The device is no longer there."""


_BUSY = f"NVML has not answered another question for {PATIENCE_S:g} s"


def _is_lost(error: Exception) -> bool:
    return getattr(error, "value", None) in {15, 16}  # NVML_ERROR_GPU_IS_LOST, NVML_ERROR_RESET_REQUIRED


def _is_unknown(error: Exception) -> bool:
    return getattr(error, "value", None) in {6, 28}  # NVML_ERROR_NOT_FOUND, NVML_ERROR_GPU_NOT_FOUND (not in every binding)


def _gib(nvml: Any, handle: Any) -> float:
    return float(nvml.nvmlDeviceGetMemoryInfo(handle).total) / 2**30


def _text(value: str | bytes) -> str:
    """Bindings before 11.5 answer bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _reason(pynvml: ModuleType, error: Exception) -> str:
    known = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver library (libnvidia-ml.so.1)",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed but not loaded",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver and its library differ in version: reload the driver or reboot",
        pynvml.NVML_ERROR_NO_PERMISSION: "no permission to talk to the NVIDIA driver",
        pynvml.NVML_ERROR_NOT_SUPPORTED: "not supported by this GPU or driver",
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "the NVIDIA driver library is too old to say",
        pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU is lost: it has fallen off the bus or cannot be reached any more",
        pynvml.NVML_ERROR_NOT_FOUND: "the driver does not know this GPU",
    }
    too_old = isinstance(error, getattr(pynvml, "NVMLLibraryMismatchError", ()))  # what lists of processes raise in its place
    code = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND if too_old else getattr(error, "value", None)
    return known.get(code) or f"the NVIDIA driver library failed: {error}"
