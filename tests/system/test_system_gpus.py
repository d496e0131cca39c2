"""Whole sessions whose worker has a GPU: leased, watched and given back, over the real binding and a stub of the driver's library."""

from __future__ import annotations

import fcntl
import gzip
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import nvml_stub
from tests.system.test_system_suite import LAX, SUITES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

HEALTHY = {"gpus": 2, "0.name": "NVIDIA H100 80GB HBM3", "1.name": "NVIDIA H100 80GB HBM3", "0.utilization": 70, "1.utilization": 70}
ONE_GPU = ["--dynperf-set=topology.worker.count=1", "--dynperf-set=topology.worker.gpus=1"]


def measured(root: Path, *arguments: str, concurrencies: object = "2", **lines: object) -> tuple[int, str, dict[str, Any]]:
    """Exit code, output and session of the shipped sweep, on GPUs as ``lines`` say."""
    shutil.copytree(SUITES / "concurrency_sweep", root / "suites" / "concurrency_sweep")
    script = root / "gpus"
    script.write_text("".join(f"{key}={value}\n" for key, value in {**HEALTHY, **lines}.items()))
    (root / "library").mkdir()
    environment = nvml_stub.environment(nvml_stub.build(root / "library"), script)
    environment |= {"DYNPERF_LEASE_DIRECTORY": str(root / "leases"), "CONCURRENCIES": str(concurrencies)}
    command = [sys.executable, "-m", "pytest", "suites", "--gpu=mocker", "-p", "no:cacheprovider", *LAX, *ONE_GPU, *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False)
    file = root / "reports/latest/session.json"
    assert file.exists(), done.stdout + done.stderr
    session: dict[str, Any] = json.loads(file.read_text())
    return done.returncode, done.stdout + done.stderr, session


def assert_nothing_is_leased(root: Path) -> None:
    for path in (root / "leases").glob("*.lock"):
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_fake_gpu_is_leased_and_watched_and_becomes_no_baseline(tmp_path: Path) -> None:
    code, output, session = measured(tmp_path, "--update-baselines")
    (case,) = session["cases"]
    facts = {**case["environment"]["key"], **case["environment"]["provenance"]}
    assert code == 0, output
    assert case["verdict"]["outcome"] == "no baseline", output
    assert "H100" in facts["gpu.sku"]
    assert facts["gpu_source"] == "fake"
    assert "fake" in output
    assert not list((tmp_path / "baselines").rglob("*.json")), "a fake GPU became a baseline"
    assert_nothing_is_leased(tmp_path)


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        pytest.param({"0.reasons": 0x20, "0.temperature": 91}, ["GPU 0", "SwThermalSlowdown", "91 °C"], id="throttled"),
        pytest.param({"0.utilization": 0}, ["GPU 0"], id="idle"),
    ],
)
def test_a_gpu_that_does_not_do_its_work_makes_the_case_invalid(tmp_path: Path, lines: dict[str, object], parts: list[str]) -> None:
    code, output, session = measured(tmp_path, **lines)
    (case,) = session["cases"]
    assert code == 1, output
    assert case["verdict"]["outcome"] == "invalid"
    said = " ".join(case["verdict"]["reasons"])
    assert all(part in said for part in parts), said
    assert_nothing_is_leased(tmp_path)


def test_too_few_gpus_are_said_with_what_was_needed(tmp_path: Path) -> None:
    code, output, session = measured(tmp_path, "--dynperf-set=topology.worker.gpus=3")
    assert code == 1, output
    reasons = " ".join(session["cases"][0]["verdict"]["reasons"])
    assert "needs 3 GPUs" in reasons, reasons


@pytest.mark.parametrize(("exclusive", "side_by_side"), [("gpu", True), ("host", False)])
def test_cases_of_two_gpus_meet_on_a_host_of_eight_only_where_they_may(tmp_path: Path, exclusive: str, *, side_by_side: bool) -> None:
    eight = {f"{index}.{name}": HEALTHY[f"0.{name}"] for index in range(8) for name in ("name", "utilization")}
    asked = ["--dynperf-set=topology.worker.gpus=2", f"--dynperf-set=topology.exclusive={exclusive}", "-n", "2"]
    code, output, session = measured(tmp_path, *asked, concurrencies="2,4", gpus=8, **eight)
    assert code == 0, output
    (first_begins, first_ends), (other_begins, other_ends) = (window(tmp_path, case) for case in session["cases"])
    assert (first_begins < other_ends and other_begins < first_ends) is side_by_side, output
    assert_nothing_is_leased(tmp_path)


def window(root: Path, case: dict[str, Any]) -> tuple[int, int]:
    """From the first request that was sent to the last that ended, by the host's monotonic clock."""
    lines = [line for path in case["records"] for line in gzip.decompress((root / "reports/latest" / path).read_bytes()).splitlines()]
    records = [json.loads(line) for line in lines]
    return min(record["sent_ns"] for record in records), max(record["end_ns"] for record in records)
