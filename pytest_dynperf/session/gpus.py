"""The GPUs of one process's deployments: found, leased, watched, and proven free before anybody else gets them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pytest_dynperf.accelerator.nvml import open_nvml
from pytest_dynperf.accelerator.source import gpu_key, gpu_provenance
from pytest_dynperf.deployment.gpu_choice import GpuNeed
from pytest_dynperf.deployment.gpu_lease import lease_free_gpus
from pytest_dynperf.deployment.gpu_release import levels_of, wait_until_released
from pytest_dynperf.deployment.lease import default_directory
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.quantity import Absent
from pytest_dynperf.telemetry.gpu import GpuWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.accelerator.source import GpuSource
    from pytest_dynperf.deployment.gpu_release import GpuLevels
    from pytest_dynperf.deployment.lease import GpuLease
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.session.plan import Settings

RELEASE_S = 30.0
"""How long the memory of a killed worker of many GiB may take to come back."""


class LeasedGpus:
    """GPUs of one deployment, from before its start until they are free again. ``exclusive`` is ``host`` or ``gpu``."""

    def __init__(self, source: GpuSource, lease: GpuLease, *, exclusive: str) -> None:
        self._source, self._lease, self._exclusive = source, lease, exclusive
        self._levels: GpuLevels = levels_of(source, lease.uuids)

    @property
    def uuids(self) -> tuple[str, ...]:
        """What services may see, in the order in which workers take them."""
        return self._lease.uuids

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a worker process inherits, so that the lease lives as long as it does."""
        return self._lease.descriptors

    def watch(self, deployment: Deployment) -> GpuWatch:
        """What is sampled while ``deployment`` is measured."""
        return GpuWatch(
            gpus=self._source,
            uuids=self.uuids,
            own_pids=lambda: {pid for service in deployment.services.values() for pid in service.pids},
        )

    def key(self) -> Mapping[str, str]:
        """What binds comparability: product, number, memory, and whether the host is shared."""
        found = self._source.gpus()
        return {} if isinstance(found, Absent) else gpu_key(found, self.uuids, exclusive=self._exclusive)

    def provenance(self) -> Mapping[str, str]:
        """Driver, UUIDs and the source; what a ``fake`` one says becomes no baseline."""
        return gpu_provenance(self._source)

    def give_back(self, pids: set[int]) -> tuple[str, ...]:
        """After the stop of the deployment whose processes were ``pids``; notes of what could not be proven.

        :raises DeploymentError: when something still holds them; they then stay leased for as long as it lives.
        """
        try:
            notes = wait_until_released(self._levels, pids, time.monotonic() + RELEASE_S)
        except DeploymentError:
            self._lease.release(orphaned=True)
            raise
        finally:
            self._source.close()
        self._lease.release()
        return notes


def lease_gpus(topology: Topology, settings: Settings, *, same_session_wait_s: float) -> LeasedGpus:
    """As many GPUs as ``topology`` uses, of the platform's kind, that nobody leases or works on. Unless it says ``exclusive = "gpu"`` the
    caller has the host's lease already.

    :raises DeploymentError: when there are not so many; ``LeaseHeld`` when others have them for longer than is waited.
    """
    need = GpuNeed(count=topology.gpu_count, pattern=settings.gpu_pattern, memory_gib=settings.gpu_memory_gib)
    source = open_nvml()
    if isinstance(source, Absent):
        msg = f"needs {need.words}, and no GPU is known here: {source.reason}"
        raise DeploymentError(msg)
    try:
        lease = lease_free_gpus(
            settings.session_id,
            need,
            source,
            directory=default_directory(),
            describe=f"pytest in {settings.rootdir}",
            environ=os.environ,
            wait_s=settings.lease_wait_s,
            same_session_wait_s=same_session_wait_s,
            share_host=topology.exclusive == "gpu",
        )
        return LeasedGpus(source, lease, exclusive=topology.exclusive)
    except BaseException:
        source.close()
        raise
