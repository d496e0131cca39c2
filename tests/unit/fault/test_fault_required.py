"""What a fault must lead to, where no other room's tests show it: an error that names the thing, and nothing left."""

from __future__ import annotations

import os
import signal
import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.deployment.ports import free_ports
from pytest_dynperf.deployment.process_launcher import ProcessLauncher
from pytest_dynperf.deployment.readiness import wait_services
from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.load.run import run_load
from pytest_dynperf.measurement.validity import problems
from pytest_dynperf.observation.request_record import FailureKind
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.workload.request import Request
from tests.fakes.served import served

if TYPE_CHECKING:
    from collections.abc import Iterator

HUNG = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
BOUND = "import socket, time; s = socket.create_server(('127.0.0.1', int(__import__('sys').argv[1]))); time.sleep(600)"


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        pytest.param(HUNG, "refuses", id="stopped before it listens"),
        pytest.param(BOUND, "did not answer completely", id="listens and never answers"),
    ],
)
def test_a_worker_that_hangs_before_it_is_ready_is_named_and_stopped(tmp_path: Path, code: str, seen: str) -> None:
    (port,) = free_ports(1)
    spec = ServiceSpec(
        name="worker-1",
        role="worker",
        argv=(sys.executable, "-c", code, str(port)),
        env={"PATH": os.environ["PATH"]},
        ports={"system": port},
        ready=ReadyCheck(port="system", path="/health"),
        working_directory=str(tmp_path / "work"),
    )
    group = ProcessLauncher().start([spec], directory=tmp_path / "state", log_path=lambda name: tmp_path / f"{name}.log")
    pids = group.services["worker-1"].pids
    try:
        with pytest.raises(DeploymentError, match=r"not ready: waited .* s for service worker-1 .*/health\); last seen: ") as caught:
            wait_services(tuple(group.services.values()), incident=group.incident, deadline=time.monotonic() + 4.0)
    finally:
        group.stop()
    assert seen in str(caught.value)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_worker_paused_in_mid_stream_ends_at_the_deadline_between_tokens(tmp_path: Path) -> None:
    """Nobody asked for it, and no connection says so: SIGSTOP from outside."""
    traffic = Traffic(isl=7, osl=2000, concurrency=1, requests=1, warmup_requests=0, inter_token_timeout_s=1.0, request_timeout_s=60.0)
    asked: Iterator[Request] = (Request(index=index, content="x", isl=7, osl=2000) for index in count())
    with served(tmp_path) as deployment:
        (pid, *_) = deployment.services["worker-0"].pids
        stopped: list[int] = []

        def stop_it() -> str | None:
            """Polled every 100 ms while the stream goes on for four seconds."""
            if not stopped:
                stopped.append(pid)
                os.kill(pid, signal.SIGSTOP)
            return deployment.incident()

        try:
            recording = run_load(deployment.endpoint, asked, traffic, run="1", seed=1, records_path=None, incident=stop_it)
        finally:
            os.kill(pid, signal.SIGCONT)
    (record,) = recording.measured
    assert record.error is not None
    assert record.error.kind is FailureKind.TIMEOUT
    assert "1 s" in record.error.detail
    assert any("1 of 1 requests failed" in problem for problem in problems(recording, traffic, Expectation(gates=())))


HOSTILE = (
    "../../../../etc/cron.d/x",
    "/etc/passwd",
    "..",
    ".",
    "",
    "a/../../b",
    "a\x00b",
    "a\nb",
    "~root",
    "C:\\x",
    "x" * 4000,
    "\u202egpj",
)


@given(st.text() | st.sampled_from(HOSTILE), st.text() | st.sampled_from(HOSTILE), st.text() | st.sampled_from(HOSTILE))
def test_no_name_leaves_the_run_directory(suite: str, case_id: str, name: str) -> None:
    root = Path("/run/directory")
    run = RunDirectory(root)
    for path, depth in ((run.records(suite, case_id, name), 4), (run.log(suite, name), 3), (run.deployment(case_id), 2)):
        normal = Path(os.path.normpath(path))
        assert normal.is_relative_to(root)
        assert len(normal.relative_to(root).parts) == depth
        assert "\x00" not in str(path)
        assert all(len(part) <= 255 for part in path.parts)
