"""What is broken while a case is measured, and when it is put right again. Pure: ``fault.injection`` does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.scenario.topology import Topology

NOTHING = "none"
ACTIONS = ("kill", "restart", "pause", "cut-off")
TARGETS = ("worker", "prefill", "decode", "frontend", "etcd", "nats")
FAULTS = (NOTHING, *(f"{action} {target}" for action in ACTIONS for target in TARGETS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``inject`` is ``none``, or an action and the role of the service that it meets; of several services, the first.

    ``kill``: SIGKILL, and started again after ``duration_s``. ``restart``: the same without a pause in between. ``pause``: stopped where it
    is for ``duration_s``. ``cut-off``: no packet in or out for ``duration_s``; containers alone can be cut off.
    It happens when ``after_share`` of the measured requests have ended (seen twice a second), or, where ``at_s`` is set, so many seconds
    after the first of them has. ``restore_s`` is the longest that the deployment may take afterwards, without load, to be what it was;
    one that takes longer is discarded, and its run is invalid.
    """

    inject: str = NOTHING
    after_share: float = 0.25
    at_s: float | None = None
    duration_s: float = 3.0
    restore_s: float = 60.0

    @property
    def action(self) -> str:
        """``kill``, ``restart``, ``pause`` or ``cut-off``; empty for ``none``."""
        return "" if self.inject == NOTHING else self.inject.split()[0]

    @property
    def target(self) -> str:
        """The role that it meets; empty for ``none``."""
        return "" if self.inject == NOTHING else self.inject.split()[1]

    @property
    def name(self) -> str:
        """What a case id says of it: ``kill-worker``."""
        return self.inject.replace(" ", "-")

    @property
    def words(self) -> str:
        """All of it, for people and for what binds comparability."""
        when = f"after {self.after_share:.0%} of the requests" if self.at_s is None else f"{self.at_s:g} s after the first answer"
        return f"{self.inject} {when}" + ("" if self.action == "restart" else f", for {self.duration_s:g} s")


def flaw(fault: Fault, topology: Topology) -> str | None:
    """Why ``topology`` has nothing that the fault could meet, and what to do; ``None`` where it has."""
    target = fault.target
    if not target or target in {"frontend", "etcd", *topology.roles}:
        return None
    if target == "nats":
        if topology.planes == "nats":
            return None
        return f"fault.inject = {fault.inject!r}, but topology.planes = {topology.planes!r} starts no NATS: set topology.planes = 'nats'"
    roles = ", ".join(topology.roles)
    return f"fault.inject = {fault.inject!r}, but topology.mode = {topology.mode!r} has no {target}: its roles are {roles}"
