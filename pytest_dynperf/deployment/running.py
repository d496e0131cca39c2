"""What every launcher hands out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.endpoint import Endpoint


class Deployment(Protocol):
    """A running topology. ``key`` holds the facts that bind comparability, ``provenance`` those that explain a difference."""

    @property
    def endpoint(self) -> Endpoint:
        """Where requests go."""
        ...

    @property
    def services(self) -> Mapping[str, Service]:
        """What was started, by name: for faults, logs and process ids. Empty for an endpoint that somebody else runs."""
        ...

    @property
    def key(self) -> Mapping[str, str]:
        """Dotted names to text: ``cpu.model``, ``cpu.count``, ``model``; ``name`` of an attached environment."""
        ...

    @property
    def provenance(self) -> Mapping[str, str]:
        """Dotted names to text: versions, command-line arguments, digests; ``unknown`` where something could not be learnt."""
        ...

    def incident(self) -> str | None:
        """What went away, in words with its last log lines, or ``None``. Cheap: one system call per service, no network."""
        ...

    def witness(self) -> Mapping[str, float]:
        """Server-side counters now (``nats.in_msgs``), empty where there is none. One HTTP request on loopback, at most 2 s."""
        ...

    def stop(self) -> None:
        """Stop what was started; may be called again. Never raises for a service that is gone already."""
        ...
