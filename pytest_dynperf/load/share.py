"""What one load process does of a run: a value that can be handed to another process. Never holds a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pytest_dynperf.endpoint import Endpoint  # noqa: TC001 msgspec evaluates the annotations
from pytest_dynperf.scenario.traffic import Traffic  # noqa: TC001 as above

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """``number`` is that of the process, from 0; ``warmup`` and ``measured`` are its own requests, ``measured_total`` those of all.
    ``lead_ns``: how long before the measured phase the first send of an open loop is due; ``peak_rate_per_s`` that of all processes.
    """

    endpoint: Endpoint
    traffic: Traffic
    run: str
    warmup: int
    measured: int
    measured_total: int
    lead_ns: int = 0
    peak_rate_per_s: float = 0.0
    number: int = 0
    processes: int = 1

    @property
    def slots(self) -> range:
        """Those of the closed loop's slots that are its own, among all."""
        return range(self.number, self.traffic.slots, self.processes)

    @property
    def max_in_flight(self) -> int | None:
        """Its part of what an open loop may have in flight."""
        most = self.traffic.arrival.max_in_flight
        return None if most is None else len(range(self.number, most, self.processes))


def write_share(path: Path, share: Share) -> None:
    """For :func:`read_share`."""
    path.write_bytes(msgspec.msgpack.encode(share))


def read_share(path: Path) -> Share:
    """:raises ValueError: when the file is not what :func:`write_share` made."""
    return msgspec.msgpack.decode(path.read_bytes(), type=Share)
