"""Which deployments run now: the candidate, reused between cases with the same deployment key and replaced when the key changes, and
the control, while a duet needs it. Never two of one arm.

The host lease lives as long as a deployment that needs it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.attached import attach
from pytest_dynperf.deployment.lease import acquire_host, default_directory
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import CaseTimeout, DeploymentError, DynperfError, LeaseHeld, UsageError
from pytest_dynperf.session.control import missing_versions
from pytest_dynperf.session.deadline import CaseDeadline
from pytest_dynperf.session.gpus import lease_gpus
from pytest_dynperf.session.launching import OPTION as LAUNCHER
from pytest_dynperf.session.launching import by_extension, in_containers, launch, versions_here
from pytest_dynperf.session.redaction import redact_logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_dynperf.deployment.lease import HostLease
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.run_directory import RunDirectory
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.session.control import ControlArm
    from pytest_dynperf.session.gpus import LeasedGpus
    from pytest_dynperf.session.plan import Settings


OTHER_XDIST_WORKERS_S = 86400.0
"""How long an xdist worker waits for its siblings: as long as a night's cases may take. The lock is free the moment its holder is gone."""


KILL_S = 1.0
"""How long services are killed one by one before all that is left is stopped."""


@dataclass(slots=True, kw_only=True)
class _Arm:
    """What runs for one arm, and the name of its directory (that of the last one where nothing runs)."""

    running: Deployment | None = None
    key: str | None = None
    name: str = "none"
    gpus: LeasedGpus | None = None


class Deployments:
    """Owner of the running deployments and of the host lease of one process.

    ``say`` receives a line for people when something takes time. A topology that failed to start is not tried again in this session: its
    next case gets the same error at once. ``prefix`` keeps the directories of several xdist workers apart.
    """

    def __init__(
        self,
        settings: Settings,
        run_directory: RunDirectory,
        say: Callable[[str], None],
        prefix: str = "",
        *,
        deadline: CaseDeadline | None = None,
    ) -> None:
        self._settings = settings
        self._prefix = prefix
        self._run_directory = run_directory
        self._say = say
        self._deadline = CaseDeadline() if deadline is None else deadline
        self._lease: HostLease | None = None
        self._candidate = _Arm()
        self._control = _Arm()
        self._failed: dict[str, DynperfError] = {}
        self._count = 0

    def get(self, topology: Topology) -> Deployment:
        """The running candidate of ``topology``, started if need be.

        :raises DynperfError: when it cannot be started, is not ready in time, or the host is leased by another session.
        """
        return self._have(self._candidate, self._key_of(topology), lambda: self._start(topology))

    def restart(self, topology: Topology) -> Deployment:
        """A deployment that shares no state with the one before it; an attached endpoint stays what it is."""
        self.discard()
        return self.get(topology)

    def get_control(self, control: ControlArm) -> Deployment:
        """The running control, started if need be, beside the candidate or alone. 2 to 5 s where processes are started.

        :raises DynperfError: when it cannot be started here; such as is another version than the one asked for.
        """
        versions = ",".join(f"{name}={version}" for name, version in sorted(control.versions.items()))
        key = f"control-{control.endpoint_url or control.case.topology.deployment_key}-{control.python or ''}-{versions}"
        return self._have(self._control, key, lambda: self._start_control(control))

    def _have(self, arm: _Arm, key: str, start: Callable[[], Deployment]) -> Deployment:
        if key in self._failed:
            raise self._failed[key]
        if arm.running is not None and arm.key == key:
            return arm.running
        self._stop(arm)
        try:
            arm.running = start()
        except (LeaseHeld, CaseTimeout):
            self._give_back(arm, set())
            raise
        except DynperfError as error:
            self._failed[key] = error
            self._give_back(arm, set())
            raise
        except BaseException:
            self._give_back(arm, set())
            raise
        arm.key = key
        return arm.running

    @property
    def logs(self) -> tuple[str, ...]:
        """Log files of the candidate's deployment, relative to the run directory."""
        return self._logs(self._candidate)

    @property
    def control_logs(self) -> tuple[str, ...]:
        """Those of the control's deployment."""
        return self._logs(self._control)

    def _logs(self, arm: _Arm) -> tuple[str, ...]:
        directory = self._run_directory.deployment(arm.name)
        return tuple(sorted(str(path.relative_to(self._run_directory.root)) for path in directory.glob("*.log")))

    def keeps(self, topology: Topology | None) -> bool:
        """Whether the running candidate serves ``topology`` too."""
        return topology is not None and self._candidate.running is not None and self._candidate.key == self._key_of(topology)

    def discard(self) -> None:
        """Stop the candidate; the lease is kept. Safe to call at any time."""
        self._stop(self._candidate)

    def discard_control(self) -> None:
        """Stop the control; the lease is kept. Safe to call at any time."""
        self._stop(self._control)

    def gpus_of(self, deployment: Deployment) -> LeasedGpus | None:
        """The GPUs that ``deployment`` has; ``None`` where it uses none that are ours to lease."""
        return next((arm.gpus for arm in (self._candidate, self._control) if arm.running is deployment), None)

    def _stop(self, arm: _Arm) -> None:
        running, arm.running, arm.key = arm.running, None, None
        if running is None:
            return
        pids = {pid for service in running.services.values() for pid in service.pids} if arm.gpus is not None else set()
        try:
            running.stop()
        finally:
            for trouble in redact_logs(self._run_directory.deployment(arm.name), self._settings):
                self._say(trouble)
            self._give_back(arm, pids)

    def _give_back(self, arm: _Arm, pids: set[int]) -> None:
        """The GPUs of an arm whose processes were ``pids``, once nothing holds them. Where something does, they stay leased as long as it
        lives, and whoever asks for them next is told.
        """
        gpus, arm.gpus = arm.gpus, None
        if gpus is None:
            return
        try:
            for note in gpus.give_back(pids):
                self._say(note)
        except DeploymentError as error:
            self._say(str(error))

    def close(self, *, at_once: bool = False) -> None:
        """Stop what runs and release the lease. ``at_once``: all services are killed first, so that none takes its time."""
        try:
            if at_once:
                _kill_all(self._control.running, self._candidate.running)
            self.discard_control()
        finally:
            try:
                self.discard()
            finally:
                lease, self._lease = self._lease, None
                if lease is not None:
                    lease.release()

    def _key_of(self, topology: Topology) -> str:
        return "attached" if self._settings.attached else topology.deployment_key

    def _lease_the_host(self) -> None:
        if self._lease is not None:
            return
        settings = self._settings
        self._say("waiting for the host lease")
        with self._deadline.paused():
            self._lease = acquire_host(
                settings.session_id,
                directory=default_directory(),
                wait_s=settings.lease_wait_s,
                describe=f"pytest in {settings.rootdir}",
                same_session_wait_s=OTHER_XDIST_WORKERS_S,
            )

    def _start(self, topology: Topology) -> Deployment:
        settings = self._settings
        if settings.attached or not shares_host(topology):
            self._lease_the_host()
        if settings.endpoint_url is not None:
            self._say(f"attaching to {settings.endpoint_url}")
            return attach(attached_endpoint(settings), environment_name=settings.environment_name)
        self._say(f"starting {topology.engine}, {topology.shape}")
        return self._launched(self._candidate, topology, topology.deployment_key)

    def _start_control(self, control: ControlArm) -> Deployment:
        settings, topology = self._settings, control.case.topology
        if control.endpoint_url is not None or not shares_host(topology):
            self._lease_the_host()
        if control.endpoint_url is not None:
            self._say(f"attaching to {control.endpoint_url} as control")
            return attach(control_endpoint(control, settings), environment_name=settings.environment_name)
        self._say(f"starting the control: {control.words}")
        own = settings.launcher if in_containers(settings) or by_extension(settings) else "process"
        if control.launcher not in (None, own):
            msg = (
                f"the baseline was started by the launcher {control.launcher}: with another one its control would not be what it was. "
                f"Measure with {LAUNCHER}={control.launcher}."
            )
            raise DeploymentError(msg)
        # In containers the image that the baseline ran is started again, and with it its versions.
        asked = {} if in_containers(settings) or by_extension(settings) else control.versions
        missing = missing_versions(asked, versions_here(topology, settings, control.python)) if asked else None
        if missing is not None:
            raise DeploymentError(missing)
        return self._launched(self._control, topology, f"control-{topology.deployment_key}", python=control.python)

    def _launched(self, arm: _Arm, topology: Topology, name: str, *, python: Path | None = None) -> Deployment:
        if topology.gpu_count and not by_extension(self._settings):  # its GPUs need not be of this host
            with self._deadline.paused():
                arm.gpus = lease_gpus(topology, self._settings, same_session_wait_s=OTHER_XDIST_WORKERS_S)
        self._count += 1
        directory = arm.name = f"{self._prefix}{self._count:02d}-{name}"
        with self._deadline.enforced(f"deploying {topology.engine}, {topology.shape}"):
            return launch(
                topology,
                self._settings,
                directory=self._run_directory.deployment(directory),
                log_path=lambda service: self._run_directory.log(directory, service),
                python=python,
                gpus=() if arm.gpus is None else arm.gpus.uuids,
                descriptors=() if arm.gpus is None else arm.gpus.descriptors,
            )


def shares_host(topology: Topology) -> bool:
    """Whether others may be measured beside it: its GPUs alone are leased."""
    return topology.exclusive == "gpu" and topology.gpu_count > 0


def _kill_all(*arms: Deployment | None) -> None:
    """SIGKILL to every service of the arms, as long as it goes quickly; whoever stops them afterwards ends the rest."""
    deadline = time.monotonic() + KILL_S
    for service in [service for arm in arms if arm is not None for service in arm.services.values()]:
        if time.monotonic() > deadline:
            return
        with suppress(DynperfError, OSError):
            service.kill()


def check_host_is_free(settings: Settings) -> str | None:
    """Find out before the first case that another session measures here. Where the options say to wait for it: whom, and for how long.

    :raises LeaseHeld: naming who measures, where nobody wants to wait.
    """
    try:
        acquire_host(settings.session_id, directory=default_directory(), describe=f"pytest in {settings.rootdir}").release()
    except LeaseHeld as error:
        if settings.lease_wait_s <= 0:
            raise
        return f"{str(error).partition(';')[0]}: waiting for it, up to {settings.lease_wait_s:g} s"
    return None


def attached_endpoint(settings: Settings) -> Endpoint:
    """The endpoint that the options describe.

    :raises UsageError: when the model is not named.
    """
    if settings.endpoint_url is None or settings.model is None:
        msg = "--dynperf-endpoint needs --dynperf-model: the name under which the server serves the model"
        raise UsageError(msg)
    return Endpoint(
        base_url=settings.endpoint_url, model=settings.model, api_key_variable=settings.api_key_variable, headers=settings.headers
    )


def control_endpoint(control: ControlArm, settings: Settings) -> Endpoint:
    """The endpoint of a control that runs already: asked for the candidate's model, with the same key and headers where those are given.

    :raises UsageError: when it has no URL.
    """
    if control.endpoint_url is None:
        msg = "--dynperf-control=endpoint=URL: the URL is missing"
        raise UsageError(msg)
    return Endpoint(
        base_url=control.endpoint_url,
        model=settings.model or control.case.topology.model,
        api_key_variable=settings.api_key_variable,
        headers=settings.headers,
    )


def with_gpu_count(endpoint: Endpoint, topology: Topology) -> Endpoint:
    """``endpoint`` with the number of GPUs that its topology uses; none where the topology uses none."""
    return endpoint if endpoint.gpu_count is not None or not topology.gpu_count else replace(endpoint, gpu_count=topology.gpu_count)
