"""The real binding, without a driver and with a stub library in its place; a subprocess each, because the binding loads once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import nvml_stub

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIST = """
from pytest_dynperf.accelerator.nvml import list_gpus
from pytest_dynperf.quantity import Absent
found = list_gpus()
say(found.reason if isinstance(found, Absent) else [[g.index, g.uuid, g.name, g.memory_gib] for g in found])
"""

OPEN = """
from pytest_dynperf.accelerator.nvml import open_nvml
source = open_nvml()
"""


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[str], object]:
    library = nvml_stub.build(tmp_path)
    return lambda program: nvml_stub.run(library, tmp_path / "script", program)


def test_no_driver_library_is_absent_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("not a library, and found before any real one")

    assert nvml_stub.run(tmp_path, tmp_path / "script", LIST) == "no NVIDIA driver library (libnvidia-ml.so.1)"


def test_devices_are_listed_in_order(ask: Callable[[str], object]) -> None:
    assert ask("script(gpus=2)" + LIST) == [[0, "GPU-0", "NVIDIA Stub 80GB", 80.0], [1, "GPU-1", "NVIDIA Stub 80GB", 80.0]]


def test_a_driver_without_devices_is_not_absent(ask: Callable[[str], object]) -> None:
    assert ask("script(gpus=0)" + LIST) == []


@pytest.mark.parametrize(
    ("code", "part"),
    [(9, "not loaded"), (18, "differ in version"), (4, "no permission"), (13, "too old"), (999, "failed")],
)
def test_failure_of_the_driver_is_absent_with_its_reason(ask: Callable[[str], object], code: int, part: str) -> None:
    assert part in str(ask(f"script(init={code})" + LIST))


def test_failure_of_one_device_leaves_all_unknown(ask: Callable[[str], object]) -> None:
    assert "the GPU is lost" in str(ask("script(gpus=2, lines={'1.handle.code': 15})" + LIST))


FIELDS = {
    "sm": "sm_clock_hz",
    "mem": "memory_clock_hz",
    "reasons": "clock_reasons",
    "temperature": "temperature_celsius",
    "power": "power_w",
    "utilization": "utilization",
    "memory": "memory_used_bytes",
    "ecc": "ecc_uncorrected",
    "processes": "processes",
    "xid": "xids",
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("code", "part"), [(3, "not supported"), (4, "no permission"), (13, "too old"), (999, "failed")])
def test_a_field_that_cannot_be_read_is_absent_and_the_others_are_not(
    ask: Callable[[str], object], field: str, code: int, part: str
) -> None:
    program = f"""
from dataclasses import fields
from pytest_dynperf.quantity import Absent
script(lines={{"0.{field}.code": {code}}})
reading = source.reading("GPU-0")
say([{{f.name: getattr(reading, f.name).reason for f in fields(reading) if isinstance(getattr(reading, f.name), Absent)}}, reading.gone])
"""
    answer = ask(OPEN + program)
    assert isinstance(answer, list)
    absent, gone = answer
    assert gone is None
    assert list(absent) == [FIELDS[field]]
    assert part in absent[FIELDS[field]]


@pytest.mark.parametrize("code", [15, 16])
def test_a_lost_gpu_is_gone_whatever_is_asked(ask: Callable[[str], object], code: int) -> None:
    program = f"""
before = source.reading("GPU-0").gone
script(lines={{"0.code": {code}}})
after = source.reading("GPU-0")
say([before, after.gone, after.power_w.reason])
"""
    answer = ask(OPEN + program)
    assert isinstance(answer, list)
    before, gone, reason = answer
    assert before is None
    assert gone
    assert reason == gone


def test_processes_that_compute_and_draw_are_one_each(ask: Callable[[str], object]) -> None:
    program = """
script(lines={"0.processes": "5:100,6:-1", "0.graphics": "5:300,7:20", "0.mps": "6:50"})
say([[p.pid, p.memory_bytes] for p in source.reading("GPU-0").processes])
"""
    assert ask(OPEN + program) == [[5, 300], [6, 50], [7, 20]]


def test_memory_that_is_not_told_is_absent(ask: Callable[[str], object]) -> None:
    answer = ask(OPEN + "script(lines={'0.processes': '5:-1'}); say([[p.pid, p.memory_bytes] for p in source.reading('GPU-0').processes])")
    assert answer == [[5, {"absent": "the driver does not say how much memory the process uses"}]]


def test_a_flood_of_xids_ends(ask: Callable[[str], object]) -> None:
    answer = ask(OPEN + "script(lines={'0.xid': ','.join(['13'] * 150)}); say(len(source.reading('GPU-0').xids))")
    assert answer == 150


def test_an_instance_has_its_own_memory_and_its_gpu_s_clocks(ask: Callable[[str], object]) -> None:
    program = """
script(lines={"0.mig": "MIG-a:1000:7,MIG-b:2000:9", "0.reasons": 64, "0.used": 16})
r = source.reading("MIG-b")
say([r.memory_used_bytes, r.clock_reasons, r.utilization])
"""
    assert ask(OPEN + program) == [9, 64, {"absent": "not supported by this GPU or driver"}]


def test_a_driver_that_hangs_delays_nobody_for_ever(ask: Callable[[str], object]) -> None:
    program = """
from pytest_dynperf.accelerator import nvml
nvml.PATIENCE_S = 0.05
source._lock.acquire()
say([source.reading("GPU-0").power_w.reason, source.gpus().reason, source.close()])
"""
    answer = ask(OPEN + program)
    assert isinstance(answer, list)
    first, second, third = answer
    assert "has not answered" in first
    assert "has not answered" in second
    assert third is None
