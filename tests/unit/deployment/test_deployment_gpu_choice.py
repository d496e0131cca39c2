from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.accelerator.device import Gpu, GpuProcess, GpuReading, MigInstance, unreadable
from pytest_dynperf.accelerator.in_memory import IDLE
from pytest_dynperf.deployment.gpu_choice import GpuNeed, choose_gpus, devices_of
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.quantity import Absent


def gpu(index: int, name: str = "NVIDIA H100 80GB HBM3", memory_gib: float = 79.6, *parts: str, mig: bool = False) -> Gpu:
    instances = tuple(MigInstance(uuid=part, memory_gib=9.8) for part in parts)
    return Gpu(index=index, uuid=f"GPU-{index}", name=name, memory_gib=memory_gib, mig_enabled=mig or bool(parts), mig=instances)


FOUR = tuple(gpu(index) for index in range(4))


def chosen(need: GpuNeed, gpus: tuple[Gpu, ...] | Absent = FOUR, **more: object) -> tuple[str, ...]:
    given: dict[str, object] = {"readings": {}, "leased": {}, **more}
    return choose_gpus(need, gpus, **given)  # type: ignore[arg-type]


def refused(need: GpuNeed, gpus: tuple[Gpu, ...] | Absent = FOUR, **more: object) -> str:
    with pytest.raises(DeploymentError) as caught:
        chosen(need, gpus, **more)
    return str(caught.value)


def busy(**changes: object) -> GpuReading:
    return replace(IDLE, **changes)  # type: ignore[arg-type]


USED = busy(processes=(GpuProcess(pid=7, memory_bytes=300 << 20),))


def test_the_first_that_will_do_in_the_driver_s_order() -> None:
    assert chosen(GpuNeed(count=2)) == ("GPU-0", "GPU-1")


def test_those_that_are_leased_used_gone_or_left_out_are_passed_over() -> None:
    readings = {"GPU-1": USED, "GPU-2": unreadable("GPU-2", "the GPU is lost", gone=True), "GPU-3": IDLE}
    assert chosen(GpuNeed(count=1), leased={"GPU-0": "process 5"}, readings=readings) == ("GPU-3",)
    assert chosen(GpuNeed(count=1), allowed=("GPU-2",)) == ("GPU-2",)


def test_each_that_will_not_do_is_named_with_its_reason() -> None:
    readings = {"GPU-1": USED, "GPU-2": unreadable("GPU-2", "the GPU is lost", gone=True)}
    text = refused(
        GpuNeed(count=2, pattern="H100", memory_gib=80),
        leased={"GPU-0": "process 5 (x)"},
        readings=readings,
        allowed=["GPU-0", "GPU-1", "GPU-2"],
    )
    assert text.startswith("needs 2 GPUs with H100 in the name and ≥ 72 GiB, found 0 that are free. ")
    for part in (
        "GPU 0 (NVIDIA H100 80GB HBM3): leased by process 5 (x)",
        "GPU 1 (NVIDIA H100 80GB HBM3): used by process 7 (300 MiB)",
        "GPU 2 (NVIDIA H100 80GB HBM3): the GPU is lost",
        "GPU 3 (NVIDIA H100 80GB HBM3): CUDA_VISIBLE_DEVICES leaves it out",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [("H200", "NVIDIA H200", True), ("h200", "NVIDIA H200 NVL", True), ("H200", "NVIDIA GH200 480GB", False), ("A100", "RTX A1000", False)],
)
def test_the_pattern_is_a_word_of_its_own(pattern: str, name: str, fits: bool) -> None:
    if fits:
        assert chosen(GpuNeed(count=1, pattern=pattern), (gpu(0, name),)) == ("GPU-0",)
    else:
        assert f"its name lacks {pattern}" in refused(GpuNeed(count=1, pattern=pattern), (gpu(0, name),))


@pytest.mark.parametrize(("memory", "fits"), [(72.0, True), (71.9, False)])
def test_memory_with_a_tenth_of_slack(memory: float, fits: bool) -> None:
    if fits:
        assert chosen(GpuNeed(count=1, memory_gib=80), (gpu(0, "H100", memory),)) == ("GPU-0",)
    else:
        assert "it has 71.9 GiB" in refused(GpuNeed(count=1, memory_gib=80), (gpu(0, "H100", memory),))


def test_own_processes_are_no_use_by_others() -> None:
    assert chosen(GpuNeed(count=1), readings={"GPU-0": replace(USED, memory_used_bytes=70 << 30)}, own_pids={7}) == ("GPU-0",)


@pytest.mark.parametrize(("used", "fits"), [(2 << 30, True), ((2 << 30) + 1, False)])
def test_memory_in_use_by_nobody_who_is_listed(used: int, fits: bool) -> None:
    readings = {"GPU-0": busy(memory_used_bytes=used, processes=Absent("not supported"))}
    assert chosen(GpuNeed(count=1), readings=readings) == (("GPU-0",) if fits else ("GPU-1",))


def test_what_is_unknown_of_a_device_does_not_exclude_it() -> None:
    assert chosen(GpuNeed(count=1), readings={"GPU-0": unreadable("GPU-0", "not supported", gone=False)}) == ("GPU-0",)


def test_a_gpu_with_mig_is_had_by_its_instances_alone_and_after_whole_ones() -> None:
    gpus = (gpu(0, "NVIDIA A100", 80.0, "MIG-a", "MIG-b"), gpu(1, "NVIDIA A100", 80.0), gpu(2, "NVIDIA A100", 80.0, mig=True))
    assert [device.uuid for device in devices_of(gpus)] == ["MIG-a", "MIG-b", "GPU-1"]
    assert chosen(GpuNeed(count=3), gpus) == ("GPU-1", "MIG-a", "MIG-b")
    assert "MIG instance 1 of GPU 0 (NVIDIA A100): it has 9.8 GiB" in refused(GpuNeed(count=2, memory_gib=40), gpus)


def test_no_driver_and_no_gpu() -> None:
    assert refused(GpuNeed(count=1), Absent("no driver")) == "needs 1 GPU, and no GPU is known here: no driver"
    assert refused(GpuNeed(count=1), ()) == "needs 1 GPU, found 0 that are free. there is no other"
