"""GPUs read throughout a run: in memory, and through the real binding with a stub of the driver's library, up to the verdict on the run."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.accelerator.device import Gpu, GpuProcess, GpuReading
from pytest_dynperf.accelerator.in_memory import IDLE, InMemoryGpus
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.quantity import Absent
from pytest_dynperf.telemetry import gpu
from pytest_dynperf.telemetry.gpu import GpuSampler, GpuWatch
from pytest_dynperf.telemetry.sampler import sampled
from tests.fakes import nvml_stub

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GPUS = tuple(Gpu(index=index, uuid=f"GPU-{index}", name="NVIDIA H100", memory_gib=80.0) for index in range(2))


def watch(script: Callable[[str, int], GpuReading] | None = None, **more: object) -> GpuWatch:
    return GpuWatch(gpus=InMemoryGpus(GPUS, script), uuids=("GPU-0", "GPU-1"), **more)  # type: ignore[arg-type]


def test_a_run_has_a_reading_at_its_begin_and_at_its_end() -> None:
    begun = time.monotonic_ns()
    sampler = GpuSampler(watch(), interval_s=3600.0)
    ready = time.monotonic_ns()
    series, notes = sampler.finish()
    for uuid in ("GPU-0", "GPU-1"):
        (present,) = (one for one in series if one.source == uuid and one.id == ids.GPU_PRESENT)
        assert begun < present.stamps_ns[0] < ready < present.stamps_ns[1] < time.monotonic_ns()
    assert notes == ()


def test_readings_go_on_meanwhile() -> None:
    enough = threading.Event()

    def script(_uuid: str, number: int) -> GpuReading:
        if number == 20:
            enough.set()
        return replace(IDLE, power_w=float(number))

    sampler = GpuSampler(watch(script), interval_s=0.001)
    assert enough.wait(60)
    series, _ = sampler.finish()
    (power,) = (one for one in series if one.source == "GPU-0" and one.id == ids.GPU_POWER)
    assert power.values == tuple(float(number) for number in range(len(power.values)))
    assert len(power.values) > 20
    assert list(power.stamps_ns) == sorted(set(power.stamps_ns))


def test_whose_a_process_is_goes_into_the_series() -> None:
    reading = replace(IDLE, processes=(GpuProcess(pid=4_000_001, memory_bytes=1), GpuProcess(pid=4_000_002, memory_bytes=1)))
    sampler = GpuSampler(watch(lambda _uuid, _number: reading, own_pids={4_000_001}), interval_s=3600)
    series, _ = sampler.finish()
    owners = {dict(one.labels)["pid"]: dict(one.labels)["own"] for one in series if one.id == ids.GPU_PROCESS}
    assert owners["4000001"] == "yes"
    assert owners["4000002"] in {"no", "unknown"}


def test_no_driver_is_a_series_without_readings_and_a_note() -> None:
    series, notes = GpuSampler(GpuWatch(gpus=Absent("no driver"), uuids=("GPU-0",))).finish()
    assert [(one.id, one.source, one.values) for one in series] == [(ids.GPU_PRESENT, "GPU-0", ())]
    assert notes == ("the GPUs could not be read: no driver",)


def test_nothing_to_watch_starts_no_thread() -> None:
    before = threading.active_count()
    sampler = GpuSampler(GpuWatch(gpus=Absent("no driver"), uuids=()))
    assert threading.active_count() == before
    assert sampler.finish() == ((), ())


def test_a_driver_that_hangs_ends_neither_the_run_nor_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, hung = threading.Event(), threading.Event()

    def script(_uuid: str, number: int) -> GpuReading:
        if number == 1:
            hung.set()
            go_on.wait(60)
        return IDLE

    monkeypatch.setattr(gpu, "_LAST_READING_S", 0.05)
    sampler = GpuSampler(watch(script), interval_s=0.001)
    assert hung.wait(60)
    series, notes = sampler.finish()
    assert any("did not answer" in note for note in notes)
    assert {len(one.values) for one in series if one.id == ids.GPU_PRESENT} == {1}
    go_on.set()
    assert sampler.close(60)


def test_a_defect_is_said_and_kills_nothing() -> None:
    def script(_uuid: str, _number: int) -> GpuReading:
        msg = "planted"
        raise KeyError(msg)

    series, notes = GpuSampler(watch(script)).finish()
    assert {one.values for one in series} == {()}
    assert "reading the GPUs failed (KeyError: 'planted')" in notes[0]


def test_the_sampler_of_a_run_takes_gpus_along() -> None:
    endpoint = Endpoint(base_url="http://127.0.0.1:9", model="m")
    with sampled(endpoint, gpus=watch()) as sampler:
        series, notes = sampler.finish()
    assert {one.source for one in series} == {"GPU-0", "GPU-1"}
    assert notes == ()


def test_a_run_that_fails_ends_the_thread() -> None:
    before = set(threading.enumerate())

    def fail() -> None:
        with sampled(Endpoint(base_url="http://127.0.0.1:9", model="m"), gpus=watch()):
            msg = "planted"
            raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="planted"):
        fail()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


# ---- the real binding over the stub, from a reading to what forbids judging

RUN = """
import sys, time
sys.path.insert(0, {root!r})
from dataclasses import replace
from pytest_dynperf.accelerator.nvml import open_nvml
from pytest_dynperf.measurement.gpu_validity import gpu_notes, gpu_problems
from pytest_dynperf.telemetry import gpu_owner
from pytest_dynperf.telemetry.gpu import GpuSampler, GpuWatch
from tests.fakes.observations import record, recording

gpu_owner.sees_host_pids = lambda: True
HEALTHY = {{"0.processes": f"{{os.getpid()}}:70000000000", "0.used": 70500000000}}

def readings(sampler, more):
    '''Wait for `more` readings, of whatever kind.'''
    wanted, deadline = len(sampler._samples["GPU-0"]) + more, time.monotonic() + 60
    while len(sampler._samples["GPU-0"]) < wanted:
        assert time.monotonic() < deadline, "no more readings"
        time.sleep(0.002)

def run_with(**later):
    '''What is said of a run in which `later` happens in the middle.'''
    script(gpus=2, lines=HEALTHY)
    sampler = GpuSampler(GpuWatch(gpus=open_nvml(), uuids=("GPU-0",), own_pids=lambda: [os.getpid()]), interval_s=0.005)
    begin = time.monotonic_ns()
    readings(sampler, 10)
    script(gpus=2, lines={{**HEALTHY, **later.get("lines", {{}})}})
    readings(sampler, 10)
    end = time.monotonic_ns()
    series, notes = sampler.finish()
    seen = replace(recording(tuple(record(i) for i in range(32))), window_start_ns=begin, window_end_ns=end, series=series)
    say([gpu_problems(seen), gpu_notes(seen), notes])
"""


@pytest.fixture
def run_with(tmp_path: Path) -> Callable[[dict[str, object]], list[list[str]]]:
    from pathlib import Path

    library = nvml_stub.build(tmp_path)
    root = str(Path(__file__).parents[3])

    def run(lines: dict[str, object]) -> list[list[str]]:
        program = RUN.format(root=root) + f"\nrun_with(lines={lines!r})"
        answer: list[list[str]] = nvml_stub.run(library, tmp_path / "script", program)  # type: ignore[assignment]
        return answer

    return run


def test_a_healthy_run_over_the_real_binding(run_with: Callable[[dict[str, object]], list[list[str]]]) -> None:
    assert run_with({}) == [[], [], []]


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        pytest.param({"0.reasons": 0x20, "0.temperature": 91}, ["SwThermalSlowdown", "(up to 91 °C"], id="throttling"),
        pytest.param({"0.reasons": 0x8}, ["HwSlowdown"], id="hardware slowdown"),
        pytest.param({"0.reasons": 0x48}, ["HwThermalSlowdown"], id="hardware heat"),
        pytest.param({"0.reasons": 0x88}, ["HwPowerBrake"], id="power brake"),
        pytest.param({"0.ecc": 3}, ["3 new uncorrected memory errors (ECC)"], id="ECC"),
        pytest.param({"0.xid": "79"}, ["critical error Xid 79 (1 in all)"], id="Xid"),
        pytest.param({"0.graphics": "1:1000"}, ["process 1 (", "is not of this deployment"], id="foreign process"),
        pytest.param({"0.used": 71500000000}, ["MiB of memory that no listed process explains"], id="foreign memory"),
        pytest.param({"0.code": 15}, ["vanished", "no longer reached it in"], id="vanished"),
        pytest.param({"0.reasons.code": 4}, [], id="a field that stops"),
    ],
)
def test_what_happens_to_a_gpu_makes_the_run_invalid(
    run_with: Callable[[dict[str, object]], list[list[str]]], lines: dict[str, object], parts: list[str]
) -> None:
    problems, notes, _ = run_with(lines)
    if not parts:  # too short a window to count as a field that was not read
        assert problems == []
        return
    (problem,) = problems
    assert problem.startswith("GPU 0 (GPU-0): ")
    assert all(part in problem for part in parts), problem
    assert notes == []


def test_a_power_cap_is_a_note_over_the_real_binding(run_with: Callable[[dict[str, object]], list[list[str]]]) -> None:
    problems, notes, _ = run_with({"0.reasons": 0x4})
    assert problems == []
    assert "SwPowerCap" in notes[0]


def test_what_the_driver_never_says_is_a_note_of_the_reader(tmp_path: Path) -> None:
    library = nvml_stub.build(tmp_path)
    program = """
from pytest_dynperf.accelerator.nvml import open_nvml
from pytest_dynperf.telemetry.gpu import GpuSampler, GpuWatch
script(lines={"0.reasons.code": 3, "0.ecc.code": 3, "0.processes.code": 4})
say(GpuSampler(GpuWatch(gpus=open_nvml(), uuids=("GPU-0",)), interval_s=3600).finish()[1])
"""
    answer = nvml_stub.run(library, tmp_path / "script", program)
    assert isinstance(answer, list)
    unsupported, forbidden = answer
    assert unsupported == (
        "GPU 0 (GPU-0): unknown is whether it was slowed down (clock event reasons), whether there were uncorrected memory errors (ECC): "
        "not supported by this GPU or driver"
    )
    assert forbidden == "GPU 0 (GPU-0): unknown is whether somebody else used it (processes): no permission to talk to the NVIDIA driver"
