"""What holds for every source of GPUs: the one in memory, and the real binding over a stub of the driver's library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.fakes import nvml_stub

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = """
from pytest_dynperf.accelerator.device import Gpu, GpuProcess, MigInstance
from pytest_dynperf.accelerator.in_memory import IDLE, InMemoryGpus
from pytest_dynperf.accelerator.nvml import open_nvml
from dataclasses import fields, replace

MIG = (MigInstance(uuid="MIG-a", memory_gib=10.0),)
def in_memory():
    parts = dict(name="NVIDIA Stub 80GB", memory_gib=80.0, driver_version="570.10")
    gpus = (Gpu(index=0, uuid="GPU-0", **parts), Gpu(index=1, uuid="GPU-1", mig_enabled=True, mig=MIG, **parts))
    def of(uuid, number):
        if uuid == "GPU-0" and number == 0:
            return replace(IDLE, processes=(GpuProcess(pid=12, memory_bytes=1000),), xids=(79,))
        return IDLE
    return InMemoryGpus(gpus, of)

def nvml():
    script(gpus=2, lines={"0.processes": "12:1000", "1.mig": f"MIG-a:{10 << 30}:7", "0.xid": 79, "0.temperature": 40, "0.utilization": 0,
                          "0.sm": 1980, "0.mem": 2600, "0.power": 90000})
    return open_nvml()

source = {"in-memory": in_memory, "nvml": nvml}[os.environ["SOURCE"]]()
"""


@pytest.fixture(params=["in-memory", "nvml"])
def ask(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], object]:
    """Runs a program that has ``source``."""
    library = nvml_stub.build(tmp_path)

    def run(program: str) -> object:
        environment = {**nvml_stub.environment(library, tmp_path / "script"), "SOURCE": request.param}
        argv = [sys.executable, "-c", nvml_stub.PRELUDE + PROGRAM + program]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        answer: object = json.loads(done.stdout.splitlines()[-1])
        return answer

    return run


def test_gpus_are_listed_with_their_mig_instances(ask: Callable[[str], object]) -> None:
    assert ask(
        "say([[g.index, g.uuid, g.name, g.memory_gib, g.driver_version, [[p.uuid, p.memory_gib] for p in g.mig]] for g in source.gpus()])"
    ) == [
        [0, "GPU-0", "NVIDIA Stub 80GB", 80.0, "570.10", []],
        [1, "GPU-1", "NVIDIA Stub 80GB", 80.0, "570.10", [["MIG-a", 10.0]]],
    ]


def test_a_reading_is_in_si_units(ask: Callable[[str], object]) -> None:
    assert ask(
        "r = source.reading('GPU-0')\n"
        "say([r.uuid, r.gone, r.sm_clock_hz, r.memory_clock_hz, r.clock_reasons, r.temperature_celsius, r.power_w, r.utilization, "
        "r.memory_used_bytes, r.ecc_uncorrected, [[p.pid, p.memory_bytes] for p in r.processes]])"
    ) == ["GPU-0", None, 1.98e9, 2.6e9, 0, 40.0, 90.0, 0.0, 500 << 20, 0, [[12, 1000]]]


def test_an_xid_is_told_once(ask: Callable[[str], object]) -> None:
    assert ask("say([source.reading('GPU-0').xids, source.reading('GPU-0').xids, source.reading('GPU-1').xids])") == [[79], [], []]


def test_an_instance_is_read_by_its_uuid(ask: Callable[[str], object]) -> None:
    assert ask("r = source.reading('MIG-a'); say([r.uuid, r.gone, r.sm_clock_hz is not None])") == ["MIG-a", None, True]


def test_a_device_that_nobody_knows_is_gone_and_all_else_absent(ask: Callable[[str], object]) -> None:
    answer = ask("r = source.reading('GPU-x'); say([bool(r.gone), [type(getattr(r, f.name)).__name__ for f in fields(r)[2:]]])")
    assert answer == [True, ["Absent"] * 10]


def test_without_a_driver_of_the_kernel_it_is_fake_and_says_why(ask: Callable[[str], object]) -> None:
    answer = ask("say([source.source, source.why])")
    assert isinstance(answer, list)
    assert answer[0] == "fake"
    assert answer[1]


def test_it_can_be_closed_twice(ask: Callable[[str], object]) -> None:
    assert ask("source.reading('GPU-0'); source.close(); source.close(); say('closed')") == "closed"


def test_several_threads_may_ask_at_once(ask: Callable[[str], object]) -> None:
    assert ask(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    found = list(pool.map(source.reading, ['GPU-0', 'MIG-a'] * 50))\n"
        "say(sorted(x for r in found for x in r.xids))"
    ) == [79]


def test_the_stub_is_needed_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs a C compiler"):
        nvml_stub.build(tmp_path)
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="needs a C compiler"):
        nvml_stub.build(tmp_path)
    assert os.environ["PATH"] == str(tmp_path)
