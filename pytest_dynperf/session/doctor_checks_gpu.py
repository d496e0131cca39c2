"""Checks of GPUs. Pure: facts and a need in, findings out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_dynperf.quantity import Absent
from pytest_dynperf.session.doctor_finding import Fine, Lack, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_dynperf.accelerator.device import Gpu
    from pytest_dynperf.session.doctor_facts import Facts, GpuFacts
    from pytest_dynperf.session.doctor_finding import Finding
    from pytest_dynperf.session.doctor_need import Need

_MEMORY_SLACK = 0.9
"""As in :mod:`pytest_dynperf.scenario.selection`: NVML reports what is usable."""

_SLOWED = {
    0x08: "hardware slowdown",
    0x20: "too hot, by software",
    0x40: "too hot, by hardware",
    0x80: "power brake of the machine",
}
"""NVML's clock event reasons that are there although nothing runs."""


def gpus(facts: Facts, need: Need) -> Iterator[Finding]:
    """Driver, kind, count, memory; then for those that fit: processes, MIG, persistence, ECC, clocks."""
    if not need.gpu_count or need.attached:
        return
    found = facts.gpu.gpus
    if isinstance(found, Absent):
        yield Lack(
            id="gpu.driver",
            severity=Severity.MISSING,
            what="NVIDIA driver",
            found=found.reason,
            remedy="install and load NVIDIA's driver on this host (in a container: start it with --gpus all), or run where there are GPUs",
        )
        return
    versions = sorted({str(gpu.driver_version) for gpu in found if not isinstance(gpu.driver_version, Absent)})
    if facts.gpu.genuine:
        yield Fine(id="gpu.driver", what="NVIDIA driver", found=", ".join(versions) or "there, version unknown")
    else:
        yield Lack(
            id="gpu.driver",
            severity=Severity.WARNING,
            what="NVIDIA driver",
            found=facts.gpu.why,
            remedy="nothing that is measured becomes a baseline; take the simulated library out of LD_LIBRARY_PATH, or reload the driver",
        )
    fitting = _fitting(found, need)
    yield _count(found, fitting, need)
    for gpu in fitting:
        yield from _one(gpu, facts.gpu)


def _fitting(found: Sequence[Gpu], need: Need) -> list[Gpu]:
    # As a word of its own: "H200" is not meant by "NVIDIA GH200 480GB".
    pattern = re.compile(rf"(?<![A-Za-z0-9]){re.escape(need.platform.gpu_pattern)}(?![A-Za-z0-9])", re.IGNORECASE)
    return [gpu for gpu in found if pattern.search(gpu.name) and gpu.memory_gib >= _MEMORY_SLACK * need.platform.gpu_memory_gib]


def _count(found: Sequence[Gpu], fitting: Sequence[Gpu], need: Need) -> Finding:
    platform = need.platform
    wanted = f"{need.gpu_count} x {platform.gpu_pattern} ({platform.gpu_memory_gib:g} GiB)"
    if len(fitting) >= need.gpu_count:
        return Fine(id="gpu.count", what="GPUs", found=f"{len(fitting)} x {fitting[0].name}, needed are {wanted}")
    kinds: dict[str, int] = {}
    for gpu in found:
        name = f"{gpu.name} ({gpu.memory_gib:.0f} GiB)"
        kinds[name] = kinds.get(name, 0) + 1
    here = ", ".join(f"{number} x {name}" for name, number in kinds.items()) or "none"
    return Lack(
        id="gpu.count",
        severity=Severity.MISSING,
        what="GPUs",
        found=f"{here}, needed are {wanted}",
        remedy="run where they are; or write a platform of your own for these GPUs (docs/scenario.md), with a model that fits them",
    )


def _one(gpu: Gpu, facts: GpuFacts) -> Iterator[Finding]:
    name = f"GPU {gpu.index}"
    if gpu.mig_enabled:
        yield Lack(
            id="gpu.mig",
            severity=Severity.WARNING,
            what=f"{name}: MIG",
            found=f"on, {len(gpu.mig)} instances: no program gets the whole GPU",
            remedy=f"switch it off: nvidia-smi -i {gpu.index} -mig 0 (as root, with nothing on the GPU)",
        )
    yield from _processes(gpu, facts, name)
    yield from _modes(gpu, facts, name)
    yield from _clocks(gpu, facts, name)


def _processes(gpu: Gpu, facts: GpuFacts, name: str) -> Iterator[Finding]:
    reading = facts.readings.get(gpu.uuid)
    if reading is None:
        return
    if isinstance(reading.processes, Absent):
        yield Lack(
            id="gpu.processes",
            severity=Severity.UNKNOWN,
            what=f"{name}: processes",
            found=f"unknown: {reading.processes.reason}",
            remedy="look with nvidia-smi on the host: in a container the driver may not list what runs outside",
        )
    elif reading.processes:
        who = ", ".join(f"{facts.names.get(process.pid, 'process')} ({process.pid})" for process in reading.processes[:5])
        yield Lack(
            id="gpu.processes",
            severity=Severity.MISSING,
            what=f"{name}: processes",
            found=f"{who} {'has' if len(reading.processes) == 1 else 'have'} a context on it",
            remedy="end them, or measure on another GPU: a foreign process makes runs invalid",
        )
    else:
        yield Fine(id="gpu.processes", what=f"{name}: processes", found="none")


def _modes(gpu: Gpu, facts: GpuFacts, name: str) -> Iterator[Finding]:
    mode = facts.modes.get(gpu.uuid)
    if mode is None:
        return
    if mode.persistence is False:
        yield Lack(
            id="gpu.persistence",
            severity=Severity.WARNING,
            what=f"{name}: persistence mode",
            found="off: the driver is loaded and set up anew whenever the last program leaves",
            remedy=f"switch it on: nvidia-smi -i {gpu.index} -pm 1 (as root), or run nvidia-persistenced",
        )
    if mode.ecc is False:
        yield Lack(
            id="gpu.ecc",
            severity=Severity.WARNING,
            what=f"{name}: ECC",
            found="off: memory is faster and larger than where it is on, and errors go unseen",
            remedy=f"switch it on, as servers have it: nvidia-smi -i {gpu.index} -e 1 (as root, then reboot)",
        )


def _clocks(gpu: Gpu, facts: GpuFacts, name: str) -> Iterator[Finding]:
    reading, mode = facts.readings.get(gpu.uuid), facts.modes.get(gpu.uuid)
    if reading is not None and not isinstance(reading.clock_reasons, Absent):
        slowed = [words for bit, words in _SLOWED.items() if reading.clock_reasons & bit]
        if slowed:
            yield Lack(
                id="gpu.clocks",
                severity=Severity.WARNING,
                what=f"{name}: clocks",
                found=f"held down: {', '.join(slowed)}",
                remedy="look at cooling and power supply: nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER",
            )
    if mode is None or isinstance(mode.sm_clock_set_hz, Absent) or isinstance(mode.sm_clock_usual_hz, Absent):
        return
    if mode.sm_clock_set_hz < 0.99 * mode.sm_clock_usual_hz:
        yield Lack(
            id="gpu.clocks.limit",
            severity=Severity.WARNING,
            what=f"{name}: application clock",
            found=f"set to {mode.sm_clock_set_hz / 1e6:.0f} MHz, usual are {mode.sm_clock_usual_hz / 1e6:.0f} MHz",
            remedy="if that is not meant, lift it: nvidia-smi -rac (as root); if it is, keep it so for every session that is compared",
        )
