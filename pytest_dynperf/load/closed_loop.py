"""Exactly C units of work in flight: when a request, or a whole conversation, ends, its slot begins the next one at once."""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_dynperf.load.turns import converse

if TYPE_CHECKING:
    from pytest_dynperf.load.phase import Phase
    from pytest_dynperf.load.pool import Pool


async def occupy(phase: Phase, pool: Pool, *, slot: int, start_ns: int) -> None:
    """Slot ``slot`` of all, until the phase stops or the workload ends. With a ramp, slot k of C begins k/C of the ramp after the start."""
    traffic = phase.share.traffic
    await phase.alarm.until(start_ns + round(traffic.arrival.ramp_s * 1e9 * slot / traffic.slots))
    connection = pool.take()
    assert connection is not None
    due_ns = monotonic_ns()
    while (unit := await phase.next_unit()) is not None and not phase.stop.done():
        due_ns = await converse(phase, connection, unit, phase.begin(connection, unit.asks[0], due_ns))
