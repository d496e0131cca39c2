"""Readings of GPUs as series, and what is to be said of what could not be read. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.observation.series import Series, SeriesKind
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_dynperf.accelerator.device import GpuReading


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One reading with the instant in its middle (CLOCK_MONOTONIC), and whose each of its processes is: pid to (owner, name)."""

    stamp_ns: int
    reading: GpuReading
    owners: Mapping[int, tuple[str, str]]


_GAUGES = (
    (ids.GPU_SM_CLOCK, "sm_clock_hz", "the SM clock"),
    (ids.GPU_MEMORY_CLOCK, "memory_clock_hz", "the memory clock"),
    (ids.GPU_CLOCK_REASONS, "clock_reasons", "whether it was slowed down (clock event reasons)"),
    (ids.GPU_TEMPERATURE, "temperature_celsius", "the temperature"),
    (ids.GPU_POWER, "power_w", "the power"),
    (ids.GPU_UTILIZATION, "utilization", "the utilization"),
    (ids.GPU_MEMORY_USED, "memory_used_bytes", "the memory used"),
)
_OTHERS = (
    ("ecc_uncorrected", "whether there were uncorrected memory errors (ECC)"),
    ("processes", "whether somebody else used it (processes)"),
    ("xids", "whether there were critical errors (Xid)"),
)

_Labels = tuple[tuple[str, str], ...]


def gpu_series(uuid: str, index: int | None, samples: Sequence[GpuSample]) -> tuple[Series, ...]:
    """All series of one device; ``gpu.present`` always, the others where there is a reading. Counters start at 0 with the first reading."""
    labels: _Labels = () if index is None else (("gpu", str(index)),)
    asked = [sample for sample in samples if sample.reading.gone is not None or not _nothing(sample.reading)]
    present = [(sample.stamp_ns, 0.0 if sample.reading.gone is not None else 1.0) for sample in asked]
    found = [_column(ids.GPU_PRESENT, uuid, labels, present)]
    for series_id, field, _ in _GAUGES:
        found.append(_column(series_id, uuid, labels, list(_values(asked, field))))
    found.append(_column(ids.GPU_MEMORY_UNEXPLAINED, uuid, labels, list(_unexplained(asked))))
    found.append(_counted(uuid, labels, list(_values(asked, "ecc_uncorrected"))))
    found += _xids(uuid, labels, asked)
    found += _processes(uuid, labels, asked)
    return tuple(series for series in found if series.id == ids.GPU_PRESENT or series.values)


def gpu_notes(uuid: str, index: int | None, samples: Sequence[GpuSample]) -> tuple[str, ...]:
    """What is unknown of one device, and why: fields that no reading had, processes whose owner nobody knows."""
    name = f"GPU {uuid}" if index is None else f"GPU {index} ({uuid})"
    there = [sample.reading for sample in samples if sample.reading.gone is None]
    if not there:
        return ()
    if all(_nothing(reading) for reading in there):
        return (f"{name}: nothing could be read: {_reason(there[-1].clock_reasons)}",)
    unknown: defaultdict[str, list[str]] = defaultdict(list)
    for field, words in (*((field, words) for _, field, words in _GAUGES), *_OTHERS):
        answers = [getattr(reading, field) for reading in there]
        if all(isinstance(answer, Absent) for answer in answers):
            unknown[_reason(answers[-1])].append(words)
    notes = [f"{name}: unknown is {', '.join(words)}: {reason}" for reason, words in unknown.items()]
    strangers = sorted({pid for sample in samples for pid, (owner, _) in sample.owners.items() if owner == "unknown"})
    if strangers:
        pids = ", ".join(str(pid) for pid in strangers)
        notes.append(f"{name}: whose its processes are is unknown (pid {pids}): pids of the host cannot be told from here")
    return tuple(notes)


def _reason(answer: object) -> str:
    return answer.reason if isinstance(answer, Absent) else "it was not asked for"


def _nothing(reading: GpuReading) -> bool:
    fields = (*(field for _, field, _ in _GAUGES), *(field for field, _ in _OTHERS))
    return all(isinstance(getattr(reading, field), Absent) for field in fields)


def _values(samples: Sequence[GpuSample], field: str) -> Iterator[tuple[int, float]]:
    for sample in samples:
        value = getattr(sample.reading, field)
        if not isinstance(value, Absent):
            yield sample.stamp_ns, float(value)


def _column(series_id: str, uuid: str, labels: _Labels, points: Sequence[tuple[int, float]], kind: SeriesKind = SeriesKind.GAUGE) -> Series:
    stamps, values = tuple(stamp for stamp, _ in points), tuple(value for _, value in points)
    return Series(id=series_id, source=uuid, kind=kind, labels=labels, stamps_ns=stamps, values=values)


def _counted(uuid: str, labels: _Labels, points: Sequence[tuple[int, float]]) -> Series:
    """A count that fell was reset with the driver, and has counted from 0."""
    total, column, last = 0.0, [], points[0][1] if points else 0.0
    for stamp, value in points:
        total += value - last if value >= last else value
        last = value
        column.append((stamp, total))
    return _column(ids.GPU_ECC_UNCORRECTED, uuid, labels, column, SeriesKind.COUNTER)


def _unexplained(samples: Sequence[GpuSample]) -> Iterator[tuple[int, float]]:
    for sample in samples:
        used, processes = sample.reading.memory_used_bytes, sample.reading.processes
        if isinstance(used, Absent) or isinstance(processes, Absent):
            continue
        known = [process.memory_bytes for process in processes if not isinstance(process.memory_bytes, Absent) and process.memory_bytes > 0]
        if len(known) == len(processes):  # 0 is what containers get for "not to be told"
            yield sample.stamp_ns, float(max(0, used - sum(known)))


def _xids(uuid: str, labels: _Labels, samples: Sequence[GpuSample]) -> list[Series]:
    """From the first reading on: what it says is from before, such as the end of an earlier deployment that was killed."""
    told = [(sample.stamp_ns, xids) for sample in samples if not isinstance(xids := sample.reading.xids, Absent)]
    told = [(told[0][0], ()), *told[1:]] if told else []
    codes = sorted({code for _, xids in told for code in xids})
    found = []
    for code in codes:
        total, column = 0, []
        for stamp, xids in told:
            total += xids.count(code)
            column.append((stamp, float(total)))
        found.append(_column(ids.GPU_XIDS, uuid, tuple(sorted((*labels, ("xid", str(code))))), column, SeriesKind.COUNTER))
    return found


def _processes(uuid: str, labels: _Labels, samples: Sequence[GpuSample]) -> list[Series]:
    """A gauge per process and owner; where a pid's owner became known late, all of it is under the last that was known."""
    listed = [(sample, there) for sample in samples if not isinstance(there := sample.reading.processes, Absent)]
    owners = {pid: owner for sample in samples for pid, owner in sample.owners.items()}
    found = []
    for pid in sorted(owners):
        column = [(sample.stamp_ns, float(any(process.pid == pid for process in there))) for sample, there in listed]
        owner, name = owners[pid]
        own = tuple(sorted((*labels, ("pid", str(pid)), ("own", owner), ("name", name))))
        found.append(_column(ids.GPU_PROCESS, uuid, own, column))
    return found
