from __future__ import annotations

import pytest

from pytest_dynperf.accelerator.device import Gpu, MigInstance
from pytest_dynperf.accelerator.visible import allowed_by, visible_devices
from pytest_dynperf.errors import UsageError


def gpu(index: int, uuid: str, name: str = "NVIDIA H100", *parts: str) -> Gpu:
    mig = tuple(MigInstance(uuid=part, memory_gib=10.0) for part in parts)
    return Gpu(index=index, uuid=uuid, name=name, memory_gib=80.0, mig_enabled=bool(parts), mig=mig)


ALIKE = (gpu(0, "GPU-aa1"), gpu(1, "GPU-ab2"), gpu(2, "GPU-c", "NVIDIA H100", "MIG-1", "MIG-2"))
MIXED = (gpu(0, "GPU-aa1"), gpu(1, "GPU-ab2", "NVIDIA L4"))


def allowed(value: str, gpus: tuple[Gpu, ...] = ALIKE, **more: str) -> tuple[str, ...] | None:
    return allowed_by({"CUDA_VISIBLE_DEVICES": value, **more}, gpus)


def test_the_variable_is_written_by_uuid() -> None:
    assert visible_devices(["GPU-b", "GPU-a", "MIG-1"]) == "GPU-b,GPU-a,MIG-1"
    assert visible_devices([]) == "-1"


@pytest.mark.parametrize("uuids", [["0"], ["GPU-a,GPU-b"], ["GPU-a", "GPU-a"], [""]])
def test_what_is_no_uuid_is_refused(uuids: list[str]) -> None:
    with pytest.raises(ValueError, match=r"is not the UUID|stands there twice"):
        visible_devices(uuids)


def test_unset_leaves_everything() -> None:
    assert allowed_by({}, ALIKE) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", ("GPU-ab2",)),
        ("1,0", ("GPU-ab2", "GPU-aa1")),
        (" 1 , 1", ("GPU-ab2",)),
        ("2", ("GPU-c", "MIG-1", "MIG-2")),
        ("GPU-ab2", ("GPU-ab2",)),
        ("GPU-ab", ("GPU-ab2",)),
        ("MIG-2", ("MIG-2",)),
        ("GPU-c", ("GPU-c", "MIG-1", "MIG-2")),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0,9,1", ("GPU-aa1",)),  # an entry that means nothing hides what is behind it
        ("0,GPU-zz,1", ("GPU-aa1",)),
    ],
)
def test_what_an_outer_variable_leaves(value: str, expected: tuple[str, ...]) -> None:
    assert allowed(value) == expected


def test_a_beginning_that_fits_two_is_refused() -> None:
    with pytest.raises(UsageError, match="fits 2 devices"):
        allowed("GPU-a")


def test_an_index_among_different_gpus_needs_the_order_of_the_bus() -> None:
    with pytest.raises(UsageError, match="CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        allowed("1", MIXED)
    assert allowed("1", MIXED, CUDA_DEVICE_ORDER="PCI_BUS_ID") == ("GPU-ab2",)
    assert allowed("GPU-ab2", MIXED) == ("GPU-ab2",)
