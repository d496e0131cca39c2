"""GPUs that will do, leased: looks, chooses, takes, and where somebody was faster or has them all, looks again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_dynperf.accelerator.visible import allowed_by
from pytest_dynperf.deployment.gpu_choice import choose_gpus, devices_of
from pytest_dynperf.deployment.lease import SAME_SESSION_WAIT_S, acquire_gpus, held_by_session, leased_gpus
from pytest_dynperf.errors import DeploymentError, LeaseHeld
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_dynperf.accelerator.source import GpuSource
    from pytest_dynperf.deployment.gpu_choice import GpuNeed
    from pytest_dynperf.deployment.lease import GpuLease

LOOK_S = 1.0
"""How often to look again: each look asks the driver, on which others may be measuring."""


def lease_free_gpus(
    session_id: str,
    need: GpuNeed,
    gpus: GpuSource,
    *,
    directory: Path,
    describe: str,
    environ: Mapping[str, str],
    wait_s: float = 0.0,
    share_host: bool = True,
    same_session_wait_s: float = SAME_SESSION_WAIT_S,
    pause: Callable[[float], None] = time.sleep,
) -> GpuLease:
    """The first ``need.count`` GPUs or MIG instances that will do. ``environ`` has the outer ``CUDA_VISIBLE_DEVICES``.

    While leases stand in the way it looks again, up to ``wait_s``, or ``same_session_wait_s`` where another process of this session has
    some: it takes whichever become free first. What no lease stands in the way of is refused at once.

    :raises LeaseHeld: when the wait is over; says of each GPU who has it.
    :raises DeploymentError: when there are too few that will do, whoever leases them; when leases cannot be taken in ``directory``.
    :raises UsageError: for a ``CUDA_VISIBLE_DEVICES`` that cannot be understood.
    """
    began = time.monotonic()
    while True:
        problem = _try(session_id, need, gpus, directory=directory, describe=describe, environ=environ, share_host=share_host)
        if not isinstance(problem, DeploymentError):
            return problem
        patience_s = max(wait_s, same_session_wait_s if held_by_session(session_id, directory) else 0.0)
        if time.monotonic() - began >= patience_s:
            raise LeaseHeld(str(problem)) from problem
        pause(LOOK_S)


def _try(
    session_id: str, need: GpuNeed, gpus: GpuSource, *, directory: Path, describe: str, environ: Mapping[str, str], share_host: bool
) -> GpuLease | DeploymentError:
    """A lease, or what stands in its way for now."""
    listed = gpus.gpus()
    allowed = None if isinstance(listed, Absent) else allowed_by(environ, listed)
    devices = () if isinstance(listed, Absent) else devices_of(listed)
    leased = leased_gpus([device.uuid for device in devices], directory)
    readings = {device.uuid: gpus.reading(device.uuid) for device in devices if device.uuid not in leased}
    try:
        uuids = choose_gpus(need, listed, readings=readings, leased=leased, allowed=allowed)
    except DeploymentError as error:
        try:
            choose_gpus(need, listed, readings=readings, leased={}, allowed=allowed)
        except DeploymentError:
            raise error from None  # not for the leases
        return error
    try:
        return acquire_gpus(
            session_id, uuids, directory=directory, describe=describe, share_host=share_host, wait_s=0.0, same_session_wait_s=0.0
        )
    except LeaseHeld as error:
        return error
