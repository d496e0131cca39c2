from __future__ import annotations

from dataclasses import replace

from pytest_dynperf.accelerator.device import GpuProcess, GpuReading, unreadable
from pytest_dynperf.accelerator.in_memory import IDLE
from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.observation.series import Series, SeriesKind
from pytest_dynperf.quantity import Absent
from pytest_dynperf.telemetry.gpu_series import GpuSample, gpu_notes, gpu_series

NO = Absent("not supported")


def samples(*readings: GpuReading, owners: dict[int, tuple[str, str]] | None = None) -> list[GpuSample]:
    def of(reading: GpuReading) -> dict[int, tuple[str, str]]:
        there = () if isinstance(reading.processes, Absent) else reading.processes
        return {process.pid: (owners or {}).get(process.pid, ("yes", "python")) for process in there}

    return [GpuSample(stamp_ns=number * 10, reading=reading, owners=of(reading)) for number, reading in enumerate(readings)]


def found(*readings: GpuReading, owners: dict[int, tuple[str, str]] | None = None) -> dict[str, Series]:
    return {one.id: one for one in gpu_series("GPU-a", 3, samples(*readings, owners=owners))}


def process(pid: int, mib: int | Absent) -> GpuProcess:
    return GpuProcess(pid=pid, memory_bytes=mib if isinstance(mib, Absent) else mib << 20)


def test_a_reading_becomes_a_column_each() -> None:
    series = found(IDLE, replace(IDLE, power_w=300.0, clock_reasons=0x44))
    assert series[ids.GPU_POWER] == Series(
        id="gpu.power", source="GPU-a", kind=SeriesKind.GAUGE, labels=(("gpu", "3"),), stamps_ns=(0, 10), values=(90.0, 300.0)
    )
    assert series[ids.GPU_CLOCK_REASONS].values == (0.0, 68.0)
    assert series[ids.GPU_PRESENT].values == (1.0, 1.0)


def test_what_is_absent_has_no_entry_and_is_never_zero() -> None:
    series = found(IDLE, replace(IDLE, power_w=NO), replace(IDLE, utilization=NO))
    assert series[ids.GPU_POWER].stamps_ns == (0, 20)
    assert series[ids.GPU_UTILIZATION].stamps_ns == (0, 10)
    assert ids.GPU_POWER not in found(replace(IDLE, power_w=NO))


def test_a_gpu_that_is_gone_is_a_zero_and_one_that_cannot_be_asked_is_no_reading() -> None:
    gone, silent = unreadable("GPU-a", "lost", gone=True), unreadable("GPU-a", "NVML was closed", gone=False)
    assert found(IDLE, gone)[ids.GPU_PRESENT].values == (1.0, 0.0)
    assert found(IDLE, silent)[ids.GPU_PRESENT].stamps_ns == (0,)
    assert list(found(silent)) == [ids.GPU_PRESENT]
    assert found(silent)[ids.GPU_PRESENT].values == ()


def test_memory_errors_count_from_the_first_reading_and_survive_a_reset() -> None:
    counts = [replace(IDLE, ecc_uncorrected=count) for count in (5, 5, 7, 1)]
    assert found(*counts)[ids.GPU_ECC_UNCORRECTED].values == (0.0, 0.0, 2.0, 3.0)


def test_xids_are_a_counter_per_code() -> None:
    series = gpu_series("GPU-a", None, samples(IDLE, replace(IDLE, xids=(79, 31)), replace(IDLE, xids=(79,))))
    assert {one.labels: one.values for one in series if one.id == ids.GPU_XIDS} == {
        (("xid", "31"),): (0.0, 1.0, 1.0),
        (("xid", "79"),): (0.0, 1.0, 2.0),
    }


def test_an_xid_from_before_the_first_reading_is_not_of_this_run() -> None:
    series = gpu_series("GPU-a", None, samples(replace(IDLE, xids=(45,)), IDLE))
    assert [one for one in series if one.id == ids.GPU_XIDS] == []


def test_processes_are_there_or_not_with_whose_they_are() -> None:
    with_both = replace(IDLE, processes=(process(5, 100), process(6, 10)))
    series = gpu_series("GPU-a", 0, samples(replace(IDLE, processes=(process(5, 100),)), with_both, owners={6: ("no", "blender")}))
    assert {one.labels: one.values for one in series if one.id == ids.GPU_PROCESS} == {
        (("gpu", "0"), ("name", "python"), ("own", "yes"), ("pid", "5")): (1.0, 1.0),
        (("gpu", "0"), ("name", "blender"), ("own", "no"), ("pid", "6")): (0.0, 1.0),
    }


def test_unexplained_memory_is_known_only_where_all_processes_are() -> None:
    used = replace(IDLE, memory_used_bytes=1000 << 20)
    told = replace(used, processes=(process(5, 400), process(6, 100)))
    untold = replace(used, processes=(process(5, 400), process(6, Absent("not told"))))
    zero = replace(used, processes=(process(5, 0),))
    series = found(told, untold, zero, replace(used, processes=NO), replace(used, processes=()))
    assert series[ids.GPU_MEMORY_UNEXPLAINED].stamps_ns == (0, 40)
    assert series[ids.GPU_MEMORY_UNEXPLAINED].values == (float(500 << 20), float(1000 << 20))


def test_what_is_unknown_is_said_once_for_each_reason() -> None:
    blind = replace(IDLE, clock_reasons=NO, power_w=NO, processes=Absent("no permission"))
    assert gpu_notes("GPU-a", 0, samples(blind, blind)) == (
        "GPU 0 (GPU-a): unknown is whether it was slowed down (clock event reasons), the power: not supported",
        "GPU 0 (GPU-a): unknown is whether somebody else used it (processes): no permission",
    )


def test_what_was_known_once_is_no_note() -> None:
    assert gpu_notes("GPU-a", 0, samples(IDLE, replace(IDLE, power_w=NO))) == ()


def test_nothing_at_all_is_one_note() -> None:
    silent = unreadable("GPU-a", "NVML was closed", gone=False)
    assert gpu_notes("GPU-a", None, samples(silent)) == ("GPU GPU-a: nothing could be read: NVML was closed",)


def test_processes_that_nobody_can_place_are_a_note() -> None:
    reading = replace(IDLE, processes=(process(8, 1), process(7, 1)))
    (text,) = gpu_notes("GPU-a", 0, samples(reading, owners={7: ("unknown", "?"), 8: ("unknown", "?")}))
    assert "unknown (pid 7, 8)" in text
