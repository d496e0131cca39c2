"""The real binding, without a driver and with a stub library in its place; a subprocess each, because the binding loads once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json
from pytest_dynperf.accelerator.nvml import list_gpus
from pytest_dynperf.quantity import Absent
found = list_gpus()
print(json.dumps(found.reason if isinstance(found, Absent) else [[g.index, g.uuid, g.name, g.memory_gib] for g in found]))
"""

STUB = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory_t;
int nvmlInitWithFlags(unsigned flags) { return INIT; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = COUNT; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = (void *)(unsigned long)(index + 1); return HANDLE; }
int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) { strcpy(text, "GPU-0"); text[4] += (char)(long)handle; return 0; }
int nvmlDeviceGetName(void *handle, char *text, unsigned size) { strcpy(text, "NVIDIA Stub 80GB"); return 0; }
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) { memory->total = 80ULL << 30; return 0; }
char *nvmlErrorString(int code) { return "planted"; }
"""


def ask(library: Path | None) -> object:
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    if library is not None:
        environment["LD_LIBRARY_PATH"] = str(library)
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=True)
    answer: object = json.loads(done.stdout)
    return answer


def stub(directory: Path, *, init: int = 0, count: int = 2, handle: int = 0) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc) for the stub library, found none")
    (directory / "stub.c").write_text(STUB)
    defines = [f"-DINIT={init}", f"-DCOUNT={count}", f"-DHANDLE={handle}"]
    subprocess.run([compiler, "-shared", "-fPIC", *defines, "-o", "libnvidia-ml.so.1", "stub.c"], cwd=directory, check=True, timeout=60)
    return directory


def test_no_driver_library_is_absent_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("not a library, and found before any real one")

    assert ask(tmp_path) == "no NVIDIA driver library (libnvidia-ml.so.1)"


def test_devices_are_listed_in_order(tmp_path: Path) -> None:
    assert ask(stub(tmp_path)) == [[0, "GPU-1", "NVIDIA Stub 80GB", 80.0], [1, "GPU-2", "NVIDIA Stub 80GB", 80.0]]


def test_a_driver_without_devices_is_not_absent(tmp_path: Path) -> None:
    assert ask(stub(tmp_path, count=0)) == []


@pytest.mark.parametrize(
    ("code", "part"),
    [
        (9, "not loaded"),
        (18, "differ in version"),
        (4, "no permission"),
        (999, "planted"),
    ],
)
def test_failure_of_the_driver_is_absent_with_its_reason(tmp_path: Path, code: int, part: str) -> None:
    reason = ask(stub(tmp_path, init=code))

    assert isinstance(reason, str)
    assert part in reason or (code == 999 and "failed" in reason)


def test_failure_of_one_device_leaves_all_unknown(tmp_path: Path) -> None:
    assert isinstance(ask(stub(tmp_path, handle=15)), str)
