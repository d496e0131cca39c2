"""What the plugin keeps for one pytest process: made on first use, so that a run that measures nothing pays for nothing."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.plugin import interruption
from pytest_dynperf.plugin.combinations import check_settled
from pytest_dynperf.plugin.options import make_settings, reports_directory, requested_platform, session_identity
from pytest_dynperf.plugin.resumption import resumed_identity

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.deployment.session_lock import SessionLock
    from pytest_dynperf.plugin.live import Live
    from pytest_dynperf.report.session_report import CaseResult, SessionReport
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
    temporary: Path
    """Directory for what the session writes while it runs, made when something is measured; under xdist the controller and its workers meet
    there. Its name says whose it is, so that whoever finds the session dead can remove it."""
    settings: Settings | None = None
    waiting: str | None = None
    """Whom a session that was told to wait waits for, for the header."""
    swept: str | None = None
    """What dead sessions had left and this one has removed, for the header."""
    lock: SessionLock | None = None
    guard: subprocess.Popen[bytes] | None = None
    insistence: interruption.Insistence | None = None
    watch: interruption.Watch | None = None
    """An xdist worker's eye on its controller."""
    before: SessionReport | None = None
    """The session as it was when it was cut short, where this invocation goes on with it."""
    written: int | None = None
    """How many results the unfinished session.json tells of; ``None`` where none is kept."""
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
    pruned: list[str] = field(default_factory=list)
    """What the retention has removed, for the terminal."""
    trouble: list[str] = field(default_factory=list)
    """What went wrong with the plugin's own files, for the terminal."""

    @property
    def xdist_workers(self) -> int:
        """How many processes measure in this invocation."""
        return int(getattr(self.config, "workerinput", {}).get("workercount", 1))

    @property
    def exchange(self) -> Path | None:
        """Directory through which xdist workers tell the controller what they plan and do; ``None`` without xdist."""
        return self.temporary if self.xdist_worker is not None else None

    @property
    def part(self) -> int:
        """Which part of the session this invocation is: 1, and one more each time that it was gone on with."""
        return int(self.identity.get("part", "1"))

    def earlier(self, case: Case) -> CaseResult | None:
        """What an earlier part of the session has found out about ``case``."""
        results = () if self.before is None else self.before.results
        return next((result for result in results if result.case.name == case.name), None)

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
            from pytest_dynperf.session.deadline import CaseDeadline
            from pytest_dynperf.session.deployments import Deployments

            settings = self.make_settings()
            self.hold_session()
            run_directory = RunDirectory(settings.run_directory)
            self.live = Live(self.config, self.exchange, self.xdist_worker)
            if self.swept is not None and self.plan is None:  # no header will say it
                self.live.say(self.swept)
            prefix = f"{self.xdist_worker}-" if self.xdist_worker else ""
            prefix += f"part{self.part}-" if self.part > 1 else ""
            deadline = CaseDeadline()
            self.conduct = Conduct(
                settings=settings,
                run_directory=run_directory,
                deployments=Deployments(settings, run_directory, self.live.say, prefix, deadline=deadline),
                progress=self.live.progress,
                budget=Budget(None if settings.budget_s is None else settings.budget_s / self.xdist_workers),
                temporary=self.temporary,
                deadline=deadline,
            )
        return self.conduct

    def hold_session(self) -> None:
        """Say to other sessions of this host that this one lives, for as long as this process does, once what dead ones left is removed.

        Under xdist the controller sweeps up, before anything is started, and its workers only where it plans nothing.

        :raises DynperfError: when the directory for locks is not this user's own, or cannot be written.
        """
        if self.lock is not None:
            return
        from pytest_dynperf.deployment.lease import default_directory
        from pytest_dynperf.deployment.session_lock import Trace, boot_id, hold_session
        from pytest_dynperf.deployment.sweep import sweep, swept_line
        from pytest_dynperf.deployment.sweep_engine import local_engine

        settings = self.make_settings()
        directory = default_directory()
        if self.xdist_worker is None or self.plan is None:
            engine = local_engine()
            try:
                self.swept = swept_line(sweep(directory, engine))
            finally:
                if engine is not None:
                    engine.close()
        trace = Trace(
            session_id=settings.session_id, boot=boot_id(), temporary=self.temporary.absolute(), run_directory=settings.run_directory
        )
        self.lock = hold_session(trace, directory)
        if self.xdist_worker is None:
            from pytest_dynperf.deployment import reaper

            # Where this process is killed after its deployments have ended, and its xdist workers with them, nobody else is there to do it.
            self.guard = reaper.start(f"{settings.session_id}-temporary", directories=(str(trace.temporary),))
        self.insistence = interruption.stop_on_signals(self._note_signal)

    def heard(self) -> None:
        """An interrupt has reached pytest, or what comes is the end anyway."""
        if self.insistence is not None:
            self.insistence.heard()

    def _note_signal(self, name: str) -> None:
        self.received_signal = name

    def let_session_go(self) -> None:
        """Nothing of this process is left; where it is the last one of the session, nothing of the session: its temporary files neither."""
        self.heard()
        if self.watch is not None:
            self.watch.close()
        lock, self.lock = self.lock, None
        if lock is None:
            return
        if lock.release():
            shutil.rmtree(self.temporary, ignore_errors=True)
        guard, self.guard = self.guard, None
        if guard is not None:
            from pytest_dynperf.deployment import reaper

            reaper.let_go(guard, clean=True)

    def platform_for(self, scenario: Path) -> tuple[Platform, str]:
        """The platform that ``--gpu`` picks for a scenario, started as ``--dynperf-launcher`` says, and why.

        :raises PlatformError: when it is not known or not here.
        """
        directory = scenario.parent
        if directory not in self.platforms:
            platform, why = self._choose_platform(directory)
            asked = self.make_settings().launcher
            self.platforms[directory] = (platform if asked == "auto" else replace(platform, launcher=asked)), why
        return self.platforms[directory]

    def _choose_platform(self, directory: Path) -> tuple[Platform, str]:
        from pytest_dynperf.accelerator.nvml import list_gpus
        from pytest_dynperf.quantity import Absent
        from pytest_dynperf.scenario.search import find_platform, platform_names
        from pytest_dynperf.scenario.selection import select_platform

        requested = requested_platform(self.config)
        extended = self.make_settings().extensions.known
        if self.config.getoption("dynperf_plan") and requested != "auto":
            planned = find_platform(requested, near=directory, known=extended)
            return planned, f"--gpu={requested}, planned only: this machine's GPUs are not looked at"
        names = platform_names(directory) if requested == "auto" else (requested,)
        known = [find_platform(name, near=directory, known=extended) for name in names]
        gpus = list_gpus()
        found = gpus if isinstance(gpus, Absent) else [(gpu.name, gpu.memory_gib) for gpu in gpus]
        return select_platform(requested, found, known, attached=self.make_settings().attached)

    def settle(self, platform: Platform) -> None:
        """The plan is made on ``platform``: what was left to it is decided.

        :raises pytest.UsageError: for a control that its launcher cannot start.
        """
        settings = replace(self.make_settings(), gpu_pattern=platform.gpu_pattern, gpu_memory_gib=platform.gpu_memory_gib)
        if settings.launcher == "auto" and not settings.attached:
            settings = replace(settings, launcher=platform.launcher)
        self.settings = settings
        check_settled(settings)

    def close(self, *, at_once: bool = False) -> None:
        """Stop the deployment and release the host, for good; a Ctrl-C while this goes on does not interrupt it (it is bounded to seconds).
        ``at_once`` gives no service the time to end by itself.
        """
        if self.conduct is not None:
            with interruption.ignored():
                self.conduct.deployments.close(at_once=at_once)
                self._step_over()

    def _step_over(self) -> None:
        if self.live is not None:
            self.live.over()

    def close_unless(self, case: Case | None) -> None:
        """Stop the deployment if the next case does not use it. An interrupt while this goes on counts when it is done."""
        if self.conduct is not None and not self.conduct.deployments.keeps(None if case is None else case.topology):
            with interruption.deferred():
                self.conduct.deployments.close()
                self._step_over()


STATE = pytest.StashKey[State]()


def create(config: pytest.Config) -> State:
    """The state of this process, from the controller's word where there is one.

    :raises pytest.UsageError: when ``--dynperf-resume`` asks for a session that cannot go on.
    """
    import tempfile
    from pathlib import Path

    given: dict[str, str] | None = getattr(config, "workerinput", {}).get("dynperf")
    if given is None:
        asked = config.getoption("dynperf_resume")
        identity = session_identity(config) if asked is None else resumed_identity(config, asked, reports=reports_directory(config))
        return State(config, identity, None, Path(tempfile.gettempdir()) / f"dynperf-{identity['session_id']}")
    return State(config, given, config.workerinput["workerid"], Path(given["exchange"]))  # type: ignore[attr-defined]
