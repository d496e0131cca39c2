"""A real pytest session of a small suite on the mocker, in a directory, a temporary directory and a process group of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.kills.kill import XDIST_WORKER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.kills.kill import Kill

SCENARIO = """
schema = 1
question = "Does a session that is ended leave anything behind?"

[traffic]
isl = 64
osl = 8

[axes]
"traffic.concurrency" = [1, 2]

# Whatever this machine does to the generator is allowed here.
[expect]
max_send_lag_s = 60
max_receive_lag_s = 60
max_uncertain_share = 0.99
min_in_flight_share = 0.01

[[expect.gate]]
metric = "inter_token_latency.v1"
statistic = "p50"
tolerance = 0.5

[platform.mocker.topology]
worker.count = 1
router_mode = "round-robin"
planes = "nats"
"""
TEST = """
def test_ended(perf):
    {planted}
    perf.measure()
    perf.check()
"""
CASES = 2
PLANTED = {
    "child": "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True, env={})",
    "lease": (
        "import fcntl, os, pathlib, subprocess; "
        "file = open(pathlib.Path(os.environ['DYNPERF_LEASE_DIRECTORY'], 'gpu-GPU-0.lock'), 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
        "subprocess.Popen(['sleep', '600'], start_new_session=True, env={}, pass_fds=[file.fileno()])"
    ),
    "file": "import os, pathlib; pathlib.Path(os.environ['TMPDIR'], 'dynperf-forgotten').mkdir(exist_ok=True)",
}
"""Leaks to plant, by name: each must turn the campaign red."""
_WORKER_S = 20.0
_STACKS_S = 1.0


@dataclass(slots=True, kw_only=True)
class Session:
    """``root`` holds the suite, ``reports`` and ``tmp``; ``leases`` is shared with the sessions before and after it."""

    root: Path
    leases: Path
    process: subprocess.Popen[bytes]
    started_s: float

    @property
    def run(self) -> Path | None:
        """Its run directory, once there is one."""
        found = sorted(path for path in self.root.glob("reports/2*") if path.is_dir())
        return found[-1] if found else None

    @property
    def session_id(self) -> str:
        """Empty before there is a run directory."""
        return "" if self.run is None else self.run.name.partition("-")[2]

    def report(self) -> dict[str, Any] | None:
        """``session.json``, if it is there.

        :raises ValueError: when it is torn.
        """
        path = None if self.run is None else self.run / "session.json"
        if path is None or not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def output(self) -> str:
        """What pytest has printed."""
        return (self.root / "output.txt").read_text(errors="replace")

    def doing(self) -> str:
        """How far it has come, by its files."""
        if self.run is None:
            return "before it began"
        records = sorted(self.run.glob("records/*/*/*.jsonl*"), key=lambda path: path.stat().st_mtime)
        if records:
            return f"in or after {records[-1].parent.name[-2:]} {records[-1].name.partition('.')[0]}"
        return "while deploying" if any(self.run.glob("deployments/*")) else "before it deployed"

    def ended(self) -> bool:
        """Whether pytest itself has."""
        return self.process.poll() is not None


def write_suite(root: Path, planted: str | None) -> None:
    """The suite, with a leak where one is asked for."""
    suite = root / "suites" / "ended"
    suite.mkdir(parents=True)
    (suite / "scenario.toml").write_text(SCENARIO)
    (suite / "test_ended.py").write_text(TEST.format(planted=PLANTED[planted] if planted else "pass"))
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "tmp").mkdir()


def start(root: Path, leases: Path, arguments: Sequence[str]) -> Session:
    """``pytest suites ARGUMENTS`` in ``root``; not waited for."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST", "DYNPERF"))}
    environment |= {"DYNPERF_LEASE_DIRECTORY": str(leases), "TMPDIR": str(root / "tmp")}
    # None of the other plugins that happen to be installed here: 1.6 s each time.
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_dynperf.plugin,xdist.plugin"}
    command = [sys.executable, "-m", "pytest", "suites", "--gpu=mocker", "-p", "no:cacheprovider", *arguments]
    with (root / "output.txt").open("ab") as output:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    return Session(root=root, leases=leases, process=process, started_s=time.monotonic())


def strike(session: Session, kill: Kill, after_s: float) -> str:
    """Wait for the moment and send the signal; in words what was hit, and when."""
    while time.monotonic() < session.started_s + after_s and not session.ended():
        time.sleep(0.005)
    target = _target(session, kill)
    moment = f"{time.monotonic() - session.started_s:.1f} s, {session.doing()}"
    if target is None:
        return f"nobody: it had ended, {moment}"
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        os.kill(target, kill.signal)
    return f"at {moment}"


def _target(session: Session, kill: Kill) -> int | None:
    deadline = time.monotonic() + _WORKER_S
    while not session.ended() and time.monotonic() < deadline:
        if kill.target != XDIST_WORKER:
            return session.process.pid
        workers = _xdist_workers(session)
        if workers:
            return workers[kill.worker % len(workers)]
        time.sleep(0.01)
    return None


def _xdist_workers(session: Session) -> list[int]:
    """Children of the controller that read their orders from a pipe, as execnet starts them."""
    try:
        children = psutil.Process(session.process.pid).children()
        return sorted(child.pid for child in children if "sys.stdin.readline" in " ".join(child.cmdline()))
    except psutil.Error:
        return []


def finish(session: Session, timeout_s: float) -> bool:
    """Wait for pytest; whether it ended by itself. What did not is killed, and its output then says where it was."""
    try:
        session.process.wait(timeout_s)
        return True
    except subprocess.TimeoutExpired:
        for number in (*_xdist_workers(session), session.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGABRT)  # pytest's faulthandler prints every thread's stack
        time.sleep(_STACKS_S)
        os.killpg(session.process.pid, signal.SIGKILL)
        session.process.wait()
        return False
