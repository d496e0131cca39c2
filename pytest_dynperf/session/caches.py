"""What the caches of a deployment hold when a measured run begins: ``traffic.cache``, brought about.

How requests are asked and caches are emptied arrives as arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pytest_dynperf.measurement.activation import WITHOUT_TIER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.scenario.traffic import Traffic


class Reset(Protocol):
    """Empties caches of a running deployment."""

    def __call__(self, deployment: Deployment, *, tiers: Sequence[str]) -> None:
        """Returns when the caches of ``tiers`` (``device``, ``host``) are empty.

        :raises DeploymentError: when one of them cannot be emptied.
        """
        ...


def tiers_of(topology: Topology) -> tuple[str, ...]:
    """The tiers above the disk that ``topology`` has, which a cold run must find empty."""
    return ("device",) if topology.kv_cache.connector in WITHOUT_TIER else ("device", "host")


def ready_caches(
    traffic: Traffic, topology: Topology, deployment: Deployment, *, reset: Reset, ask: Callable[[], Recording]
) -> tuple[str, ...]:
    """Bring the caches to the state that ``traffic.cache`` names. Why the state is another one, in words; empty where it is that.

    ``ask`` sends the requests of the run once, unmeasured.

    :raises DeploymentError: when caches cannot be emptied.
    """
    if traffic.cache in {"warm", "disk"}:
        recording = ask()
        failed = [record.error for record in recording.records if record.measured and record.error is not None]
        if recording.incidents:
            return tuple(f"while the caches were warmed: {incident}" for incident in recording.incidents)
        if failed:
            first = f"{failed[0].kind.value}: {failed[0].detail}"
            return (f"{len(failed)} of {len(recording.measured)} requests failed while the caches were warmed; the first: {first}",)
    if traffic.cache in {"cold", "disk"}:
        reset(deployment, tiers=tiers_of(topology))
    return ()
