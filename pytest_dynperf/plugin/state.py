"""What the plugin keeps for one pytest process: made on first use, so that a run that measures nothing pays for nothing."""

from __future__ import annotations

import shlex
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.plugin.options import make_settings, requested_platform, session_identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from pytest_dynperf.plugin.live import Live
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.scenario.platform import Platform
    from pytest_dynperf.session.conduct import Conduct
    from pytest_dynperf.session.ledger import Ledger
    from pytest_dynperf.session.plan import Plan, Settings


@dataclass(slots=True)
class State:
    """``identity`` is shared by controller and xdist workers. ``settings`` is ``None`` until a test asks for a measurement."""

    config: pytest.Config
    identity: Mapping[str, str]
    xdist_worker: str | None
    exchange: Path | None = None
    """Directory through which xdist workers tell the controller what they plan and do; ``None`` without xdist."""
    settings: Settings | None = None
    waiting: str | None = None
    """Whom a session that was told to wait waits for, for the header."""
    misuse: pytest.UsageError | None = None
    """An option without meaning, found while tests were collected: raised once they are, where pytest prints its text and returns 4."""
    platforms: dict[Path, tuple[Platform, str]] = field(default_factory=dict)
    axis_variables: dict[str, str] = field(default_factory=dict)
    """Environment variables that named an axis of a scenario: part of the command that repeats a case."""
    plan: Plan | None = None
    node_ids: dict[str, str] = field(default_factory=dict)
    ledger: Ledger | None = None
    conduct: Conduct | None = None
    live: Live | None = None
    started_s: float = 0.0
    received_signal: str | None = None
    trouble: list[str] = field(default_factory=list)
    """What went wrong with the plugin's own files, for the terminal."""

    @property
    def xdist_workers(self) -> int:
        """How many processes measure in this invocation."""
        return int(getattr(self.config, "workerinput", {}).get("workercount", 1))

    @property
    def axis_assignments(self) -> str:
        """What stands before a command so that it measures the same cases: ``CONCURRENCIES=1,4 ``, or nothing."""
        return "".join(f"{name}={shlex.quote(value)} " for name, value in self.axis_variables.items())

    def make_settings(self) -> Settings:
        """The settings, made on first use.

        :raises pytest.UsageError: for an option that has no meaning.
        """
        if self.settings is None:
            self.settings = make_settings(self.config, self.identity)
        return self.settings

    def the_ledger(self) -> Ledger:
        """The ledger, made on first use."""
        if self.ledger is None:
            from pytest_dynperf.session.ledger import Ledger

            self.ledger = Ledger()
        return self.ledger

    def the_conduct(self) -> Conduct:
        """What the cases of this process share; made when the first one is measured."""
        if self.conduct is None:
            from pytest_dynperf.plugin.live import Live
            from pytest_dynperf.run_directory import RunDirectory
            from pytest_dynperf.session.budget import Budget
            from pytest_dynperf.session.conduct import Conduct
            from pytest_dynperf.session.deployments import Deployments

            settings = self.make_settings()
            run_directory = RunDirectory(settings.run_directory)
            self.live = Live(self.config, self.exchange, self.xdist_worker)
            prefix = f"{self.xdist_worker}-" if self.xdist_worker else ""
            self.conduct = Conduct(
                settings=settings,
                run_directory=run_directory,
                deployments=Deployments(settings, run_directory, self.live.say, prefix),
                progress=self.live.progress,
                budget=Budget(None if settings.budget_s is None else settings.budget_s / self.xdist_workers),
            )
            _stop_on_signals(self)
        return self.conduct

    def platform_for(self, scenario: Path) -> tuple[Platform, str]:
        """The platform that ``--gpu`` picks for a scenario, and why.

        :raises PlatformError: when it is not known or not here.
        """
        from pytest_dynperf.accelerator.nvml import list_gpus
        from pytest_dynperf.quantity import Absent
        from pytest_dynperf.scenario.search import find_platform, platform_names
        from pytest_dynperf.scenario.selection import select_platform

        directory = scenario.parent
        if directory not in self.platforms:
            requested = requested_platform(self.config)
            if self.config.getoption("dynperf_plan") and requested != "auto":
                planned = find_platform(requested, near=directory)
                self.platforms[directory] = planned, f"--gpu={requested}, planned only: this machine's GPUs are not looked at"
                return self.platforms[directory]
            attached = self.make_settings().attached
            names = platform_names(directory) if requested == "auto" else (requested,)
            known = [find_platform(name, near=directory) for name in names]
            gpus = list_gpus()
            found = gpus if isinstance(gpus, Absent) else [(gpu.name, gpu.memory_gib) for gpu in gpus]
            self.platforms[directory] = select_platform(requested, found, known, attached=attached)
        return self.platforms[directory]

    def close(self) -> None:
        """Stop the deployment and release the host; a Ctrl-C while this goes on does not interrupt it (it is bounded to seconds)."""
        if self.conduct is not None:
            with _interrupts_ignored():
                self.conduct.deployments.close()

    def close_unless(self, case: Case | None) -> None:
        """Stop the deployment if the next case does not use it."""
        if self.conduct is not None and not self.conduct.deployments.keeps(None if case is None else case.topology):
            self.close()


STATE = pytest.StashKey[State]()


def create(config: pytest.Config) -> State:
    """The state of this process, from the controller's word where there is one."""
    from pathlib import Path

    given: dict[str, str] | None = getattr(config, "workerinput", {}).get("dynperf")
    if given is None:
        return State(config, session_identity(config), None)
    return State(config, given, config.workerinput["workerid"], Path(given["exchange"]))  # type: ignore[attr-defined]


def _stop_on_signals(state: State) -> None:
    """pytest leaves SIGTERM and SIGHUP to their default, which ends Python without a chance to stop anything."""
    if threading.current_thread() is not threading.main_thread():
        return

    def interrupt(number: int, _frame: FrameType | None) -> None:
        state.received_signal = signal.Signals(number).name
        raise KeyboardInterrupt(state.received_signal)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
