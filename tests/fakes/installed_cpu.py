"""The installed engine for the CPU in tests: found, or the test says what is missing; deployments of it, and whole sessions on it.

Without it such a test skips. Where ``CI`` is ``true`` nothing may pass unseen: there it is installed first (an installer that is at work is
waited for), and what cannot be installed fails with the installer's last lines.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from pytest_dynperf.deployment.installed_engine import start_installed
from pytest_dynperf.installation.found import found, variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.installation.found import Installed
    from pytest_dynperf.scenario.topology import Topology

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-dynperf"
SUITES = Path(__file__).parents[2] / "suites"
INSTALL_S = 1500.0
SESSION_S = 900.0
LAX = tuple(
    f"--dynperf-set=expect.{key}"
    for key in ("max_send_lag_s=60", "max_receive_lag_s=60", "min_in_flight_share=0.01", "max_uncertain_share=0.99")
)
"""Timings must not decide a test: whatever this machine does to the generator is allowed here."""
TEST = """
def test_it(perf):
    perf.measure()
    perf.check()
"""


def installed_or_missing(name: str) -> Installed:
    """What was installed as ``name``, model and cache server included."""
    if os.environ.get("CI", "").lower() in ("true", "1") and not os.environ.get(variable(name)):
        _install(name)
    engine = found(name, CACHE)
    if engine is None or (name == "cpu" and (engine.model is None or engine.lmcache is None)):
        pytest.skip(f"missing tool: {name} is not installed, or not all of it; dynperf engines install {name}")
    return engine


def _install(name: str) -> None:
    command = [sys.executable, "-m", "pytest_dynperf", "engines", "install", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=INSTALL_S)
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-40:])
        pytest.fail(f"{name} cannot be installed (CI is set: here this is no reason to skip):\n{last}", pytrace=False)


@pytest.fixture(scope="module")
def installed() -> Installed:
    """The engine for the CPU with its model and its cache server."""
    return installed_or_missing("cpu")


@dataclass
class Stack:
    """At most one deployment at a time; asked for another one, the one that runs is stopped and leaves nothing."""

    directory: Path
    running: Deployment | None = None
    topology: Topology | None = None
    count: int = 0

    def __call__(self, topology: Topology) -> Deployment:
        """``topology``, running."""
        if self.running is None or topology != self.topology:
            self.stop()
            self.count += 1
            run = self.directory / str(self.count)
            self.running = start_installed(topology, cache_directory=CACHE, log_path=lambda name: run / f"{name}.log")
            self.topology = topology
        return self.running

    def stop(self) -> None:
        """What runs; proves that no process and no directory of it is left."""
        running, self.running = self.running, None
        if running is None:
            return
        pids = [pid for service in running.services.values() for pid in service.pids]
        services = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
        [state] = {Path(service.spec.working_directory) for service in running.services.values()}
        assert services
        assert state.is_dir()
        running.stop()
        assert [one.pid for one in services if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
        assert not state.exists()


@pytest.fixture(scope="module")
def deployed(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Topology], Deployment]]:
    """Starts what is asked for, where it does not run already."""
    stack = Stack(tmp_path_factory.mktemp("cpu"))
    yield stack
    stack.stop()


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a whole pytest run left."""

    code: int
    text: str
    report: dict[str, Any]

    @property
    def words(self) -> str:
        """What was printed, without its line ends."""
        return " ".join(self.text.split())

    def outcomes(self) -> dict[str, str]:
        """Outcome by case id."""
        return {case["case_id"]: case["verdict"]["outcome"] for case in self.report.get("cases", ())}

    def only(self) -> dict[str, Any]:
        """The one case that was measured."""
        cases: list[dict[str, Any]] = self.report.get("cases", [])
        assert len(cases) == 1, self.text
        return cases[0]

    def case(self, case_id: str) -> dict[str, Any]:
        """The only case of that name."""
        (one,) = (case for case in self.report["cases"] if case["case_id"] == case_id)
        return dict(one)

    def values(self, case_id: str, metric: str) -> list[float] | None:
        """Of the runs; ``None`` where it has none."""
        (one,) = (each for each in self.case(case_id)["metrics"] if each["id"] == metric)
        found_values: list[float] | None = one["values"]
        return found_values


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A directory with one suite and the platform ``cpu``, and pytest run in it."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)

    def write(self, scenario: str, name: str = "small") -> Path:
        """A suite of that scenario, alone."""
        shutil.rmtree(self.root / "suites", ignore_errors=True)
        suite = self.root / "suites" / name
        suite.mkdir(parents=True)
        shutil.copytree(SUITES / "platforms", self.root / "suites" / "platforms")
        (suite / "scenario.toml").write_text(scenario)
        (suite / f"test_{name}.py").write_text(TEST)
        return suite

    def copy(self, name: str) -> None:
        """The shipped suite of that name, alone."""
        shutil.rmtree(self.root / "suites", ignore_errors=True)
        for each in (name, "platforms"):
            shutil.copytree(SUITES / each, self.root / "suites" / each, ignore=shutil.ignore_patterns("__pycache__"))

    def environment(self) -> Mapping[str, str]:
        """A lease of its own: these runs measure nothing that counts. Services inherit ``PATH``, and so are known by it."""
        return os.environ | {
            "DYNPERF_LEASE_DIRECTORY": str(self.root / "leases"),
            "PATH": f"{os.environ.get('PATH', '')}:{self.root}",
            "XDG_CACHE_HOME": str(CACHE.parent),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_PLUGINS": "pytest_dynperf.plugin",
            **self.variables,
        }

    def run(self, *arguments: str) -> Session:
        """``pytest suites --gpu=cpu ARGUMENTS``; nothing of it runs any more afterwards."""
        command = [sys.executable, "-m", "pytest", "suites", "--gpu=cpu", "-p", "no:cacheprovider", *LAX, *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=SESSION_S,
        )  # fmt: skip
        assert self.running() == []
        latest = self.root / "reports" / "latest" / "session.json"
        report = json.loads(latest.read_text()) if latest.is_file() else {}
        return Session(code=done.returncode, text=done.stdout, report=report)

    def running(self) -> list[str]:
        """Command lines of what has this directory on it, or in its environment."""
        lines = []
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
                if process.pid != os.getpid() and str(self.root) in " ".join([*command, *process.environ().values()]):
                    lines.append(" ".join(command))
            except psutil.Error:
                continue
        return lines

    def baselines(self) -> list[Path]:
        """Every accepted document."""
        return sorted((self.root / "baselines").rglob("*.json"))


@pytest.fixture
def cpu_bench(installed: Installed, tmp_path: Path) -> Bench:
    """A place for sessions on the installed engine."""
    return Bench(root=tmp_path)
