"""Whether a kernel driver stands behind the NVML library that was loaded: a stub or a simulator has none."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path

from pytest_dynperf.quantity import Absent

_VERSION_FILES = ("proc/driver/nvidia/version", "sys/module/nvidia/version")
_VERSION = re.compile(r"(?<![\d.])\d{3,}\.\d+(?:\.\d+)?(?![\d.])")
_CHECK_VERSION = 0xC04846D2  # _IOWR('F', NV_ESC_CHECK_VERSION_STR = 210, 72 bytes): nv-ioctl.h of NVIDIA's open kernel modules
_QUERY = ord("2")  # NV_RM_API_VERSION_CMD_QUERY


def backing(library_version: str | Absent, root: Path = Path("/")) -> tuple[bool, str]:
    """Whether the kernel's driver says the version that the library says, and the sentence that shows it. Under 1 ms.

    Asked are ``/proc/driver/nvidia/version``, the module's version and, where a sandbox shows neither, the control device itself. Under WSL
    the driver is Windows': there ``/dev/dxg`` must be a device and the library WSL's own. ``root`` is for tests.
    """
    if isinstance(library_version, Absent):
        return False, f"the version of the NVML library is unknown: {library_version.reason}"
    if _wsl_device(root):
        library = _loaded_library(root)
        own = library is not None and library.startswith("/usr/lib/wsl/")
        return own, f"WSL's /dev/dxg is here, and the NVML library is {'its own' if own else library or 'not known'}"
    kernel = kernel_version(root)
    if isinstance(kernel, Absent):
        return False, f"the NVML library says {library_version}, and no kernel driver stands behind it ({kernel.reason})"
    if kernel != library_version:
        return False, f"the NVML library says {library_version}, the kernel's driver {kernel}"
    return True, f"library and kernel driver are {kernel}"


def kernel_version(root: Path = Path("/")) -> str | Absent:
    """The version of NVIDIA's driver in the kernel, absent where there is none."""
    for name in _VERSION_FILES:
        try:
            first = (root / name).read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        except OSError:
            continue
        if found := _VERSION.search(first):
            return found.group()
    return _asked_of_the_device(root / "dev/nvidiactl")


def _asked_of_the_device(path: Path) -> str | Absent:
    try:
        if not stat.S_ISCHR(path.stat().st_mode):
            return Absent(f"{path} is not a device")
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            answer = bytearray(_QUERY.to_bytes(4, "little") + bytes(68))
            fcntl.ioctl(descriptor, _CHECK_VERSION, answer)
        finally:
            os.close(descriptor)
    except OSError as error:
        return Absent(f"{path}: {error.strerror or error}")
    found = _VERSION.search(answer[8:].partition(b"\0")[0].decode("ascii", "replace"))
    return found.group() if found else Absent(f"{path} does not say its version")


def _wsl_device(root: Path) -> bool:
    try:
        return stat.S_ISCHR((root / "dev/dxg").stat().st_mode)
    except OSError:
        return False


def _loaded_library(root: Path) -> str | None:
    """The file that ``libnvidia-ml.so.1`` is mapped from into this process."""
    try:
        for line in (root / "proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            path = line.split(maxsplit=5)[-1]
            if "libnvidia-ml.so" in path or path.endswith("/nvml.so"):
                return path
    except OSError:
        pass
    return None
