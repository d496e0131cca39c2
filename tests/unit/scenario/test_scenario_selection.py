"""Which platform is taken for which GPUs, and the sentence that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dynperf.errors import PlatformError
from pytest_dynperf.quantity import Absent
from pytest_dynperf.scenario.platform_files import PACKAGED
from pytest_dynperf.scenario.search import find_platforms
from pytest_dynperf.scenario.selection import select_platform

PLATFORMS = find_platforms(near=Path("/"))
NO_DRIVER = Absent("NVML library not found")
H100 = ("NVIDIA H100 80GB HBM3", 79.6)


def test_without_a_gpu_mocker_and_the_reason() -> None:
    platform, why = select_platform("auto", NO_DRIVER, PLATFORMS, attached=False)
    assert platform.name == "mocker"
    assert why == "no NVIDIA GPU (NVML library not found), using mocker"
    platform, why = select_platform("auto", [], PLATFORMS, attached=False)
    assert (platform.name, why) == ("mocker", "no NVIDIA GPU, using mocker")


@pytest.mark.parametrize(
    ("product", "memory_gib", "count", "name"),
    [
        ("NVIDIA H100 80GB HBM3", 79.6, 8, "h100"),
        ("NVIDIA H200", 140.4, 4, "h200"),
        ("NVIDIA B200", 179.1, 8, "b200"),
        ("NVIDIA A100-SXM4-80GB", 80.0, 2, "a100"),
        ("NVIDIA L40S", 45.0, 2, "l40s"),
        ("nvidia l40s", 45.0, 2, "l40s"),
    ],
)
def test_auto_takes_the_platform_of_the_gpus(product: str, memory_gib: float, count: int, name: str) -> None:
    platform, why = select_platform("auto", [(product, memory_gib)] * count, PLATFORMS, attached=False)
    assert platform.name == name
    assert f"{count} x {product}" in why


@pytest.mark.parametrize(
    ("product", "memory_gib"),
    [("NVIDIA GH200 480GB", 95.0), ("NVIDIA GB200", 186.0), ("NVIDIA RTX A1000", 8.0), ("NVIDIA L40", 45.0), ("NVIDIA T4", 15.0)],
)
def test_a_pattern_is_a_word_and_not_a_part_of_one(product: str, memory_gib: float) -> None:
    platform, why = select_platform("auto", [(product, memory_gib)] * 8, PLATFORMS, attached=False)
    assert platform.name == "mocker"
    assert why == f"no platform for 8 x {product} ({memory_gib:.0f} GiB), using mocker"


def test_too_few_or_too_small_gpus_are_said() -> None:
    platform, why = select_platform("auto", [H100], PLATFORMS, attached=False)
    assert platform.name == "mocker"
    assert "1 x NVIDIA H100" in why
    assert "h100 needs (4 x H100 (80 GiB))" in why
    platform, why = select_platform("auto", [("NVIDIA A100-SXM4-40GB", 40.0)] * 8, PLATFORMS, attached=False)
    assert platform.name == "mocker"
    assert "8 x NVIDIA A100-SXM4-40GB (40 GiB)" in why


def test_the_longest_pattern_wins() -> None:
    (h100,) = (platform for platform in PLATFORMS if platform.name == "h100")
    special = h100.__class__(
        name="aaa-pcie",
        summary="",
        file="",
        gpu_pattern="H100 PCIe",
        gpu_count=1,
        gpu_memory_gib=80.0,
        launcher="container",
        simulated=False,
        verified=False,
        defaults={},
    )
    for platforms in ([special, *PLATFORMS], [*PLATFORMS, special]):
        assert select_platform("auto", [("NVIDIA H100 PCIe", 79.6)] * 4, platforms, attached=False)[0] is special
        assert select_platform("auto", [H100] * 4, platforms, attached=False)[0] is h100
        # The longer pattern finds too few; the shorter one does not need to be asked twice.
        assert select_platform("auto", [("NVIDIA H100 PCIe", 79.6)], platforms, attached=False)[0] is special


def test_an_attached_endpoint_needs_no_gpu() -> None:
    assert select_platform("auto", [H100] * 8, PLATFORMS, attached=True)[0].name == "attached"
    platform, why = select_platform("h100", NO_DRIVER, PLATFORMS, attached=True)
    assert platform.name == "h100"
    assert "not looked at" in why
    assert select_platform("attached", NO_DRIVER, PLATFORMS, attached=True)[0].name == "attached"


def test_attached_by_name_needs_an_endpoint() -> None:
    with pytest.raises(PlatformError, match=r"'attached'.*--dynperf-endpoint"):
        select_platform("attached", NO_DRIVER, PLATFORMS, attached=False)


def test_a_named_platform_without_its_gpus_is_an_error() -> None:
    with pytest.raises(PlatformError, match=r"'h100' needs 4 x H100 \(80 GiB\), found no NVIDIA GPU \(NVML library not found\)"):
        select_platform("h100", NO_DRIVER, PLATFORMS, attached=False)
    with pytest.raises(
        PlatformError, match=r"needs 4 x H100 \(80 GiB\), found 1 x NVIDIA T4 \(15 GiB\), 1 x NVIDIA H100 80GB HBM3 \(80 GiB\)"
    ):
        select_platform("h100", [("NVIDIA T4", 15.0), H100], PLATFORMS, attached=False)


def test_a_named_platform_with_its_gpus() -> None:
    assert select_platform("h100", [H100] * 4, PLATFORMS, attached=False)[0].name == "h100"
    assert select_platform("mocker", [H100] * 4, PLATFORMS, attached=False)[0].name == "mocker"


def test_an_unknown_name_lists_known_ones() -> None:
    with pytest.raises(PlatformError, match=r"'h10' \(did you mean 'h100'\?\); known: auto, a100"):
        select_platform("h10", NO_DRIVER, PLATFORMS, attached=False)


def test_patterns_of_shipped_platforms_differ() -> None:
    patterns = [platform.gpu_pattern.casefold() for platform in PLATFORMS if platform.gpu_pattern]
    without_gpus = {"mocker", "cpu", "attached"}
    assert len(patterns) == len(set(patterns)) == len({path.stem for path in PACKAGED.glob("*.toml")} - without_gpus)
