"""What is known of GPUs, as values. A field that could not be read is :class:`~pytest_dynperf.quantity.Absent`: unknown, never fine."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_dynperf.quantity import Absent

_NOT_ASKED = Absent("not asked for")


@dataclass(frozen=True, slots=True, kw_only=True)
class MigInstance:
    """A part of a GPU with memory and compute units of its own. Clocks, power and heat are the whole GPU's."""

    uuid: str
    memory_gib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One device as NVML lists it. ``memory_gib`` is its total memory, what the driver keeps for itself included.

    With ``mig_enabled`` a program is given one of ``mig``, never the whole; there may be none.
    """

    index: int
    uuid: str
    name: str
    memory_gib: float
    driver_version: str | Absent = _NOT_ASKED
    mig_enabled: bool = False
    mig: tuple[MigInstance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process with a context on a GPU. ``pid`` is as the driver gives it: the host's, or that of the caller's namespace (open kernel
    modules translate it). ``memory_bytes`` is absent where the driver does not say, as in many containers.
    """

    pid: int
    memory_bytes: int | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """One GPU, or MIG instance, at one moment. Clocks in Hz, temperature in °C, power in W, utilization as a fraction of the driver's last
    sampling period (1/6 to 1 s).

    ``gone`` says why the device is no longer there; everything else is then absent. ``clock_reasons`` is NVML's bit mask of clock event
    (throttle) reasons. ``ecc_uncorrected`` counts since the driver was loaded. ``xids`` are the codes of critical errors since the last
    reading of this device. Of a MIG instance, clocks, reasons, heat, power and ECC are its GPU's.
    """

    uuid: str
    gone: str | None = None
    sm_clock_hz: float | Absent
    memory_clock_hz: float | Absent
    clock_reasons: int | Absent
    temperature_celsius: float | Absent
    power_w: float | Absent
    utilization: float | Absent
    memory_used_bytes: int | Absent
    ecc_uncorrected: int | Absent
    processes: tuple[GpuProcess, ...] | Absent
    xids: tuple[int, ...] | Absent


def unreadable(uuid: str, why: str, *, gone: bool) -> GpuReading:
    """A reading in which everything is absent for the same reason."""
    absent = Absent(why)
    return GpuReading(
        uuid=uuid,
        gone=why if gone else None,
        sm_clock_hz=absent,
        memory_clock_hz=absent,
        clock_reasons=absent,
        temperature_celsius=absent,
        power_w=absent,
        utilization=absent,
        memory_used_bytes=absent,
        ecc_uncorrected=absent,
        processes=absent,
        xids=absent,
    )
