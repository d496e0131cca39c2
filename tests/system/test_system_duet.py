"""Pairs of candidate and control on the real stack: what decides, what never does, and what is left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.system

SCENARIO = """
schema = 1
question = "Is the candidate slower than the control?"

[topology]
engine = "mocker"
model = "dynperf/tiny"

[traffic]
isl = 64
osl = 16
concurrency = 2
requests = 30

[expect]
# Timings must not decide a test: whatever this machine does to the generator is allowed here.
max_send_lag_s = 60
max_receive_lag_s = 60
max_uncertain_share = 0.99
min_in_flight_share = 0.01

[[expect.gate]]
metric = "inter_token_latency.v1"
statistic = "p50"
tolerance = 0.03
"""
TEST = """
def test_duet(perf):
    perf.measure()
    perf.check()
"""
SLOWER = "--dynperf-set=topology.worker.args=--speedup-ratio 0.8"


@dataclass(frozen=True)
class Bench:
    """A suite of one case in a directory of its own."""

    root: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """``pytest suite ARGUMENTS``, started and not waited for."""
        environment = os.environ | {"DYNPERF_LEASE_DIRECTORY": str(self.root / "leases")}
        command = [sys.executable, "-m", "pytest", "suite", "--gpu=mocker", "-p", "no:cacheprovider", *arguments]
        return subprocess.Popen(
            command, cwd=self.root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of the whole."""
        process = self.start(*arguments)
        try:
            output, _ = process.communicate(timeout=400)
        finally:
            process.kill()
            process.wait()
        return process.returncode, output

    def case(self) -> dict[str, Any]:
        """What was reported of the case."""
        session = json.loads((self.root / "reports/latest/session.json").read_text())
        result: dict[str, Any] = session["cases"][0]
        return result

    def services(self) -> list[psutil.Process]:
        """Everything that runs with this directory on its command line or in its environment, but pytest."""
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if "pytest" not in words and str(self.root) in " ".join([*words, *process.environ().values()]):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def set_baseline_speed(self, ratio: float) -> None:
        """Divide every duration in the one baseline by ``ratio``: a baseline of a machine that was so much faster."""
        (path,) = (self.root / "baselines").rglob("*.json")
        text = json.loads(path.read_text())
        for run in text["runs"]:
            for name, value in run["values"].items():
                if name.startswith("inter_token_latency.v1"):
                    run["values"][name] = (
                        {statistic: one / ratio for statistic, one in value.items()} if isinstance(value, dict) else value / ratio
                    )
        path.write_text(json.dumps(text, indent=2, sort_keys=True) + "\n")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """With a baseline of what the candidate is without any flag."""
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "scenario.toml").write_text(SCENARIO)
    (suite / "test_duet.py").write_text(TEST)
    made = Bench(tmp_path)
    code, output = made.run("--update-baselines")
    assert code == 0, output
    yield made
    assert made.services() == []


def test_a_slowed_candidate_is_regressed_by_the_duet(bench: Bench) -> None:
    code, output = bench.run(SLOWER, "--dynperf-control=set=topology.worker.args=--speedup-ratio 1.0")
    assert code == 1, output
    case = bench.case()
    assert case["verdict"]["outcome"] == "regressed"
    assert case["confirmation"] is None
    assert case["duet"]["layout"] == "side by side"
    logs = " ".join(case["logs"])
    assert "-control-" in logs, "logs of both arms are named"
    assert case["duet"]["control_provenance"]["worker.args"].endswith("--speedup-ratio 1.0")


def test_the_baseline_as_control_uses_its_recorded_arguments(bench: Bench) -> None:
    code, output = bench.run(SLOWER, "--dynperf-control=baseline", "--dynperf-control-layout=blocks")
    assert code == 1, output
    case = bench.case()
    assert case["verdict"]["outcome"] == "regressed"
    assert case["duet"]["layout"] == "blocks"
    assert len(case["duet"]["pairs"]) == 10
    assert "worker.args" not in case["duet"]["control_provenance"], "the baseline had none"
    assert len({Path(log).parts[1] for log in case["logs"]}) == 5, "the first session, and four blocks of five"


def test_what_is_unchanged_is_not_regressed_by_a_control_whatever_the_baseline_says(bench: Bench) -> None:
    bench.set_baseline_speed(1.5)
    code, output = bench.run("--dynperf-control=set=topology.worker.args=--speedup-ratio 1.0")
    assert code == 0, output
    case = bench.case()
    assert case["duet"] is not None
    assert case["verdict"]["outcome"] in {"unchanged", "inconclusive"}


def test_another_version_than_the_baselines_is_no_control(bench: Bench) -> None:
    (path,) = (bench.root / "baselines").rglob("*.json")
    text = json.loads(path.read_text())
    text["provenance"]["ai-dynamo.version"] = "0.0.1"
    path.write_text(json.dumps(text, indent=2, sort_keys=True) + "\n")
    code, output = bench.run(SLOWER, "--dynperf-control=baseline")
    assert code in {0, 1}, output
    case = bench.case()
    assert case["duet"] is None
    assert case["confirmation"] is not None
    assert any("ai-dynamo 0.0.1" in reason and "python=PATH" in reason for reason in case["verdict"]["reasons"])


def test_a_control_that_is_killed_in_the_middle_makes_the_case_invalid(bench: Bench) -> None:
    process = bench.start(SLOWER, "--dynperf-control=baseline")
    try:
        _until(lambda: any(path.stat().st_size for path in bench.root.glob("reports/2*/records/*/*/pair-02-c*.jsonl*")), 120)
        worker = next(one for one in bench.services() if "dynamo.mocker" in one.cmdline() and "-control-" in str(one.environ().get("HOME")))
        worker.kill()
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1, output
    case = bench.case()
    assert case["verdict"]["outcome"] == "invalid", case["verdict"]
    reasons = " ".join(case["verdict"]["reasons"])
    assert "control" in reasons
    assert "SIGKILL" in reasons


def _until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {timeout_s} s"
        time.sleep(0.02)
