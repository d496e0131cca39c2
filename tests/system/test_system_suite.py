"""The shipped suite on the real stack: what it leaves when it ends, is interrupted, or loses a worker."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
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

SUITES = Path(__file__).parents[2] / "suites"
LAX = [
    f"--dynperf-set=expect.{key}"
    for key in ("max_send_lag_s=60", "max_receive_lag_s=60", "min_in_flight_share=0.01", "max_uncertain_share=0.99")
]
"""Timings must not decide a test: whatever this machine does to the generator is allowed here."""


@dataclass(frozen=True)
class Invocation:
    """``pytest suites`` in a directory of its own, started and not waited for."""

    root: Path
    process: subprocess.Popen[str]

    def finish(self, timeout_s: float = 120) -> tuple[int, str]:
        """Exit code and output."""
        output, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, output

    def session(self) -> dict[str, Any]:
        """What the invocation reported."""
        result: dict[str, Any] = json.loads((self.root / "reports/latest/session.json").read_text())
        return result

    def services(self) -> list[psutil.Process]:
        """Everything that runs with the invocation's directory on its command line or in its environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != self.process.pid and str(self.root) in " ".join([*process.cmdline(), *process.environ().values()]):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def measuring(self) -> bool:
        """Whether the first request of the first run has been recorded."""
        return any(path.stat().st_size for path in self.root.glob("reports/2*/records/*/*/run-1.jsonl*"))


def _until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Invocation]]:
    """Start the suite's test for concurrency 2, with a lease of its own."""
    shutil.copytree(SUITES / "concurrency_sweep", tmp_path / "suites" / "concurrency_sweep")
    started: list[Invocation] = []

    def begin(*arguments: str) -> Invocation:
        environment = os.environ | {"DYNPERF_LEASE_DIRECTORY": str(tmp_path / "leases"), "CONCURRENCIES": "2"}
        command = [sys.executable, "-m", "pytest", "suites", "--gpu=mocker", "-p", "no:cacheprovider", *LAX, *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        started.append(Invocation(tmp_path, process))
        return started[-1]

    yield begin
    for invocation in started:
        if invocation.process.poll() is None:
            invocation.process.kill()
            invocation.process.wait()


def test_the_sweep_measures_and_leaves_nothing_running(start: Callable[..., Invocation]) -> None:
    invocation = start()
    _until(invocation.measuring, 60, "the first request")
    roles = " ".join(" ".join(process.cmdline()) for process in invocation.services())
    assert roles.count("dynamo.mocker") == 2
    for program in ("etcd", "nats-server", "dynamo.frontend"):
        assert program in roles
    code, output = invocation.finish()
    assert code == 0, output
    assert invocation.services() == []
    (case,) = invocation.session()["cases"]
    throughput = next(metric for metric in case["metrics"] if metric["id"] == "output_token_throughput.v1")
    assert len(throughput["values"]) == 3
    assert all(value > 0 for value in throughput["values"])
    assert all(run["witness"]["nats.in_msgs"] >= run["requests"] for run in case["runs"])
    files = [gzip.decompress((invocation.root / "reports/latest" / name).read_bytes()) for name in case["records"]]
    records = [json.loads(line) for file in files for line in file.splitlines()]
    complete = [record for record in records if record["measured"]]
    assert len(complete) == 90
    assert {len(record["chunk_ns"]) for record in complete} == {32}, "every token has text, so every token has a chunk"
    versions = invocation.session()["versions"]
    assert {"etcd", "nats", "ai-dynamo", "pytest-dynperf"} <= versions.keys(), versions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_session_is_incomplete_and_leaves_nothing(start: Callable[..., Invocation], number: signal.Signals) -> None:
    invocation = start("--update-baselines")
    _until(invocation.measuring, 60, "the first request")
    invocation.process.send_signal(number)
    code, output = invocation.finish(30)
    assert code == 2, output
    _until(lambda: invocation.services() == [], 10, "the end of every service")
    session = invocation.session()
    assert session["complete"] is False
    assert session["missing"] == ["concurrency_sweep/agg-isl256-osl32-c2"]
    assert session["interrupted"]
    assert not list((invocation.root / "baselines").rglob("*.json"))


def test_interrupted_while_it_starts(start: Callable[..., Invocation]) -> None:
    invocation = start()
    _until(lambda: bool(invocation.services()), 60, "the first service")
    invocation.process.send_signal(signal.SIGTERM)
    code, output = invocation.finish(30)
    assert code == 2, output
    _until(lambda: invocation.services() == [], 10, "the end of every service")


def test_a_worker_that_is_killed_makes_the_case_invalid(start: Callable[..., Invocation]) -> None:
    invocation = start("--update-baselines")
    _until(invocation.measuring, 60, "the first request")
    worker = next(process for process in invocation.services() if "dynamo.mocker" in " ".join(process.cmdline()))
    worker.kill()
    code, output = invocation.finish()
    assert code == 1, output
    (case,) = invocation.session()["cases"]
    assert case["verdict"]["outcome"] == "invalid"
    assert "worker-" in " ".join(case["verdict"]["reasons"]), case["verdict"]
    assert "SIGKILL" in " ".join(case["verdict"]["reasons"]), case["verdict"]
    assert all(metric["values"] is None for metric in case["metrics"])
    assert not list((invocation.root / "baselines").rglob("*.json"))
    assert invocation.services() == []


@pytest.mark.parametrize(("program", "name"), [("/etcd", "etcd"), ("nats-server", "nats")])
def test_infrastructure_that_goes_away_makes_the_case_invalid(start: Callable[..., Invocation], program: str, name: str) -> None:
    invocation = start("--update-baselines")
    _until(invocation.measuring, 60, "the first request")
    next(process for process in invocation.services() if program in process.cmdline()[0]).kill()
    code, output = invocation.finish()
    assert code == 1, output
    (case,) = invocation.session()["cases"]
    assert case["verdict"]["outcome"] == "invalid"
    assert f"service {name} was killed by SIGKILL, although nobody asked it to" in " ".join(case["verdict"]["reasons"]), case["verdict"]
    assert all(metric["values"] is None for metric in case["metrics"])
    assert not list((invocation.root / "baselines").rglob("*.json"))
    assert invocation.services() == []


@pytest.mark.parametrize(("program", "name"), [("/etcd", "etcd"), ("nats-server", "nats")])
def test_infrastructure_that_is_paused_leaves_nothing_running(start: Callable[..., Invocation], program: str, name: str) -> None:
    """NATS carries the requests, so they end at their deadlines. etcd does not: what goes well without it may count."""
    limits = ("request_timeout_s=2", "inter_token_timeout_s=2", "max_failures_in_a_row=4")
    invocation = start("--update-baselines", *(f"--dynperf-set=traffic.{limit}" for limit in limits))
    _until(invocation.measuring, 60, "the first request")
    next(process for process in invocation.services() if program in process.cmdline()[0]).suspend()
    code, output = invocation.finish()
    (case,) = invocation.session()["cases"]
    reasons = " ".join(case["verdict"]["reasons"])
    if name == "nats":
        assert (code, case["verdict"]["outcome"]) == (1, "invalid"), output
        assert "timeout" in reasons or "NATS took in" in reasons, reasons
    else:
        assert case["verdict"]["outcome"] in {"invalid", "no baseline"}, output
    assert bool(list((invocation.root / "baselines").rglob("*.json"))) == (case["verdict"]["outcome"] != "invalid")
    assert invocation.services() == []


def test_disaggregated_through_an_override(start: Callable[..., Invocation]) -> None:
    invocation = start("--dynperf-set=topology.mode=disagg", "--dynperf-set=topology.router_mode=kv", "--dynperf-set=traffic.requests=30")
    code, output = invocation.finish()
    assert code == 0, output
    (case,) = invocation.session()["cases"]
    assert case["case_id"] == "disagg-isl256-osl32-c2"
    assert sorted(Path(log).stem for log in case["logs"]) == ["decode-0", "etcd", "frontend", "nats", "prefill-0"]
