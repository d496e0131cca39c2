"""Which deployment runs now: reused between cases with the same deployment key, replaced when the key changes, never two at once.

The host lease lives as long as the deployment that needs it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.attached import attach
from pytest_dynperf.deployment.embedded import start_embedded
from pytest_dynperf.deployment.lease import acquire_host, default_directory
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import DynperfError, LeaseHeld, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.deployment.lease import HostLease
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.run_directory import RunDirectory
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.session.plan import Settings


OTHER_XDIST_WORKERS_S = 86400.0
"""How long an xdist worker waits for its siblings: as long as a night's cases may take. The lock is free the moment its holder is gone."""


class Deployments:
    """Owner of the running deployment and of the host lease of one process.

    ``say`` receives a line for people when something takes time. A topology that failed to start is not tried again in this session: its
    next case gets the same error at once. ``prefix`` keeps the directories of several xdist workers apart.
    """

    def __init__(self, settings: Settings, run_directory: RunDirectory, say: Callable[[str], None], prefix: str = "") -> None:
        self._settings = settings
        self._prefix = prefix
        self._run_directory = run_directory
        self._say = say
        self._lease: HostLease | None = None
        self._running: Deployment | None = None
        self._key: str | None = None
        self._failed: dict[str, DynperfError] = {}
        self._count = 0

    def get(self, topology: Topology) -> Deployment:
        """The running deployment of ``topology``, started if need be.

        :raises DynperfError: when it cannot be started, is not ready in time, or the host is leased by another session.
        """
        key = self._key_of(topology)
        if key in self._failed:
            raise self._failed[key]
        if self._running is not None and self._key == key:
            return self._running
        self.discard()
        try:
            self._running = self._start(topology)
        except LeaseHeld:
            raise
        except DynperfError as error:
            self._failed[key] = error
            raise
        self._key = key
        return self._running

    def restart(self, topology: Topology) -> Deployment:
        """A deployment that shares no state with the one before it; an attached endpoint stays what it is."""
        self.discard()
        return self.get(topology)

    @property
    def name(self) -> str:
        """Name of the running deployment's directory."""
        return self._name(self._key or "none")

    @property
    def logs(self) -> tuple[str, ...]:
        """Log files of the running deployment, relative to the run directory."""
        directory = self._run_directory.deployment(self.name)
        return tuple(sorted(str(path.relative_to(self._run_directory.root)) for path in directory.glob("*.log")))

    def keeps(self, topology: Topology | None) -> bool:
        """Whether the running deployment serves ``topology`` too."""
        return topology is not None and self._running is not None and self._key == self._key_of(topology)

    def discard(self) -> None:
        """Stop what runs; the lease is kept. Safe to call at any time."""
        running, self._running, self._key = self._running, None, None
        if running is not None:
            running.stop()

    def close(self) -> None:
        """Stop what runs and release the lease."""
        try:
            self.discard()
        finally:
            lease, self._lease = self._lease, None
            if lease is not None:
                lease.release()

    def _key_of(self, topology: Topology) -> str:
        return "attached" if self._settings.attached else topology.deployment_key

    def _name(self, key: str) -> str:
        return f"{self._prefix}{self._count:02d}-{key}"

    def _start(self, topology: Topology) -> Deployment:
        settings = self._settings
        if self._lease is None:
            self._say("waiting for the host lease")
            self._lease = acquire_host(
                settings.session_id,
                directory=default_directory(),
                wait_s=settings.lease_wait_s,
                describe=f"pytest in {settings.rootdir}",
                same_session_wait_s=OTHER_XDIST_WORKERS_S,
            )
        if settings.endpoint_url is not None:
            self._say(f"attaching to {settings.endpoint_url}")
            return attach(attached_endpoint(settings), environment_name=settings.environment_name)
        self._say(f"starting {topology.engine}, {topology.shape}")
        self._count += 1
        name = self._name(topology.deployment_key)
        return start_embedded(
            topology,
            directory=self._run_directory.deployment(name),
            cache_directory=settings.cache_directory,
            log_path=lambda service: self._run_directory.log(name, service),
        )


def check_host_is_free(settings: Settings) -> None:
    """Find out before the first case that another session measures here, unless the options say to wait for it.

    :raises LeaseHeld: naming who measures.
    """
    if settings.lease_wait_s <= 0:
        acquire_host(settings.session_id, directory=default_directory(), describe=f"pytest in {settings.rootdir}").release()


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


def with_gpu_count(endpoint: Endpoint, topology: Topology) -> Endpoint:
    """``endpoint`` with the number of GPUs that its topology uses; none where the topology uses none."""
    return endpoint if endpoint.gpu_count is not None or not topology.gpu_count else replace(endpoint, gpu_count=topology.gpu_count)
