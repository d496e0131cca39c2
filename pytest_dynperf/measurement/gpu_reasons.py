"""NVML's clock event reasons (bit mask): which of them forbid judging, and what they mean for whoever reads. Pure.

Source: ``nvmlClocksEventReasons`` in nvml.h. ``HW slowdown`` is the umbrella of the two others of hardware on newer drivers, and the only
one on older ones.
"""

from __future__ import annotations

POWER_CAP = 0x4
HW_SLOWDOWN = 0x8

FORBIDDEN = {
    HW_SLOWDOWN: "hardware slowdown (HwSlowdown): clocks were halved or worse by heat, power or the mainboard",
    0x20: "software thermal slowdown (SwThermalSlowdown): the driver lowered the clocks because of heat",
    0x40: "hardware thermal slowdown (HwThermalSlowdown): the chip halved its clocks or worse because of heat",
    0x80: "hardware power brake (HwPowerBrake): the power supply asked for lower clocks",
}
_DETAILS = 0x40 | 0x80


def forbidden(mask: int) -> tuple[int, ...]:
    """Bits of ``mask`` that forbid judging; the umbrella only where it stands alone."""
    bits = tuple(bit for bit in FORBIDDEN if mask & bit)
    return tuple(bit for bit in bits if bit != HW_SLOWDOWN) if mask & _DETAILS else bits
