"""What shows that a driver of the kernel stands behind the library."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.accelerator.kernel_driver import backing, kernel_version
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from pathlib import Path

CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc version 12.3.0\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@U22-I3-AE18-23-3)\n"


def with_version(root: Path, text: str, name: str = "proc/driver/nvidia/version") -> Path:
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return root


@pytest.mark.parametrize(("text", "version"), [(CLOSED, "535.104.05"), (OPEN, "580.65.06"), ("NVRM version: … 470.14  Sat\n", "470.14")])
def test_the_version_is_read(tmp_path: Path, text: str, version: str) -> None:
    assert kernel_version(with_version(tmp_path, text)) == version


def test_the_version_of_the_module_will_do(tmp_path: Path) -> None:
    assert kernel_version(with_version(tmp_path, "550.90.07\n", "sys/module/nvidia/version")) == "550.90.07"


def test_the_same_version_is_genuine(tmp_path: Path) -> None:
    assert backing("580.65.06", with_version(tmp_path, OPEN)) == (True, "library and kernel driver are 580.65.06")


def test_another_version_is_not(tmp_path: Path) -> None:
    genuine, why = backing("580.65", with_version(tmp_path, OPEN))
    assert not genuine
    assert why == "the NVML library says 580.65, the kernel's driver 580.65.06"


def test_no_driver_is_not(tmp_path: Path) -> None:
    genuine, why = backing("580.65.06", tmp_path)
    assert not genuine
    assert "no kernel driver stands behind it" in why


def test_a_library_that_does_not_say_its_version_is_not(tmp_path: Path) -> None:
    assert backing(Absent("planted"), with_version(tmp_path, OPEN)) == (False, "the version of the NVML library is unknown: planted")


def test_a_file_in_place_of_the_device_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").write_text("580.65.06")
    (tmp_path / "dev/dxg").write_text("")
    genuine, why = backing("580.65.06", tmp_path)
    assert not genuine
    assert "is not a device" in why


def test_a_device_that_does_not_know_the_question_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").symlink_to("/dev/null")
    assert isinstance(kernel_version(tmp_path), Absent)


@pytest.mark.parametrize(("answered", "expected"), [(b"580.65.06\0", "580.65.06"), (b"\0", None)])
def test_the_device_is_asked_where_no_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answered: bytes, expected: str | None
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").symlink_to("/dev/null")
    asked: list[tuple[int, int]] = []

    def ioctl(_descriptor: int, number: int, buffer: bytearray) -> int:
        asked.append((number, buffer[0]))
        buffer[8 : 8 + len(answered)] = answered
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    found = kernel_version(tmp_path)
    assert asked == [(0xC04846D2, ord("2"))]
    assert found == expected or (expected is None and isinstance(found, Absent))


@pytest.mark.parametrize(("library", "genuine"), [("/usr/lib/wsl/lib/libnvidia-ml.so.1", True), ("/tmp/stub/libnvidia-ml.so.1", False)])
def test_under_wsl_the_library_must_be_its_own(tmp_path: Path, library: str, genuine: bool) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/dxg").symlink_to("/dev/null")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/maps").write_text(
        f"7f00-7f01 r-xp 00000000 08:01 1 /usr/bin/python\n7f02-7f03 r-xp 00000000 08:01 2 {library}\n"
    )
    found, why = backing("555.85", tmp_path)
    assert found is genuine
    assert why == f"WSL's /dev/dxg is here, and the NVML library is {'its own' if genuine else library}"
